"""Lists of jobs, newest first, read an index and sort nothing, however many jobs there are."""

import pytest
from django.db import connection

from inference.jobs.models import Job
from tests.support.factories import a_model, a_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.mark.parametrize(
    ("given", "index"),
    [
        pytest.param(lambda: {}, "job_newest", id="all"),
        pytest.param(lambda: {"model": a_model()}, "job_of_model", id="a Model's"),
        pytest.param(lambda: {"tenant": a_tenant()}, "job_of_tenant", id="a tenant's"),
    ],
)
def test_newest_jobs_are_found_by_an_index(given, index):
    jobs = Job.objects.filter(**given()).order_by("-created_at")[:20]
    if connection.vendor == "postgresql":  # which reads a table whole that is as small as a test's
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")

    plan = jobs.explain()

    assert index in plan
    assert "sort" not in plan.lower()
    assert "temp b-tree" not in plan.lower()
