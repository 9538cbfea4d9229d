"""Whether the engines that will serve a split are warm: what the registry asks before it lets a split become current."""

from collections import defaultdict

from inference.serving.stewarding.models import EngineReport, EngineState, HeldState, HeldVersion, Role, Use
from registry.catalogue.models import ServingSettings
from registry.traffic.models import Split
from registry.traffic.readiness import Readiness, Verdict

_READY = Readiness(Verdict.READY)


def engines_are_warm(split: Split) -> Readiness:
    """Ready when every live engine of the Model's pool holds all versions of the split, as they are to be served now.

    No engine at all is no reason to wait: whoever starts next loads what is current before it answers. An engine's
    failure only counts when it has followed the routes since the split was written: before that, it is about another try.
    """
    engines = _engines_for(split)
    if not engines:
        return _READY
    numbers = dict(split.arms.values_list("version_id", "version__number"))
    shas = dict(split.arms.values_list("version_id", "version__artifact__sha256"))
    current = ServingSettings.objects.filter(version__in=numbers, is_current=True)
    serving = {**dict.fromkeys(numbers, 0), **dict(current.values_list("version_id", "revision"))}
    warm: dict[str, set[int]] = defaultdict(set)
    for row in HeldVersion.objects.filter(engine__in=engines, version__in=numbers).select_related("engine"):
        is_the_same = (row.sha256, row.serving) == (shas[row.version_id], serving[row.version_id])
        has_tried = row.engine.followed >= split.model.route_revision
        if row.state == HeldState.FAILED and is_the_same and has_tried:
            return Readiness(Verdict.NEVER, f"{row.engine} cannot hold it. {row.reason}"[:500])
        if row.state == HeldState.WARM and row.use != Use.ON_DEMAND and is_the_same:
            warm[row.engine_id].add(row.version_id)
    done = sum(numbers.keys() <= warm[engine.pk] for engine in engines)
    if done == len(engines):
        return _READY
    are = "engine is" if len(engines) == 1 else "engines are"
    return Readiness(Verdict.WAIT, f"{done} of {len(engines)} {are} warm")


def _engines_for(split: Split) -> list[EngineReport]:
    """Those that answer for the Model: workers of its pool, and every process that holds all live versions itself."""
    serving = EngineReport.objects.alive().filter(role=Role.SERVES).exclude(state=EngineState.DRAINING)
    return list(serving.filter(pool__in=["", split.model.pool]))
