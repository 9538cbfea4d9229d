"""Who may do which chunk: leases by the database's clock, and every write fenced by the attempt it belongs to.

Whoever changes a chunk holds its job's row first, always in that order. A lease that ran out belongs to nobody from
the moment somebody frees it; until then its holder may still finish. After that its attempt is over: a late write
finds no row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Coalesce, Now

from inference.jobs import ending
from inference.jobs.models import Chunk, Job
from inference.jobs.transitions import OPEN, ChunkStatus, Status
from inference.rows import Contract
from inference.rows.errors import TooManyBadRows
from registry.kit.loops import Attempts
from registry.record.leases import from_now

log = structlog.get_logger("roundhouse.jobs")

LOST_AT_MOST = 3
_LOOK_AT = 8  # of several workers that look at once, one gets the first and the others go on to the next
_FREE_AT_MOST = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do one chunk, until the lease ends or is taken away."""

    chunk_id: int
    job_id: UUID
    attempt: int
    holder: str
    is_plan: bool
    runs_alone: bool


@dataclass(frozen=True, slots=True)
class Results:
    """What came of a chunk: small results in the row, others in files."""

    rows_done: int
    rows_bad: int = 0
    results: Any = None
    results_ref: str = ""
    errors_ref: str = ""


def waiting_in_turn(pool: str | None = None) -> Iterator[Chunk]:
    """What could be done next: of each job its first waiting chunk, the job least recently served first."""
    waits = Exists(Chunk.objects.filter(job=OuterRef("pk"), status=ChunkStatus.WAITING))
    jobs = Job.objects.filter(waits, status__in=OPEN).order_by("served_at")
    if pool is not None:
        jobs = jobs.filter(model__pool=pool)
    for job_id in jobs.values_list("pk", flat=True)[:_LOOK_AT]:
        first = Chunk.objects.filter(job=job_id, status=ChunkStatus.WAITING).order_by("index").first()
        if first is not None:
            yield first


def claim(chunk: Chunk, *, holder: str) -> Claim | None:
    """Lease a chunk that waits; None where somebody else was faster, or its job has ended."""
    with transaction.atomic():
        is_open = Job.objects.filter(pk=chunk.job_id, status__in=OPEN).update(
            status=Status.RUNNING,
            served_at=Now(),
            started_at=Coalesce("started_at", Now()),
            working_since=Coalesce("working_since", Now()),
        )
        waits = Chunk.objects.filter(pk=chunk.pk, status=ChunkStatus.WAITING, attempt=chunk.attempt)
        if not is_open or not waits.update(
            status=ChunkStatus.LEASED,
            attempt=F("attempt") + 1,
            holder=holder,
            lease_until=from_now(settings.JOB_LEASE_S),
        ):
            transaction.set_rollback(True)
            return None
    mine = Claim(chunk.pk, chunk.job_id, chunk.attempt + 1, holder, chunk.is_plan, chunk.runs_alone)
    _log_claim("chunk taken", mine)
    return mine


def renew(claims: Iterable[Claim]) -> list[Claim]:
    """Prolong what is still ours; return what is not any more.

    One by one: an update of several rows could wait for another crosswise.
    """
    return [claim for claim in claims if not _held(claim).update(lease_until=from_now(settings.JOB_LEASE_S))]


def finish(claim: Claim, results: Results) -> bool:
    """Write and count a chunk's results; False: the attempt was over, and nothing was written.

    Results with which the job has more bad rows than its contract allows end the job instead.
    """
    with transaction.atomic():
        job = ending.lock(claim.job_id)
        try:
            Contract.from_json(job.contract).check_errors(job.rows_bad + results.rows_bad)
        except TooManyBadRows as error:
            return fail(claim, str(error), ends_job=True)
        if not _held(claim).update(
            **_let_go(ChunkStatus.DONE),
            rows_done=results.rows_done,
            rows_bad=results.rows_bad,
            results=results.results,
            results_ref=results.results_ref,
            errors_ref=results.errors_ref,
        ):
            return _refuse(claim)
        Job.objects.filter(pk=job.pk).update(
            chunks_done=F("chunks_done") + 1,
            rows_done=F("rows_done") + results.rows_done,
            rows_bad=F("rows_bad") + results.rows_bad,
        )
        ending.note_rest(job)
        ending.end_if_over(job)
    _log_claim("chunk done", claim)
    return True


