"""Database writes for engine processes: reporting, signing off, and announcing lost processes."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from inference.serving.executors.executor import VersionHolding
from inference.serving.models import MAX_REASON, EngineReport, EngineState, HeldState, HeldVersion
from inference.serving.stewards.process import Identity, ProcessInfo, has_ended
from registry.catalogue.models import Version
from registry.kit.loops import Attempts
from registry.record.audit import AuditSubject
from registry.record.events import emit

_FORGET_AFTER = timedelta(minutes=10)  # until then, lost processes are shown


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """The facts about a process that change while it runs."""

    state: str
    followed: int
    provider_asked: str
    provider_got: str
    device: str
    memory_used_bytes: int
    memory_budget_bytes: int
    running: int
    waiting: int


def report(process: ProcessInfo, figures: EngineFigures, holdings: Sequence[VersionHolding]) -> None:
    """Write the process's row, and the holdings that changed: usually none, so one update and one read."""
    values = {**asdict(figures), "state": _state(figures.state), "seen_at": Now()}
    me = process.identity
    known = EngineReport.objects.filter(pk=me.id)
    with transaction.atomic():
        if known.filter(lost_at=None).update(**values):
            pass
        elif known.update(**values, lost_at=None):
            engine = known.get()
            _emit("worker_back", engine, f"{_name(engine)} is back.")
        else:
            EngineReport.objects.create(
                id=me.id, kind=process.kind, role=process.role, pool=process.pool, threads=process.threads,
                host=me.host, place=me.place, pid=me.pid, pid_started=me.pid_started, **values,
            )  # fmt: skip
        _write_held(me, holdings)


def sign_off(engine_id: str) -> None:
    """Forget a process that is ending normally."""
    EngineReport.objects.filter(pk=engine_id).delete()


def announce_ended(me: Identity) -> None:
    """Announce, once each, the processes on this host that have certainly ended without signing off."""
    for engine in EngineReport.objects.filter(host=me.host, lost_at=None).exclude(pk=me.id):
        if has_ended(engine.place, engine.pid, engine.pid_started):
            with transaction.atomic():
                _lose(engine, EngineReport.objects.all(), f"{_name(engine)} ended without signing off.")


def announce_lost() -> None:
    """Announce, once each, the processes that went silent and those that replace a lost one."""
    with Attempts() as attempt:
        for engine in EngineReport.objects.silent():
            attempt(_lose_silent, engine)
        for engine in EngineReport.objects.exclude(lost_at=None).order_by("lost_at", "pk"):
            attempt(_announce_replaced, engine)


@transaction.atomic
def _lose_silent(engine: EngineReport) -> None:
    _lose(engine, EngineReport.objects.silent(), f"{_name(engine)} stopped reporting.")


def sweep_engines() -> None:
    """Announce lost processes, and forget those that have been lost for a while."""
    announce_lost()
    EngineReport.objects.filter(lost_at__lt=Now() - _FORGET_AFTER).delete()


@transaction.atomic
def _announce_replaced(lost: EngineReport) -> None:
    """The successor has the same kind, host and pool, started later, and is not yet another one's successor."""
    free = EngineReport.objects.filter(
        kind=lost.kind, host=lost.host, pool=lost.pool, lost_at=None, replaces="", started_at__gt=lost.seen_at
    )
    successor = free.order_by("started_at", "pk").first()
    if successor is None or not EngineReport.objects.filter(pk=lost.pk).exclude(lost_at=None).delete()[0]:
        return
    # Only one caller can delete the lost row, but another lost process may have claimed this successor meanwhile.
    if free.filter(pk=successor.pk).update(replaces=lost.pk):
        _emit("worker_back", successor, f"{_name(lost)} is back, as process {successor.pid}.")
    else:
        transaction.set_rollback(True)


def _lose(engine: EngineReport, among: QuerySet[EngineReport], summary: str) -> None:
    """Only the caller that updates the row announces it; a process that reported again is no longer `among` the lost."""
    if among.filter(pk=engine.pk, lost_at=None).update(lost_at=Now()):
        _emit("worker_lost", engine, summary)


def _emit(kind: str, engine: EngineReport, summary: str) -> None:
    emit(
        kind,
        subject=AuditSubject("engine", engine.pk, str(engine)),
        data={
            "kind": engine.kind,
            "host": engine.host,
            "pid": engine.pid,
            "pool": engine.pool,
            "last_seen": engine.seen_at.isoformat(),
            "versions": engine.held.filter(state=HeldState.WARM).count(),
        },
        summary=summary,
    )


def _name(engine: EngineReport) -> str:
    kind = {"web": "The web process", "grpc": "The gRPC process"}.get(engine.kind, "The worker")
    return f"{kind} {engine.pid} on {engine.host}"


def _state(state: str) -> str:
    return state if state in EngineState.values else EngineState.DRAINING


def _write_held(me: Identity, holdings: Sequence[VersionHolding]) -> None:
    wanted = {holding.target.version_id: _row(me.id, holding) for holding in holdings}
    known = {row.version_id: row for row in HeldVersion.objects.filter(engine=me.id)}
    changed = [
        row for key, row in wanted.items() if key not in known or _content(known[key]) != _content(row)
    ]
    outdated = [row.pk for key, row in known.items() if key not in wanted or wanted[key] in changed]
    if outdated:
        HeldVersion.objects.filter(pk__in=outdated).delete()
    if changed:
        # A version may have been deleted from the database while it was still in memory here.
        existing = set(
            Version.objects.filter(pk__in=[row.version_id for row in changed]).values_list("pk", flat=True)
        )
        created = HeldVersion.objects.bulk_create([row for row in changed if row.version_id in existing])
        _announce_fallback(me, created, known)


def _row(engine_id: str, holding: VersionHolding) -> HeldVersion:
    return HeldVersion(
        engine_id=engine_id,
        version_id=holding.target.version_id,
        sha256=holding.target.sha256,
        serving=holding.target.serving,
        state=holding.state,
        use=holding.use,
        footprint_bytes=holding.footprint_bytes,
        merged_rows=holding.merged_rows,
        provider_asked=holding.provider_asked,
        provider_got=holding.provider_got,
        reason=holding.reason[:MAX_REASON],
    )


def _content(row: HeldVersion) -> tuple[object, ...]:
    return (
        row.sha256, row.serving, row.state, row.use, row.footprint_bytes, row.merged_rows, row.provider_asked,
        row.provider_got, row.reason,
    )  # fmt: skip


def _announce_fallback(me: Identity, rows: Iterable[HeldVersion], known: dict[int, HeldVersion]) -> None:
    for row in rows:
        before = known.get(row.version_id)
        if not row.fell_back or (before is not None and before.fell_back):
            continue
        version = Version.objects.select_related("model").get(pk=row.version_id)
        emit(
            "provider_fell_back",
            subject=version,
            data={
                "model": version.model.slug,
                "version": version.number,
                "asked": row.provider_asked,
                "got": row.provider_got,
                "host": me.host,
                "pid": me.pid,
            },
            summary=(
                f"{version} should run on {row.provider_asked.removesuffix('ExecutionProvider')} but runs on "
                f"{row.provider_got.removesuffix('ExecutionProvider')}, in process {me.pid} on {me.host}."
            ),
        )
