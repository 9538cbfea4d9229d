"""What the home page says about processes: none running, lost, shutting down, or not able to load a version."""

from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db.models import Count
from django.urls import reverse

from inference.serving.models import (
    EngineReport,
    EngineRole,
    EngineState,
    HeldState,
    HeldVersion,
    ProcessKind,
)
from inference.serving.selectors import SHOWN_ENGINES, engines_for, is_alive, short_provider
from registry.catalogue.models import Model, Version
from registry.kit.actors import READ, Actor, visible_models
from registry.kit.admin.attention import AttentionItem, ItemKind, Severity
from registry.traffic.transitions import Status

NO_WORKER = "no worker"  # the subject of everything that waits because no worker is running

_WORKERS = "admin:inference_enginereport_changelist"
_NONE = ItemKind("missing workers", _WORKERS)
_LOST = ItemKind("lost processes", _WORKERS)
_ODD = ItemKind("processes in trouble", _WORKERS)
_UNLOADED = ItemKind("versions that could not be loaded", _WORKERS)
_UNSERVED = ItemKind("pools without a worker", _WORKERS)


def troubled_processes(by: Actor) -> list[AttentionItem]:
    """Everything that is wrong with processes, from the rows that they report."""
    if READ not in by.rights:
        return []
    engines = list(engines_for(by)[:SHOWN_ENGINES])
    alive = [engine for engine in engines if is_alive(engine)]
    workers = [engine for engine in alive if engine.kind == ProcessKind.WORKER]
    lost = [engine for engine in engines if not is_alive(engine)]
    missing = _unserved_pools(workers, by) if workers else [_no_worker(lost)]
    return [*missing, *map(_lost, lost), *_unloaded(alive), *(item for one in alive for item in _odd(one))]


def _no_worker(lost: Iterable[EngineReport]) -> AttentionItem:
    through_workers = settings.EXECUTOR == "workers"
    effect = (
        "all predictions are failing"
        if through_workers
        else "predictions still work, but jobs, checks and messages to subscribers wait"
    )
    return AttentionItem(
        kind=_NONE,
        severity=Severity.CRITICAL if through_workers else Severity.WARNING,
        sentence=f"No worker is running: {effect}.",
        notes=["Start one with manage.py worker."],
        link=reverse(_WORKERS),
        since=max((engine.seen_at for engine in lost if engine.kind == ProcessKind.WORKER), default=None),
        subject=NO_WORKER,
    )


def _unserved_pools(workers: Iterable[EngineReport], by: Actor) -> list[AttentionItem]:
    """Pools whose Models have a live version but no worker that answers for it."""
    if settings.EXECUTOR != "workers":
        return []
    served = {worker.pool for worker in workers if worker.role == EngineRole.SERVES}
    live = visible_models(Model.objects.filter(splits__status=Status.CURRENT), by).exclude(pool__in=served)
    pools = live.order_by("pool").values_list("pool").annotate(Count("pk", distinct=True))
    return [
        AttentionItem(
            kind=_UNSERVED,
            severity=Severity.CRITICAL,
            sentence=f"No worker serves the pool {pool}: predictions of {_models(count)} fail.",
            link=reverse(_WORKERS),
            name=pool,
        )
        for pool, count in pools
    ]


def _models(count: int) -> str:
    return "1 Model" if count == 1 else f"{count:,} Models"


def _lost(engine: EngineReport) -> AttentionItem:
    return AttentionItem(
        kind=_LOST,
        severity=Severity.WARNING,
        sentence=f"{engine} is lost: it ended or went silent without signing off.",
        link=reverse(_WORKERS),
        since=engine.seen_at,
        name=engine.host,
    )


def _odd(engine: EngineReport) -> list[AttentionItem]:
    problems = []
    if engine.state == EngineState.DRAINING:
        problems.append(
            (
                Severity.NOTICE,
                "is shutting down: it is finishing its work and accepts no more",
                engine.seen_at,
            )
        )
    if engine.provider_got and engine.provider_got != engine.provider_asked:
        got, asked = short_provider(engine.provider_got), short_provider(engine.provider_asked)
        problems.append((Severity.WARNING, f"runs on {got} but should run on {asked}", engine.started_at))
    return [
        AttentionItem(
            kind=_ODD,
            severity=severity,
            sentence=f"{engine} {problem}.",
            link=reverse(_WORKERS),
            since=since,
            name=engine.host,
        )
        for severity, problem, since in problems
    ]


def _unloaded(engines: Iterable[EngineReport]) -> list[AttentionItem]:
    """Versions that processes failed to load, one item for each version."""
    failed: dict[Version, list[HeldVersion]] = {}
    for engine in engines:
        for held in engine.seen_held:  # type: ignore[attr-defined]
            if held.state == HeldState.FAILED:
                failed.setdefault(held.version, []).append(held)
    return [_unloaded_version(version, held) for version, held in failed.items()]


def _unloaded_version(version: Version, held: Sequence[HeldVersion]) -> AttentionItem:
    where = "A process" if len(held) == 1 else f"{len(held)} processes"
    return AttentionItem(
        kind=_UNLOADED,
        severity=Severity.WARNING,
        sentence=f"{where} could not load {version}: {held[0].reason}",
        link=reverse("admin:registry_version_change", args=[version.pk]),
        since=min(row.since for row in held),
        name=str(version),
        model_id=version.model_id,
        badge="not loaded",
    )
