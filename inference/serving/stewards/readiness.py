"""Tells the registry whether engines are warm for a split, and whether they have memory for it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from django.urls import reverse

from inference.checks.proofs import known_footprint_bytes
from inference.serving.models import EngineReport, EngineRole, EngineState, HeldState, HeldUse, HeldVersion
from inference.serving.plans import session_options
from inference.serving.routes import Target
from inference.serving.stewards.process import ProcessInfo
from registry.catalogue.models import Model, ServingSettings, Version
from registry.catalogue.selectors import current_serving
from registry.console.health import HealthLine, HealthLook
from registry.errors import GateFailed
from registry.kit.admin.facts import size
from registry.traffic.gates import GateOutcome, GateResult, SplitPlan
from registry.traffic.models import Split
from registry.traffic.readiness import Readiness, ReadinessState

MEMORY_GATE = "memory"
_READY = Readiness(ReadinessState.READY)


def engines_for(model: Model) -> list[EngineReport]:
    """The engines that serve a Model: workers of its pool, and processes that hold all live versions themselves."""
    serving = EngineReport.objects.alive().filter(role=EngineRole.SERVES).exclude(state=EngineState.DRAINING)
    return list(serving.filter(pool__in=["", model.pool]))


def engines_are_warm(split: Split) -> Readiness:
    """Ready when every live engine of the Model's pool holds all versions of the split with their current settings.

    If no engine is running, there is nothing to wait for: the next one to start loads the current split before it answers.
    A failed load counts only if the engine has followed the routes since the split was written: an older
    failure belongs to an earlier attempt.
    """
    engines = engines_for(split.model)
    if not engines:
        return _READY
    numbers = dict(split.arms.values_list("version_id", "version__number"))
    broken = split.arms.exclude(version__broken_at=None).values_list("version__number", flat=True).first()
    if broken is not None:
        return Readiness(
            ReadinessState.NEVER, f"Version {broken} is broken: it crashed processes that ran it."
        )
    warm: dict[str, set[int]] = defaultdict(set)
    for row in _held_as_served(engines, numbers):
        has_tried = row.engine.followed >= split.model.route_revision
        if row.state == HeldState.FAILED and has_tried:
            return Readiness(
                ReadinessState.NEVER, f"{row.engine} cannot load the split's versions. {row.reason}"[:500]
            )
        if _is_warm(row):
            warm[row.engine_id].add(row.version_id)
    done = sum(numbers.keys() <= warm[engine.pk] for engine in engines)
    if done == len(engines):
        return _READY
    are = "engine is" if len(engines) == 1 else "engines are"
    return Readiness(ReadinessState.WAIT, f"{done} of {len(engines)} {are} warm")


def warm_everywhere(model: Model, version_ids: Collection[int]) -> frozenset[int]:
    """The versions that every live engine of the Model's pool holds, so that none has to be loaded first."""
    engines = engines_for(model)
    holders: dict[int, set[str]] = defaultdict(set)
    for row in _held_as_served(engines, version_ids):
        if _is_warm(row):
            holders[row.version_id].add(row.engine_id)
    return frozenset(pk for pk in version_ids if len(holders[pk]) == len(engines))


def engines_health(model: Model, live: Sequence[Version]) -> list[HealthLine]:
    """On how many of the Model's engines each live version is warm."""
    engines = engines_for(model)
    address = reverse("admin:inference_enginereport_changelist")
    if not engines:
        return [HealthLine(HealthLook.BAD, "No process that serves this Model is running.", address)]
    holders: dict[int, set[str]] = defaultdict(set)
    for row in _held_as_served(engines, [version.pk for version in live]):
        if _is_warm(row):
            holders[row.version_id].add(row.engine_id)
    return [
        HealthLine(
            HealthLook.GOOD if len(holders[version.pk]) == len(engines) else HealthLook.DOUBTFUL,
            f"Version {version.number} is {_warm_on(len(holders[version.pk]), len(engines))}.",
            address,
        )
        for version in live
    ]


def _warm_on(count: int, engines: int) -> str:
    if engines == 1:
        return "warm on the one engine" if count else "not warm yet"
    return f"warm on {'all' if count == engines else f'{count} of'} {engines} engines"


