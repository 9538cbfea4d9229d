"""Writes of stewarding: reports, signing off, and telling who is lost."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from inference.serving.executors.executor import Holding
from inference.serving.stewarding.identity import Identity, is_gone
from inference.serving.stewarding.models import MAX_REASON, EngineReport, EngineState, HeldState, HeldVersion
from registry.catalogue.models import Version
from registry.kit.loops import Attempts
from registry.record.audit import AuditSubject
from registry.record.events import EVENT_KINDS, emit

EVENT_KINDS.add("provider_fell_back", "A version was to run on CUDA, and runs on the CPU.")

_FORGET_AFTER = timedelta(minutes=10)  # people see the lost ones that long


@dataclass(frozen=True, slots=True)
class Station:
    """What stays the same about a process for as long as it lives."""

    identity: Identity
    kind: str
    role: str
    pool: str
    threads: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What changes."""

    state: str
    followed: int
    provider_asked: str
    provider_got: str
    device: str
    memory_used_bytes: int
    memory_budget_bytes: int
    running: int
    waiting: int


def report(station: Station, figures: Figures, holdings: Sequence[Holding]) -> None:
    """Write the process's row, and of what it holds only what has changed: usually nothing, so one update and one read."""
    values = {**asdict(figures), "state": _state(figures.state), "seen_at": Now()}
    me = station.identity
    found = EngineReport.objects.filter(pk=me.id)
    with transaction.atomic():
        if found.filter(lost_at=None).update(**values):
            pass
        elif found.update(**values, lost_at=None):
            engine = found.get()
            _emit("worker_back", engine, f"{_name(engine)} is back.")
        else:
            EngineReport.objects.create(
                id=me.id, kind=station.kind, role=station.role, pool=station.pool, threads=station.threads,
                host=me.host, place=me.place, pid=me.pid, pid_started=me.pid_started, **values,
            )  # fmt: skip
        _write_held(me, holdings)


def sign_off(engine_id: str) -> None:
    """Forget a process that ends as it should."""
    EngineReport.objects.filter(pk=engine_id).delete()


def tell_ended(me: Identity) -> None:
    """Tell at once of the processes of this host that have certainly ended without signing off, each once."""
    for engine in EngineReport.objects.filter(host=me.host, lost_at=None).exclude(pk=me.id):
        if is_gone(engine.place, engine.pid, engine.pid_started):
            with transaction.atomic():
                _lose(engine, EngineReport.objects.all(), f"{_name(engine)} ended without signing off.")


def tell_lost() -> None:
    """Tell of each process that has fallen silent, once, and of each that has taken the place of a lost one."""
    with Attempts() as attempt:
        for engine in EngineReport.objects.silent():
            attempt(_lose_silent, engine)
        for engine in EngineReport.objects.exclude(lost_at=None).order_by("lost_at", "pk"):
            attempt(_tell_replaced, engine)


@transaction.atomic
def _lose_silent(engine: EngineReport) -> None:
    _lose(engine, EngineReport.objects.silent(), f"{_name(engine)} stopped reporting.")


def sweep_engines() -> None:
    """Tell who is lost, and forget those that have been lost for a while."""
    tell_lost()
    EngineReport.objects.filter(lost_at__lt=Now() - _FORGET_AFTER).delete()


@transaction.atomic
def _tell_replaced(lost: EngineReport) -> None:
    """Its successor is of the same kind, host and pool, has started since, and is the successor of no other."""
    free = EngineReport.objects.filter(
        kind=lost.kind, host=lost.host, pool=lost.pool, lost_at=None, replaces="", started_at__gt=lost.seen_at
    )
    successor = free.order_by("started_at", "pk").first()
    if successor is None or not EngineReport.objects.filter(pk=lost.pk).exclude(lost_at=None).delete()[0]:
        return
    # Only who takes the lost one's row away comes here, so only another lost one can have got the successor meanwhile.
    if free.filter(pk=successor.pk).update(replaces=lost.pk):
        _emit("worker_back", successor, f"{_name(lost)} is back, as process {successor.pid}.")
    else:
        transaction.set_rollback(True)


def _lose(engine: EngineReport, among: QuerySet[EngineReport], summary: str) -> None:
    """Only who moves the row tells; one that is no longer `among` those that are lost has reported again meanwhile."""
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
    what = {"web": "The web process", "grpc": "The gRPC process"}.get(engine.kind, "The worker")
    return f"{what} {engine.pid} on {engine.host}"


def _state(state: str) -> str:
    return state if state in EngineState.values else EngineState.DRAINING


def _write_held(me: Identity, holdings: Sequence[Holding]) -> None:
    wanted = {one.target.version_id: _row(me.id, one) for one in holdings}
    known = {row.version_id: row for row in HeldVersion.objects.filter(engine=me.id)}
    changed = [
        row for key, row in wanted.items() if key not in known or _content(known[key]) != _content(row)
    ]
    gone = [row.pk for key, row in known.items() if key not in wanted or wanted[key] in changed]
    if gone:
        HeldVersion.objects.filter(pk__in=gone).delete()
    if changed:
        # A version that is gone from the database by now has no row to be held by.
        there = set(
            Version.objects.filter(pk__in=[row.version_id for row in changed]).values_list("pk", flat=True)
        )
        HeldVersion.objects.bulk_create([row for row in changed if row.version_id in there])
        _tell_fallen_back(me, [row for row in changed if row.version_id in there], known)


def _row(engine_id: str, one: Holding) -> HeldVersion:
    return HeldVersion(
        engine_id=engine_id,
        version_id=one.target.version_id,
        sha256=one.target.sha256,
        serving=one.target.serving,
        state=one.state,
        use=one.use,
        footprint_bytes=one.footprint_bytes,
        merged_rows=one.merged_rows,
        provider_asked=one.provider_asked,
        provider_got=one.provider_got,
        reason=one.reason[:MAX_REASON],
    )


def _content(row: HeldVersion) -> tuple[object, ...]:
    return (
        row.sha256, row.serving, row.state, row.use, row.footprint_bytes, row.merged_rows, row.provider_asked,
        row.provider_got, row.reason,
    )  # fmt: skip


def _tell_fallen_back(me: Identity, rows: Iterable[HeldVersion], known: dict[int, HeldVersion]) -> None:
    fresh = [
        row
        for row in rows
        if row.fell_back and not (row.version_id in known and known[row.version_id].fell_back)
    ]
    for row in fresh:
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
                f"{version} was to run on {row.provider_asked.removesuffix('ExecutionProvider')} and runs on "
                f"{row.provider_got.removesuffix('ExecutionProvider')}, in process {me.pid} on {me.host}."
            ),
        )
