"""Contents also lie in the files of the moderation jobs that they came from."""

import pytest
from django.utils import timezone

from inference.jobs import files
from inference.jobs.kinds import SubmittedJob
from inference.jobs.models import Format, InputSource, Job
from inference.jobs.services import accept
from inference.jobs.services.changes import cancel
from moderation.deciding.dispatch import MODERATION
from moderation.privacy import erasing
from moderation.privacy.erasing import SETTLES_AFTER, erase_pending, request_erasure
from moderation.privacy.models import Erasure, ErasureKind
from tests.support.decision_rows import a_decision, a_list_policy
from tests.support.dumps import where_stored
from tests.support.factories import a_key, an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]

AUTHOR, TEXT = "ann-7731", "you blockhead of Elm Street"


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(erasing, "wipe_free_pages", lambda: True)


def a_job():
    ref, size, _ = files.save_input([f"text,author_id\n{TEXT},{AUTHOR}\n".encode()])
    submitted = SubmittedJob(
        kind=MODERATION, source=InputSource.FILE, input_ref=ref, input_bytes=size, input_format=Format.CSV
    )
    return accept(submitted, by=an_actor(), principal=None)


def erase():
    values = {"tenant": None, "kind": ErasureKind.AUTHOR, "subject": AUTHOR, "reason": "She asked"}
    request_erasure(**values, by=an_actor())
    return go_on()


def go_on():
    erase_pending(now=timezone.now() + 2 * SETTLES_AFTER)
    return Erasure.objects.get()


def test_they_are_removed_when_the_job_has_ended():
    job = a_job()
    a_decision(a_list_policy(), author_id=AUTHOR, text=TEXT)
    assert job.input_ref in where_stored(TEXT.encode())

    waiting = erase()

    assert (waiting.status, waiting.open_jobs) == ("working", [str(job.pk)])
    cancel(job=job, by=an_actor())
    done = go_on()
    assert (done.status, done.removed, done.open_jobs) == ("done", {"contents": 1, "jobs": 1}, [])
    assert not Job.objects.exists()
    assert where_stored(TEXT.encode()) == []


def test_results_are_delivered_first():
    job = a_job()
    a_decision(a_list_policy(), author_id=AUTHOR, text=TEXT)
    cancel(job=job, by=an_actor())
    Job.objects.update(output_ref="store/results.csv")
    assert erase().status == "working"

    Job.objects.update(delivered_at=timezone.now())

    assert go_on().status == "done"


def test_jobs_that_it_cannot_have_come_from_stay():
    policy = a_list_policy()
    key, _ = a_key("moderate")
    a_decision(policy, author_id=AUTHOR, key=key)  # another key's
    a_decision(policy, author_id=AUTHOR, at=timezone.now().replace(year=2020))  # long before the job
    job = a_job()

    assert erase().status == "done"

    assert Job.objects.get() == job
