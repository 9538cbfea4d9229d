"""Several workers take the same message: one checks, the others are told."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from registry.errors import Conflict
from registry.intake.checklist.models import CheckRun
from registry.intake.checklist.services import end_run, start_run
from registry.record.models import AuditRecord
from tests.support.factories import SIGNATURE, a_version, an_actor, an_uploaded_version

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]


def at_once(work, times=4):
    def one(_number):
        try:
            work()
            return "done"
        except Conflict as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return sorted(pool.map(one, range(times)))


@pytest.mark.parametrize("make", [an_uploaded_version, a_version], ids=["first check", "again"])
def test_one_of_several_workers_starts_the_run(make):
    version = make()

    told = at_once(lambda: start_run(version_id=version.pk, runtime_version="1", by=an_actor()))

    assert told == ["conflict", "conflict", "conflict", "done"]
    assert CheckRun.objects.count() == 1


def test_a_run_ends_once():
    run = start_run(version_id=an_uploaded_version().pk, runtime_version="1", by=an_actor())

    told = at_once(lambda: end_run(run=run, signature=SIGNATURE, by=an_actor()))

    assert told.count("done") == 1
    assert AuditRecord.objects.filter(action="pass_check").count() == 1