def is_outdone(process: ProcessInfo, *, live: Collection[Target], lacking: Collection[Target]) -> bool:
    """Whether another process of this kind and pool lacks only some of the live versions that this one lacks.

    A strict subset, not just fewer: two processes that lack one version each would otherwise send callers to each other.
    """
    peers = list(
        EngineReport.objects.alive()
        .filter(kind=process.kind, role=process.role, pool=process.pool, state=EngineState.READY)
        .exclude(pk=process.identity.id)
        .values_list("pk", flat=True)
    )
    held: dict[str, set[tuple[int, str, int]]] = {peer: set() for peer in peers}
    rows = HeldVersion.objects.filter(engine__in=peers, version__in=[target.version_id for target in live])
    warm = rows.filter(state=HeldState.WARM).exclude(use=HeldUse.ON_DEMAND)
    for engine, version_id, sha256, serving in warm.values_list(
        "engine_id", "version_id", "sha256", "serving"
    ):
        held[engine].add((version_id, sha256, serving))
    return any(
        {target for target in live if (target.version_id, target.sha256, target.serving) not in versions}
        < set(lacking)
        for versions in held.values()
    )


def _held_as_served(engines: list[EngineReport], version_ids: Collection[int]) -> list[HeldVersion]:
    """The rows of these versions in these engines, only with their current files and serving settings."""
    shas = dict(Version.objects.filter(pk__in=version_ids).values_list("pk", "artifact__sha256"))
    current = ServingSettings.objects.filter(version__in=version_ids, is_current=True)
    serving: Mapping[int, int] = dict(current.values_list("version_id", "revision"))
    rows = HeldVersion.objects.filter(engine__in=engines, version__in=version_ids).select_related("engine")
    return [
        row
        for row in rows
        if (row.sha256, row.serving) == (shas[row.version_id], serving.get(row.version_id, 0))
    ]


def _is_warm(row: HeldVersion) -> bool:
    return row.state == HeldState.WARM and row.use != HeldUse.ON_DEMAND


def memory_gates(plan: SplitPlan) -> list[GateResult]:
    """One gate for each engine that lacks the memory; a single gate if every engine has it."""
    engines = engines_for(plan.model)
    if not plan.gaining:
        return []
    if not engines:
        return [GateResult(MEMORY_GATE, GateOutcome.UNKNOWN, "No engine that serves this Model is running.")]
    sizes = {version: _footprint_bytes(version) for version in plan.arms}
    unknown = sorted(version.number for version, count in sizes.items() if not count)
    failed = [gate for engine in engines if (gate := _too_small(engine, sizes)) is not None]
    if failed:
        return failed
    if unknown:
        names = ", ".join(f"version {number}" for number in unknown)
        sentence = f"The memory use of {names} has not been measured; run the check again."
        return [GateResult(MEMORY_GATE, GateOutcome.UNKNOWN, sentence)]
    each = "the engine has" if len(engines) == 1 else f"each of {len(engines)} engines has"
    sentence = f"The split needs {size(sum(sizes.values()))}, and {each} room for it."
    return [GateResult(MEMORY_GATE, GateOutcome.PASSED, sentence)]


def _footprint_bytes(version: Version) -> int:
    """The memory that the version needs with its current settings; 0 if it has not been measured."""
    values = current_serving(version.pk)
    options = session_options(values)
    return known_footprint_bytes(values, sha256=version.artifact.sha256, options=options) or 0


def _too_small(engine: EngineReport, sizes: dict[Version, int]) -> GateResult | None:
    """Count only held versions: kept ones and those loaded on demand are unloaded when room is needed."""
    if not engine.memory_budget_bytes:
        return None
    wanted = {version.pk: count for version, count in sizes.items()}
    held = {row.version_id: row for row in engine.held.filter(state=HeldState.WARM)}
    others = sum(
        row.footprint_bytes for pk, row in held.items() if row.use == HeldUse.HELD and pk not in wanted
    )
    needed = sum(held[pk].footprint_bytes if pk in held else count for pk, count in wanted.items())
    if others + needed <= engine.memory_budget_bytes:
        return None
    return GateResult(
        MEMORY_GATE,
        GateOutcome.FAILED,
        f"{engine} has {size(engine.memory_budget_bytes)}. Live versions of other splits hold {size(others)} of it, and"
        f" this split needs {size(needed)}: {size(others + needed - engine.memory_budget_bytes)} too much."
        " Remove another version's share, lower one's max_batch_rows, raise ROUNDHOUSE_SESSION_MEMORY_MB, or move the"
        " Model to another pool.",
        GateFailed,
    )
