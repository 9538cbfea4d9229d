"""Queries about engine processes, with the versions that the reader may see."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.db.models import DurationField, ExpressionWrapper, F, Max, Prefetch, QuerySet
from django.db.models.functions import Now

from inference.serving import queues
from inference.serving.models import ALIVE_FOR, EngineReport, EngineRole, HeldVersion, Pulse
from registry.kit.actors import Actor, in_scope

SHOWN_ENGINES = 200


def last_pulse() -> datetime | None:
    newest: datetime | None = Pulse.objects.aggregate(at=Max("at"))["at"]
    return newest


def engines_for(by: Actor) -> QuerySet[EngineReport]:
    """Every process, with `seen_held` (the versions that the actor may see) and `silent_for`."""
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
    """Whether it has reported recently; expects rows from `engines_for`."""
    silent_for: timedelta = engine.silent_for  # type: ignore[attr-defined]
    return engine.lost_at is None and silent_for < ALIVE_FOR


def short_provider(name: str) -> str:
    return name.removesuffix("ExecutionProvider")


def live_workers(pool: str) -> int:
    """How many workers answer for the Models of this pool."""
    return EngineReport.objects.alive().filter(role=EngineRole.SERVES, pool=pool).count()


@dataclass(frozen=True, slots=True)
class ShownEngine:
    """One process as the page shows it."""

    row: EngineReport
    is_alive: bool
    held: list[HeldVersion]
    others: int  # versions of Models that the reader may not see
    queue_depths: Mapping[str, int] | None  # None: not a worker, or the broker is not responding

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
        asked, got = short_provider(self.row.provider_asked), short_provider(self.row.provider_got)
        return f"{asked} → {got or 'nothing yet'}" if asked else ""


def shown_engines(by: Actor) -> list[ShownEngine]:
    """The processes, workers first, with the depths of the queues that they take from."""
    rows = sorted(
        engines_for(by)[:SHOWN_ENGINES], key=lambda row: (row.kind != "worker", row.kind, row.host, row.pid)
    )
    depths = _depths({row.pool for row in rows if row.kind == "worker"})
    return [
        ShownEngine(
            row=row,
            is_alive=is_alive(row),
            held=row.seen_held,  # type: ignore[attr-defined]
            others=len(row.held.all()) - len(row.seen_held),  # type: ignore[attr-defined]
            queue_depths=depths.get(row.pool) if row.kind == "worker" else None,
        )
        for row in rows
    ]


def _depths(pools: set[str]) -> dict[str, Mapping[str, int]]:
    """The queue depths of each pool; empty if the broker is not responding."""
    try:
        return {pool: queues.depths(queues.queues_of_worker(pool)) for pool in pools}
    except (redis.RedisError, OSError):
        return {}
