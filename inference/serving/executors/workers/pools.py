"""What the workers of each pool have reported: whether there are any, and what they hold."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.serving.executors.executor import Obstacle
from inference.serving.routes import Target
from inference.serving.stewarding.models import EngineReport, EngineState, HeldState, HeldVersion, Role

_Held = tuple[str, int, int]  # pool, version, revision of its serving settings


@dataclass(frozen=True, slots=True)
class Pools:
    """As the database had it at one moment."""

    workers: Mapping[str, int] = field(default_factory=dict)  # those that take batches, by pool
    warm: frozenset[_Held] = frozenset()
    failed: Mapping[_Held, str] = field(default_factory=dict)
    merged: Mapping[_Held, int] = field(default_factory=dict)  # what all that hold it warm may merge

    def is_warm(self, target: Target) -> bool:
        return _key(target) in self.warm

    def merged_rows(self, target: Target) -> int:
        """How many rows of several requests every worker that may take them runs together; 1 where nobody has said."""
        return self.merged.get(_key(target), 1)

    def why_not(self, target: Target) -> Obstacle | None:
        """Why nobody can answer; None where somebody can, or may be able to after loading."""
        if not self.workers.get(target.pool):
            said = f"No worker of the pool {target.pool} is running; start one, or wait until it is warm."
            return Obstacle(said, may_pass=True)
        failed = None if self.is_warm(target) else self.failed.get(_key(target))
        return Obstacle(failed, may_pass=False) if failed is not None else None


def look() -> Pools:
    """Read what workers said last; those that are silent or leaving do not count."""
    alive = EngineReport.objects.alive().filter(role=Role.SERVES, state=EngineState.READY).exclude(pool="")
    workers = dict(alive.values_list("pk", "pool"))
    failed: dict[_Held, str] = {}
    merged: dict[_Held, int] = {}
    held = HeldVersion.objects.filter(engine__in=list(workers), state__in=[HeldState.WARM, HeldState.FAILED])
    for engine, version, serving, state, rows, reason in held.values_list(
        "engine_id", "version_id", "serving", "state", "merged_rows", "reason"
    ):
        key = workers[engine], version, serving
        if state == HeldState.WARM:
            merged[key] = min(rows, merged.get(key, rows))
        else:
            failed[key] = reason
    return Pools(Counter(workers.values()), frozenset(merged), failed, merged)


def _key(target: Target) -> _Held:
    return target.pool, target.version_id, target.serving
