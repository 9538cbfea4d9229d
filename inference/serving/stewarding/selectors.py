"""Reads of stewarding: the processes there are, with those of their versions that somebody may see."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import redis
from django.db.models import DurationField, ExpressionWrapper, F, Prefetch, QuerySet
from django.db.models.functions import Now

from inference.serving.stewarding import queues
from inference.serving.stewarding.models import ALIVE_FOR, EngineReport, HeldVersion, Role
from registry.kit.actors import Actor, in_scope

SHOWN_ENGINES = 200


def engines_for(by: Actor) -> QuerySet[EngineReport]:
    """Every process, with the versions of Models that the actor may see as `seen_held`, and for how long it is silent."""
    held = HeldVersion.objects.select_related("version__model").order_by(
        "version__model__slug", "version__number"
    )
    silent_for = ExpressionWrapper(Now() - F("seen_at"), DurationField())
    seen = in_scope(held, by, model="version__model_id")
    return (
        EngineReport.objects.annotate(silent_for=silent_for)
        .prefetch_related(Prefetch("held", seen, to_attr="seen_held"))
        .prefetch_related("held")
    )


def is_alive(engine: EngineReport) -> bool:
    """Whether it has reported lately; ask this of rows from `engines_for`."""
    silent_for: timedelta = engine.silent_for  # type: ignore[attr-defined]
    return engine.lost_at is None and silent_for < ALIVE_FOR


def live_workers(pool: str) -> int:
    """How many workers answer for the Models of this pool."""
    return EngineReport.objects.alive().filter(role=Role.SERVES, pool=pool).count()


@dataclass(frozen=True, slots=True)
class ShownEngine:
    """One process as the page tells it."""

    row: EngineReport
    is_alive: bool
    held: list[HeldVersion]
    others: int  # versions of Models that the reader may not see
    queue_depths: Mapping[str, int] | None  # None: only workers take from queues, or nobody can tell

    @property
    def seen_s(self) -> int:
        return int(self.row.silent_for.total_seconds())  # type: ignore[attr-defined]

    @property
    def memory_percent(self) -> float:
        budget = self.row.memory_budget_bytes
        return min(100.0, 100 * self.row.memory_used_bytes / budget) if budget else 0.0

    @property
    def waiting_messages(self) -> int | None:
        return sum(self.queue_depths.values()) if self.queue_depths is not None else None

    @property
    def fell_back(self) -> bool:
        return bool(self.row.provider_got) and self.row.provider_got != self.row.provider_asked

    @property
    def provider(self) -> str:
        asked, got = (
            name.removesuffix("ExecutionProvider")
            for name in (self.row.provider_asked, self.row.provider_got)
        )
        return f"{asked} → {got or 'nothing yet'}" if asked else ""


def shown_engines(by: Actor) -> list[ShownEngine]:
    """The processes, workers first, with how much waits in the queues they take from."""
    rows = sorted(
        engines_for(by)[:SHOWN_ENGINES], key=lambda row: (row.kind != "worker", row.kind, row.host, row.pid)
    )
    counted = _depths({row.pool for row in rows if row.kind == "worker"})
    return [
        ShownEngine(
            row=row,
            is_alive=is_alive(row),
            held=row.seen_held,  # type: ignore[attr-defined]
            others=len(row.held.all()) - len(row.seen_held),  # type: ignore[attr-defined]
            queue_depths=counted.get(row.pool) if row.kind == "worker" else None,
        )
        for row in rows
    ]


def _depths(pools: set[str]) -> dict[str, Mapping[str, int]]:
    """What waits in the queues of each pool; nothing where the broker does not answer."""
    try:
        return {pool: queues.depths(queues.taken_by(pool)) for pool in pools}
    except (redis.RedisError, OSError):
        return {}
