"""The ledger: which worker holds which chunk. Leases use the database clock, and every write is fenced by its attempt.

To change a chunk, always lock its job's row first. An expired lease stays valid until it is freed, so its holder may
still finish until then. After that the attempt is over: a late write matches no row.
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

from inference.jobs.models import POOL_OF_JOB, Chunk, Job
from inference.jobs.services import completion
from inference.jobs.transitions import OPEN, ChunkStatus, Status
from inference.rows import Contract
from inference.rows.errors import TooManyBadRows
from registry.kit.clock import from_now
from registry.kit.loops import Attempts

log = structlog.get_logger("roundhouse.jobs")

MAX_LEASES_LOST = 3
_MAX_CANDIDATES = (
    8  # when several workers look at the same time, one gets the first chunk and the others try the next
)
_MAX_FREED = 500


@dataclass(frozen=True, slots=True)
class ChunkClaim:
    """The right to process one chunk, until its lease is freed."""

    chunk_id: int
    job_id: UUID
    attempt: int
    holder: str
    is_plan: bool
    runs_alone: bool


@dataclass(frozen=True, slots=True)
class ChunkResults:
    """The results of a chunk: small ones in its row, others in files."""

    rows_done: int
    rows_bad: int = 0
    results: Any = None
    results_ref: str = ""
    errors_ref: str = ""


def waiting_in_turn(pool: str | None = None) -> Iterator[Chunk]:
    """Candidates for the next chunk: the first waiting chunk of each job, least recently served job first."""
    waits = Exists(Chunk.objects.filter(job=OuterRef("pk"), status=ChunkStatus.WAITING))
    jobs = Job.objects.filter(waits, status__in=OPEN).order_by("served_at")
    if pool is not None:
        jobs = jobs.alias(pool_of_job=POOL_OF_JOB).filter(pool_of_job=pool)
    for job_id in jobs.values_list("pk", flat=True)[:_MAX_CANDIDATES]:
        first = Chunk.objects.filter(job=job_id, status=ChunkStatus.WAITING).order_by("index").first()
        if first is not None:
            yield first


def claim(chunk: Chunk, *, holder: str) -> ChunkClaim | None:
    """Lease a waiting chunk; None if another worker was faster, or its job has ended."""
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
    claimed = ChunkClaim(chunk.pk, chunk.job_id, chunk.attempt + 1, holder, chunk.is_plan, chunk.runs_alone)
    _log_claim("chunk taken", claimed)
    return claimed


def renew(claims: Iterable[ChunkClaim]) -> list[ChunkClaim]:
    """Renew leases; return the claims that have been lost.

    One by one: updates of several rows could deadlock.
    """
    return [claim for claim in claims if not _held(claim).update(lease_until=from_now(settings.JOB_LEASE_S))]


def finish(claim: ChunkClaim, results: ChunkResults) -> bool:
    """Write and count a chunk's results; False if the attempt was over and nothing was written.

    If the job then has more bad rows than its contract allows, fail it instead.
    """
    with transaction.atomic():
        job = completion.lock_job(claim.job_id)
        try:
            Contract.from_json(job.contract).check_errors(job.rows_bad + results.rows_bad)
        except TooManyBadRows as error:
            return fail(claim, str(error), ends_job=True)
        if not _held(claim).update(
            **_released(ChunkStatus.DONE),
            rows_done=results.rows_done,
            rows_bad=results.rows_bad,
            results=results.results,
            results_ref=results.results_ref,
            errors_ref=results.errors_ref,
        ):
            return _refuse_late_write(claim)
        Job.objects.filter(pk=job.pk).update(
            chunks_done=F("chunks_done") + 1,
            rows_done=F("rows_done") + results.rows_done,
            rows_bad=F("rows_bad") + results.rows_bad,
        )
        completion.stop_clock_if_idle(job)
        completion.end_if_complete(job)
    _log_claim("chunk done", claim)
    return True


def finish_plan(claim: ChunkClaim, chunks: Iterable[Chunk], *, rows: int) -> bool:
    """Write the chunks of a plan, all or none; False if the attempt was over."""
    with transaction.atomic():
        job = completion.lock_job(claim.job_id)
        if not _held(claim).update(**_released(ChunkStatus.DONE)):
            return _refuse_late_write(claim)
        created = Chunk.objects.bulk_create(chunks, batch_size=500)
        Job.objects.filter(pk=job.pk).update(is_planned=True, rows_total=rows, chunks_total=len(created))
        completion.stop_clock_if_idle(job)
        completion.end_if_complete(job)
    _log_claim("plan done", claim)
    return True


def fail(claim: ChunkClaim, why: str, *, ends_job: bool = False) -> bool:
    """Mark a chunk as failed. Its job continues without it, unless `ends_job`."""
    with transaction.atomic():
        job = completion.lock_job(claim.job_id)
        if not _held(claim).update(**_released(ChunkStatus.FAILED), failure=completion.shorten_reason(why)):
            return _refuse_late_write(claim)
        _count_stuck(job, claim.is_plan)
        completion.stop_clock_if_idle(job)
        if ends_job or claim.is_plan:
            completion.fail_job(job, why)
        else:
            completion.end_if_complete(job)
    _log_claim("chunk failed", claim)
    return True


def give_back(claim: ChunkClaim) -> bool:
    """Return a chunk to the queue; this does not count as a lost lease."""
    with transaction.atomic():
        job = completion.lock_job(claim.job_id)
        released = _held(claim).update(status=ChunkStatus.WAITING, holder="", lease_until=None)
        completion.stop_clock_if_idle(job)
    _log_claim("chunk given back", claim)
    return bool(released)


def free_expired() -> int:
    """Free all expired leases; return how many."""
    expired = Chunk.objects.filter(status=ChunkStatus.LEASED, lease_until__lt=Now()).order_by("lease_until")
    with Attempts() as attempt:
        return sum(bool(attempt(_free_expired, chunk)) for chunk in expired[:_MAX_FREED])


def lose(claim: ChunkClaim) -> bool:
    """Count a lease as lost before it expires: this process is about to be replaced because of its chunk."""
    return _free(Chunk.objects.get(pk=claim.chunk_id), rows=_held(claim))


def _free_expired(chunk: Chunk) -> bool:
    expired = Chunk.objects.filter(
        pk=chunk.pk, attempt=chunk.attempt, status=ChunkStatus.LEASED, lease_until__lt=Now()
    )
    return _free(chunk, rows=expired)


def _free(chunk: Chunk, *, rows: "QuerySet[Chunk]") -> bool:
    """Queue a chunk again, to run alone; after too many lost leases it is dead."""
    lost = chunk.leases_lost + 1
    with transaction.atomic():
        job = completion.lock_job(chunk.job_id)
        if lost < MAX_LEASES_LOST:
            changes = {"status": ChunkStatus.WAITING, "holder": "", "lease_until": None, "runs_alone": True}
            freed = rows.update(**changes, leases_lost=lost)
        else:
            why = f"{lost} workers died while processing it."
            freed = rows.update(**_released(ChunkStatus.DEAD), leases_lost=lost, failure=why)
            if freed:
                _count_stuck(job, chunk.is_plan)
                completion.report_dead_chunk(job, chunk, why)
        completion.stop_clock_if_idle(job)
    if freed:
        log.warning("lease lost", job=str(chunk.job_id), chunk=chunk.pk, attempt=chunk.attempt, lost=lost)
    return bool(freed)


def _held(claim: ChunkClaim) -> "QuerySet[Chunk]":
    """The chunk, if this attempt may still write it."""
    return Chunk.objects.filter(
        pk=claim.chunk_id, attempt=claim.attempt, holder=claim.holder, status=ChunkStatus.LEASED
    )


def _released(status: ChunkStatus) -> dict[str, Any]:
    return {"status": status, "holder": "", "lease_until": None, "ended_at": Now()}


def _count_stuck(job: Job, is_plan: bool) -> None:
    if not is_plan:
        Job.objects.filter(pk=job.pk).update(chunks_stuck=F("chunks_stuck") + 1)


def _refuse_late_write(claim: ChunkClaim) -> bool:
    log.warning("late write refused", job=str(claim.job_id), chunk=claim.chunk_id, attempt=claim.attempt)
    return False


def _log_claim(what: str, claim: ChunkClaim) -> None:
    log.debug(what, job=str(claim.job_id), chunk=claim.chunk_id, attempt=claim.attempt, holder=claim.holder)
