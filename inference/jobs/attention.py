"""What the home page says about jobs: failed ones, parts that nobody can process, and queues that stand still."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Q
from django.urls import reverse
from django.utils import timezone

from inference.jobs.kinds import subject_of
from inference.jobs.models import POOL_OF_JOB, Chunk, Job
from inference.jobs.policies import jobs_in_scope
from inference.jobs.transitions import OPEN, ChunkStatus, Status
from inference.serving.models import EngineReport, ProcessKind
from inference.serving.stewards.attention import NO_WORKER
from registry.kit.actors import Actor
from registry.kit.admin.attention import READ_AT_MOST, AttentionItem, ItemKind, Severity

_FAILED_FROM = timedelta(hours=24)
_CREATED_FROM = timedelta(days=3)  # older jobs are not read, so that the page stays quick
_LONG_WAIT = timedelta(minutes=10)
_JOBS = "admin:inference_job_changelist"
_FAILED = ItemKind("failed jobs", _JOBS, "?status__exact=failed")
_STUCK = ItemKind("jobs with failed parts", _JOBS, "?status__exact=running")
_WAITING = ItemKind("pools with waiting jobs", _JOBS, "?status__exact=queued")


def failed_jobs(by: Actor) -> list[AttentionItem]:
    """Jobs that failed in the last 24 hours, newest first."""
    now = timezone.now()
    jobs = jobs_in_scope(by).filter(
        status=Status.FAILED, ended_at__gte=now - _FAILED_FROM, created_at__gte=now - _CREATED_FROM
    )
    rows = list(jobs.select_related("model", "version__model").order_by("-ended_at")[: READ_AT_MOST + 1])
    dead = _dead_parts(rows)
    return [
        AttentionItem(
            kind=_FAILED,
            severity=Severity.WARNING,
            sentence=f"Job {_short(job)} of {subject_of(job)} failed after {job.rows_done:,} rows.",
            notes=[job.failure, *_dead_note(dead.get(job.pk, 0))],
            link=_page(job),
            since=job.ended_at,
            name=_name(job),
        )
        for job in rows
    ]


def stuck_parts(by: Actor) -> list[AttentionItem]:
    """Running jobs with parts that failed or were abandoned."""
    jobs = jobs_in_scope(by).filter(status__in=OPEN, chunks_stuck__gt=0)
    rows = list(jobs.select_related("model", "version__model").order_by("served_at")[: READ_AT_MOST + 1])
    dead = _dead_parts(rows)
    return [
        AttentionItem(
            kind=_STUCK,
            severity=Severity.WARNING,
            sentence=f"Job {_short(job)} of {subject_of(job)} has {_parts(job.chunks_stuck)} that could not be processed; it"
            " will fail when the others are done.",
            notes=_dead_note(dead.get(job.pk, 0)),
            link=_page(job),
            since=job.started_at,
            name=_name(job),
        )
        for job in rows
    ]


def stuck_queues(by: Actor) -> list[AttentionItem]:
    """Pools in which jobs wait without a worker, or for a long time."""
    now = timezone.now()
    is_old = Q(status=Status.QUEUED, created_at__lt=now - _LONG_WAIT)
    pools = (
        jobs_in_scope(by)
        .filter(status__in=OPEN)
        .annotate(pool_of_job=POOL_OF_JOB)
        .order_by("pool_of_job")
        .values_list("pool_of_job")
        .annotate(jobs=Count("pk"), oldest=Min("created_at"), old=Count("pk", filter=is_old))
    )
    workers = EngineReport.objects.alive().filter(kind=ProcessKind.WORKER)
    alive = set(workers.values_list("pool", flat=True))
    # Unless predictions go through workers, each worker takes the jobs of every pool.
    by_pool = settings.EXECUTOR == "workers"
    return [
        item
        for pool, jobs, oldest, old in pools
        if (
            item := _queue(pool, jobs, oldest, old, alive & {pool} if by_pool else alive, has_any=bool(alive))
        )
    ]


def _queue(
    pool: str, jobs: int, oldest: datetime, old: int, workers: set[str], *, has_any: bool
) -> AttentionItem | None:
    if not workers:
        return AttentionItem(
            kind=_WAITING,
            severity=Severity.WARNING,
            sentence=f"{_jobs(jobs)} in the pool {pool}, where no worker is running.",
            link=reverse(_JOBS),
            since=oldest,
            name=pool,
            subject="" if has_any else NO_WORKER,
        )
    if not old:
        return None
    return AttentionItem(
        kind=_WAITING,
        severity=Severity.NOTICE,
        sentence=f"{_jobs(old)} in the pool {pool} for more than 10 minutes; its workers are busy with other jobs.",
        link=_WAITING.address,
        since=oldest,
        name=pool,
    )


def _dead_parts(jobs: list[Job]) -> dict[object, int]:
    """How many parts of each job were abandoned."""
    stuck = [job.pk for job in jobs if job.chunks_stuck]
    if not stuck:
        return {}
    dead = Chunk.objects.filter(job__in=stuck, status=ChunkStatus.DEAD)
    return dict(dead.order_by().values_list("job").annotate(Count("pk")))


def _dead_note(count: int) -> list[str]:
    if not count:
        return []
    return [f"{_parts(count)} {'was' if count == 1 else 'were'} abandoned after several workers died on it."]


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count:,} parts"


def _jobs(count: int) -> str:
    return "1 job waits" if count == 1 else f"{count:,} jobs wait"


def _name(job: Job) -> str:
    return job.model.slug if job.model is not None else subject_of(job)


def _short(job: Job) -> str:
    return str(job.pk)[:8]


def _page(job: Job) -> str:
    return reverse("admin:inference_job_change", args=[job.pk])
