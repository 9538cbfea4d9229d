"""What the search finds of jobs, and how many failed lately."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from inference.jobs import services
from inference.jobs.models import Job
from inference.jobs.search import failed_jobs_badge, find_jobs
from inference.jobs.services import SubmittedJob
from inference.jobs.transitions import Status
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def job():
    model = make.a_live_model(100, slug="fruit")
    order = SubmittedJob(model=model.slug, rows=[{"x": [1, 2, 3, 4]}])
    return services.accept(order, by=make.an_actor(), principal=None)


@pytest.fixture
def request_by(rf):
    def request(by=None):
        made = rf.get("/")
        made.actor = by or make.an_actor()
        return made

    return request


def failed(job, **since):
    Job.objects.filter(pk=job.pk).update(
        status=Status.FAILED, failure="broken", ended_at=timezone.now(), **since
    )


def test_jobs_are_found_by_the_beginning_of_their_id(request_by, job):
    whole = str(job.pk)

    for text in (whole, whole[:8], whole[:8].upper(), whole.replace("-", ""), f"job {whole[:8]}"):
        (hit,) = find_jobs(request_by(), text)
        assert hit.url == reverse("admin:inference_job_change", args=[job.pk])
        assert hit.title == f"Job {whole[:8]}"
    for text in (whole[:3], "fruit", whole + "0", f"{whole[:7]}{'1' if whole[7] == '0' else '0'}"):
        assert find_jobs(request_by(), text) == [], text


def test_jobs_out_of_scope_are_not_found(request_by, job):
    nobody = make.an_actor("read_registry", models=frozenset())

    assert find_jobs(request_by(nobody), str(job.pk)) == []


def test_failed_jobs_of_the_last_day_are_counted(request_by, job):
    assert failed_jobs_badge(request_by()) is None

    failed(job)
    badge = failed_jobs_badge(request_by())

    assert (badge.count, badge.title, badge.is_bad) == (1, "1 job of the last 24 hours failed", True)
    assert failed_jobs_badge(request_by(make.an_actor("read_registry", models=frozenset()))) is None


def test_older_failures_are_not_counted(request_by, job):
    failed(job, created_at=timezone.now() - timedelta(hours=25))

    assert failed_jobs_badge(request_by()) is None
