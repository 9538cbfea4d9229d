"""Whether the engines that will serve a split are warm: what the registry asks before it lets a split become current."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from inference.serving.routes import Target
from inference.serving.stewarding.models import EngineReport, EngineState, HeldState, HeldVersion, Role, Use
from inference.serving.stewarding.services import Station
from registry.catalogue.models import Model, ServingSettings, Version
from registry.traffic.models import Split
from registry.traffic.readiness import Readiness, Verdict

_READY = Readiness(Verdict.READY)


def engines_are_warm(split: Split) -> Readiness:
    """Ready when every live engine of the Model's pool holds all versions of the split, as they are to be served now.

    No engine at all is no reason to wait: whoever starts next loads what is current before it answers. An engine's
    failure only counts when it has followed the routes since the split was written: before that, it is about another try.
    """
    engines = engines_for(split.model)
    if not engines:
        return _READY
    numbers = dict(split.arms.values_list("version_id", "version__number"))
    broken = split.arms.exclude(version__broken_at=None).values_list("version__number", flat=True).first()
    if broken is not None:
        return Readiness(Verdict.NEVER, f"Version {broken} is broken: it ended processes that ran it.")
    warm: dict[str, set[int]] = defaultdict(set)
    for row in _held_as_served(engines, numbers):
        has_tried = row.engine.followed >= split.model.route_revision
        if row.state == HeldState.FAILED and has_tried:
            return Readiness(Verdict.NEVER, f"{row.engine} cannot hold it. {row.reason}"[:500])
        if _is_warm(row):
            warm[row.engine_id].add(row.version_id)
    done = sum(numbers.keys() <= warm[engine.pk] for engine in engines)
    if done == len(engines):
        return _READY
    are = "engine is" if len(engines) == 1 else "engines are"
    return Readiness(Verdict.WAIT, f"{done} of {len(engines)} {are} warm")


def warm_everywhere(model: Model, version_ids: Collection[int]) -> frozenset[int]:
    """Those of these versions that every live engine of the Model's pool holds, so that they can answer at once."""
    engines = engines_for(model)
    holders: dict[int, set[str]] = defaultdict(set)
    for row in _held_as_served(engines, version_ids):
        if _is_warm(row):
            holders[row.version_id].add(row.engine_id)
    return frozenset(pk for pk in version_ids if len(holders[pk]) == len(engines))


def is_outdone(station: Station, *, live: Collection[Target], lacking: Collection[Target]) -> bool:
    """Whether another process of this kind and pool lacks only a part of what this one lacks.

    Fewer is not enough: two that lack one version each would send callers to one another, and both be left by them.
    """
    like_me = EngineReport.objects.alive().filter(
        kind=station.kind, role=station.role, pool=station.pool, state=EngineState.READY
    )
    peers = list(like_me.exclude(pk=station.identity.id).values_list("pk", flat=True))
    held: dict[str, set[tuple[int, str, int]]] = {peer: set() for peer in peers}
    rows = HeldVersion.objects.filter(engine__in=peers, version__in=[target.version_id for target in live])
    warm = rows.filter(state=HeldState.WARM).exclude(use=Use.ON_DEMAND)
    for engine, version_id, sha256, serving in warm.values_list(
        "engine_id", "version_id", "sha256", "serving"
    ):
        held[engine].add((version_id, sha256, serving))
    return any(
        {target for target in live if (target.version_id, target.sha256, target.serving) not in its}
        < set(lacking)
        for its in held.values()
    )


def _held_as_served(engines: list[EngineReport], version_ids: Collection[int]) -> list[HeldVersion]:
    """What engines say of these versions, with the files and settings that are to be served now."""
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
    return row.state == HeldState.WARM and row.use != Use.ON_DEMAND


def engines_for(model: Model) -> list[EngineReport]:
    """Those that answer for the Model: workers of its pool, and every process that holds all live versions itself."""
    serving = EngineReport.objects.alive().filter(role=Role.SERVES).exclude(state=EngineState.DRAINING)
    return list(serving.filter(pool__in=["", model.pool]))
