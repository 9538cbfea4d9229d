"""Ends of jobs are told from their rows: at least once, and not for ever."""

import pytest
from django.db.models.functions import Now
from kombu import Connection

from inference.doors.celery import queues, replies
from inference.jobs import services
from inference.jobs.models import Chunk, Job
from inference.jobs.services import SubmittedJob, ledger
from registry.kit.clock import from_now
from tests.support.factories import a_live_model, an_actor
from tests.support.sending import ROWS

pytestmark = [pytest.mark.django_db, pytest.mark.both]
ON_DONE = {"task": "shop.scored", "queue": "shop"}


@pytest.fixture(autouse=True)
def by_files(settings, tmp_path):
    settings.DATA_DIR, settings.REDIS_URL = tmp_path, None


@pytest.fixture
def by():
    return an_actor()


@pytest.fixture
def job(by):
    a_live_model(100, slug="fruit")
    return services.accept(SubmittedJob("fruit", rows=ROWS, on_done=ON_DONE), by=by, principal=None)


def heard(folder):
    """The messages that are in the shop's queue, as Celery would read them."""
    options = {"data_folder_in": str(folder / "celery/messages"), "data_folder_out": str(folder / "celery/messages"),
               "control_folder": str(folder / "celery/control")}  # fmt: skip
    found = []
    with Connection("filesystem://", transport_options=options) as connection:
        queue = connection.SimpleQueue("shop")
        while True:
            try:
                message = queue.get(block=False)
            except queue.Empty:
                return found
            found.append((message.headers, message.payload))
            message.ack()


def test_the_end_is_told_with_what_came_of_it(job, by, tmp_path, settings):
    services.cancel(job=job, by=by)

    assert replies.reply(job.pk)

    ((headers, body),) = heard(tmp_path)
    (told,), kwargs, embed = body
    assert headers["task"] == "shop.scored"
    assert told == {
        "job": str(job.pk), "status": "cancelled", "model": "fruit", "version": 1, "rows_done": 0, "rows_bad": 0,
        "failure": "", "results_url": f"{settings.PUBLIC_URL}/api/v1/jobs/{job.pk}/results",
    }  # fmt: skip
    assert kwargs == {}
    assert not any(embed.values())


def test_it_is_told_once_where_nothing_goes_wrong(job, by, tmp_path):
    services.cancel(job=job, by=by)

    assert [replies.reply(job.pk) for _ in range(3)] == [True, False, False]
    Job.objects.update(ended_at=from_now(-60))
    assert replies.sweep_replies() == 0
    assert len(heard(tmp_path)) == 1


def test_a_job_that_goes_on_is_not_told_of(job, tmp_path):
    assert not replies.reply(job.pk)
    assert replies.sweep_replies() == 0


def test_the_sweeper_tells_what_was_not_told(job, by, tmp_path, monkeypatch):
    def away(*_, **__):
        raise OSError("away")

    services.cancel(job=job, by=by)
    with monkeypatch.context() as broken:
        broken.setattr(queues, "call_task", away)
        assert not replies.reply(job.pk)
    assert replies.sweep_replies() == 0  # it ended just now: it is being told
    Job.objects.update(ended_at=from_now(-60))

    assert [replies.sweep_replies(), replies.sweep_replies()] == [1, 0]
    assert len(heard(tmp_path)) == 1


def test_a_second_end_is_told_as_well(job, by, tmp_path):
    def fail():
        claim = ledger.claim(Chunk.objects.get(job=job), holder="tester")
        assert ledger.fail(claim, "A row is wrong.")

    fail()
    replies.reply(job.pk)
    services.retry(job=job, by=by, reason="again")
    assert not replies.reply(job.pk)
    fail()
    assert replies.reply(job.pk)

    ids = [headers["id"] for headers, _ in heard(tmp_path)]
    assert len(set(ids)) == 2


def test_an_end_that_came_while_the_first_was_told_is_not_lost(job, by, tmp_path, monkeypatch):
    services.cancel(job=job, by=by)
    Job.objects.update(ended_at=from_now(-60))
    real = queues.call_task

    def ends_again(*told, **more):
        real(*told, **more)
        Job.objects.update(ended_at=Now())

    monkeypatch.setattr(queues, "call_task", ends_again)
    replies.reply(job.pk)

    assert Job.objects.get().told_at is None


def test_after_a_week_nobody_is_called_any_more(job, by, tmp_path):
    services.cancel(job=job, by=by)
    Job.objects.update(ended_at=from_now(-8 * 86_400))
    assert replies.sweep_replies() == 0
