"""What the home page says about jobs that failed, and about jobs that wait for nobody."""

from datetime import timedelta

import pytest
from django.utils import timezone

from inference.jobs.attention import failed_jobs, stuck_parts, stuck_queues
from inference.jobs.models import Chunk, Job
from inference.serving.stewards.attention import NO_WORKER, troubled_processes
from registry.kit.admin.attention import attention_for
from tests.support.engines import an_engine
from tests.support.factories import a_live_model, a_model, a_version, an_actor

pytestmark = pytest.mark.django_db


def a_job(version=None, *, minutes_ago=0, **columns) -> Job:
    version = version or a_version()
    now = timezone.now()
    values = {
        "made_by": "tester", "order_digest": "0" * 64, "source": "rows", "input_format": "jsonl",
        "output_format": "jsonl", "chunk_rows": 10, "expires_at": now + timedelta(days=1), **columns,
    }  # fmt: skip
    job = Job.objects.create(model=version.model, version=version, **values)
    Job.objects.filter(pk=job.pk).update(created_at=now - timedelta(minutes=minutes_ago))
    return job


def a_failed_job(version=None, *, hours_ago=1, **columns) -> Job:
    ended_at = timezone.now() - timedelta(hours=hours_ago)
    return a_job(
        version, minutes_ago=hours_ago * 60, status="failed", failure="The rows do not fit.", ended_at=ended_at,
        **columns,
    )  # fmt: skip


def a_worker(pool="infer"):
    return an_engine(kind="worker", role="on_demand", pool=pool)


def test_failed_jobs_of_the_last_day_are_named():
    version = a_version(a_model("fruit"))
    job = a_failed_job(version, chunks_stuck=1)
    Chunk.objects.create(job=job, index=0, first_row=0, rows=10, status="dead", failure="Three workers died.")
    a_failed_job(version, hours_ago=25)

    (item,) = failed_jobs(an_actor())

    assert item.sentence == f"Job {str(job.pk)[:8]} of fruit 1 failed after 0 rows."
    assert list(item.notes) == [
        "The rows do not fit.", "1 part was abandoned after several workers died on it.",
    ]  # fmt: skip
    assert item.since == job.ended_at


def test_many_failed_jobs_are_one_line():
    version = a_version(a_model("fruit"))
    for _ in range(12):
        a_failed_job(version)

    (line,) = [line for line in attention_for(an_actor()).lines if "failed" in line.sentence]

    assert line.sentence == "12 failed jobs: fruit"
    assert len(line.items) == 12


def test_jobs_of_models_out_of_reach_are_not_told():
    version = a_version()
    a_failed_job(version)
    a_job(version, status="running", chunks_stuck=2, started_at=timezone.now())
    a_job(version)
    elsewhere = an_actor(models=frozenset({a_model().pk}))

    assert [len(found(an_actor())) for found in (failed_jobs, stuck_parts, stuck_queues)] == [1, 1, 1]
    assert [found(elsewhere) for found in (failed_jobs, stuck_parts, stuck_queues)] == [[], [], []]


def test_a_running_job_with_stuck_parts_is_told():
    job = a_job(status="running", chunks_stuck=2, started_at=timezone.now())

    (item,) = stuck_parts(an_actor())

    assert f"Job {str(job.pk)[:8]} of {job.version} has 2 parts that could not be processed" in item.sentence


def test_waiting_jobs_without_any_worker_are_told_on_its_line():
    a_job(a_live_model(100).versions.get())

    (item,) = stuck_queues(an_actor())
    assert item.sentence == "1 job waits in the pool infer, where no worker is running."
    assert item.subject == NO_WORKER == troubled_processes(an_actor())[0].subject
    assert sum("job waits" in line.sentence for line in attention_for(an_actor()).lines) == 0


def test_a_pool_without_a_worker_matters_only_if_workers_keep_to_their_pools(settings):
    a_job()
    a_worker(pool="gpu")

    assert stuck_queues(an_actor()) == []
    settings.EXECUTOR = "workers"
    assert [item.name for item in stuck_queues(an_actor())] == ["infer"]


def test_jobs_that_wait_for_long_are_told_though_workers_run():
    a_worker()
    a_job()
    a_job(minutes_ago=9)
    assert stuck_queues(an_actor()) == []

    a_job(minutes_ago=11)

    assert "1 job waits in the pool infer for more than 10 minutes" in stuck_queues(an_actor())[0].sentence
