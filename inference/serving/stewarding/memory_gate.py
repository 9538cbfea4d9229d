"""The memory gate: whether every engine that answers for a Model has room for what is to go live."""

from django.template.defaultfilters import filesizeformat

from inference.checks.proofs import known_footprint_bytes
from inference.serving.plans import session_options
from inference.serving.stewarding.models import EngineReport, HeldState, Use
from inference.serving.stewarding.readiness import engines_for
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.errors import GateFailed
from registry.traffic.gates import GateOutcome, GateResult, SplitPlan

NAME = "memory"


def has_room(plan: SplitPlan) -> list[GateResult]:
    """One gate for each engine that lacks room; one for all where each has it."""
    engines = engines_for(plan.model)
    if not plan.gaining:
        return []
    if not engines:
        return [GateResult(NAME, GateOutcome.UNKNOWN, "No engine is running that answers for this Model.")]
    sizes = {version: _footprint_bytes(version) for version in plan.arms}
    unknown = sorted(version.number for version, size in sizes.items() if not size)
    found = [gate for engine in engines if (gate := _missing(engine, sizes)) is not None]
    if found or not unknown:
        return found or [_enough(engines, sizes)]
    named = ", ".join(f"version {number}" for number in unknown)
    return [
        GateResult(
            NAME, GateOutcome.UNKNOWN, f"It was not measured how much memory {named} takes; check it again."
        )
    ]


def _footprint_bytes(version: Version) -> int:
    """What it takes as it is set now; 0 where nobody has measured it."""
    values = current_serving(version.pk)
    found = known_footprint_bytes(values, sha256=version.artifact.sha256, options=session_options(values))
    return found or 0


def _missing(engine: EngineReport, sizes: dict[Version, int]) -> GateResult | None:
    """What is kept or was loaded on demand goes when room is needed, so only what is held counts."""
    if not engine.memory_budget_bytes:
        return None
    wanted = {version.pk: size for version, size in sizes.items()}
    held = {row.version_id: row for row in engine.held.filter(state=HeldState.WARM)}
    others = sum(row.footprint_bytes for pk, row in held.items() if row.use == Use.HELD and pk not in wanted)
    needed = sum(held[pk].footprint_bytes if pk in held else size for pk, size in wanted.items())
    if others + needed <= engine.memory_budget_bytes:
        return None
    return GateResult(
        NAME,
        GateOutcome.FAILED,
        f"{engine} has {_size(engine.memory_budget_bytes)}. Live versions of other splits hold {_size(others)} of it, and"
        f" this split takes {_size(needed)}: {_size(others + needed - engine.memory_budget_bytes)} too much."
        " Lower another version to nothing, lower max_batch_rows of one, raise ROUNDHOUSE_SESSION_MEMORY_MB, or move the"
        " Model to another pool.",
        GateFailed,
    )


def _enough(engines: list[EngineReport], sizes: dict[Version, int]) -> GateResult:
    each = "the engine has" if len(engines) == 1 else f"each of {len(engines)} engines has"
    return GateResult(
        NAME, GateOutcome.PASSED, f"The split takes {_size(sum(sizes.values()))}, and {each} room for it."
    )


def _size(count: int) -> str:
    return filesizeformat(count).replace("\xa0", " ")
