"""Several workers take the same message: one checks, the others are told."""

import pytest

from registry.errors import Conflict
from registry.intake.checklist.models import CheckRun
from registry.intake.checklist.services import end_run, start_run
from registry.record.models import AuditRecord
from tests.support.factories import SIGNATURE, a_version, an_actor, an_uploaded_version
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]


def told_to_four(work):
    def one():
        try:
            work()
            return "done"
        except Conflict as refusal:
            return refusal.code

    return sorted(at_once([one] * 4))


@pytest.mark.parametrize("make", [an_uploaded_version, a_version], ids=["first check", "again"])
def test_one_of_several_workers_starts_the_run(make):
    version = make()

    told = told_to_four(lambda: start_run(version_id=version.pk, runtime_version="1", by=an_actor()))

    assert told == ["conflict", "conflict", "conflict", "done"]
    assert CheckRun.objects.count() == 1


def test_a_run_ends_once():
    run = start_run(version_id=an_uploaded_version().pk, runtime_version="1", by=an_actor())

    told = told_to_four(lambda: end_run(run=run, signature=SIGNATURE, by=an_actor()))

    assert told.count("done") == 1
    assert AuditRecord.objects.filter(action="pass_check").count() == 1