def finish_plan(claim: Claim, chunks: Iterable[Chunk], *, rows: int) -> bool:
    """Write the chunks that a plan came to, all of them or none; False: the attempt was over."""
    with transaction.atomic():
        job = ending.lock(claim.job_id)
        if not _held(claim).update(**_let_go(ChunkStatus.DONE)):
            return _refuse(claim)
        made = Chunk.objects.bulk_create(chunks, batch_size=500)
        Job.objects.filter(pk=job.pk).update(is_planned=True, rows_total=rows, chunks_total=len(made))
        ending.note_rest(job)
        ending.end_if_over(job)
    _log_claim("plan done", claim)
    return True


def fail(claim: Claim, why: str, *, ends_job: bool = False) -> bool:
    """Say that a chunk cannot be answered; its job goes on without it unless that `ends_job`."""
    with transaction.atomic():
        job = ending.lock(claim.job_id)
        if not _held(claim).update(**_let_go(ChunkStatus.FAILED), failure=ending.sentence(why)):
            return _refuse(claim)
        _count_stuck(job, claim.is_plan)
        ending.note_rest(job)
        if ends_job or claim.is_plan:
            ending.fail(job, why)
        else:
            ending.end_if_over(job)
    _log_claim("chunk failed", claim)
    return True


def give_back(claim: Claim) -> bool:
    """Leave a chunk to somebody else, at no blame of its own."""
    with transaction.atomic():
        job = ending.lock(claim.job_id)
        given = _held(claim).update(status=ChunkStatus.WAITING, holder="", lease_until=None)
        ending.note_rest(job)
    _log_claim("chunk given back", claim)
    return bool(given)


def free_expired() -> int:
    """Take the leases away that have ended; return how many."""
    expired = Chunk.objects.filter(status=ChunkStatus.LEASED, lease_until__lt=Now()).order_by("lease_until")
    with Attempts() as attempt:
        return sum(bool(attempt(_free, chunk)) for chunk in expired[:_FREE_AT_MOST])


def lose(claim: Claim) -> bool:
    """Count a lease as lost without waiting for its end: this process is about to be replaced because of it."""
    return _free(Chunk.objects.get(pk=claim.chunk_id), among=_held(claim))


def _free(chunk: Chunk, among: "QuerySet[Chunk] | None" = None) -> bool:
    """Let a chunk wait again, alone; after too many lost workers nobody takes it any more."""
    expired = Chunk.objects.filter(
        pk=chunk.pk, attempt=chunk.attempt, status=ChunkStatus.LEASED, lease_until__lt=Now()
    )
    rows = expired if among is None else among
    lost = chunk.leases_lost + 1
    with transaction.atomic():
        job = ending.lock(chunk.job_id)
        if lost < LOST_AT_MOST:
            changes = {"status": ChunkStatus.WAITING, "holder": "", "lease_until": None, "runs_alone": True}
            freed = rows.update(**changes, leases_lost=lost)
        else:
            why = f"{lost} workers were lost while they had it."
            freed = rows.update(**_let_go(ChunkStatus.DEAD), leases_lost=lost, failure=why)
            if freed:
                _count_stuck(job, chunk.is_plan)
                ending.bury(job, chunk, why)
        ending.note_rest(job)
    if freed:
        log.warning("lease lost", job=str(chunk.job_id), chunk=chunk.pk, attempt=chunk.attempt, lost=lost)
    return bool(freed)


def _held(claim: Claim) -> "QuerySet[Chunk]":
    """The chunk, as long as this attempt may write it."""
    return Chunk.objects.filter(
        pk=claim.chunk_id, attempt=claim.attempt, holder=claim.holder, status=ChunkStatus.LEASED
    )


def _let_go(status: ChunkStatus) -> dict[str, Any]:
    return {"status": status, "holder": "", "lease_until": None, "ended_at": Now()}


def _count_stuck(job: Job, is_plan: bool) -> None:
    if not is_plan:
        Job.objects.filter(pk=job.pk).update(chunks_stuck=F("chunks_stuck") + 1)


def _refuse(claim: Claim) -> bool:
    log.warning("late write refused", job=str(claim.job_id), chunk=claim.chunk_id, attempt=claim.attempt)
    return False


def _log_claim(what: str, claim: Claim) -> None:
    log.debug(what, job=str(claim.job_id), chunk=claim.chunk_id, attempt=claim.attempt, holder=claim.holder)
