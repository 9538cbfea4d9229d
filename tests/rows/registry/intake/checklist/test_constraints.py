"""Each constraint with a row that passes and one that fails; past the services, as a shell would write them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.intake.checklist.models import CheckLine, CheckRun
from tests.support.constraints import passes
from tests.support.factories import a_version

pytestmark = pytest.mark.django_db
NOW = timezone.now()
BEFORE = NOW - timedelta(seconds=1)


def a_run(version=None, **values):
    given = {"number": 1, "runtime_version": "1", "asked_by": "x", "started_at": NOW, **values}
    return CheckRun(version=version or a_version(), **given)


def a_line(run=None, **values):
    if run is None:
        run = a_run()
        run.save()
    return CheckLine(run=run, **{"step": "gate", **values})


@pytest.mark.parametrize(
    ("values", "is_good"),
    [
        ({}, True),
        ({"number": 0}, False),
        ({"ended_at": NOW}, False),
        ({"state": "passed", "ended_at": NOW}, True),
        ({"state": "passed", "ended_at": BEFORE}, False),
        ({"state": "passed"}, False),
        ({"state": "passed", "ended_at": NOW, "reason": "x"}, False),
        ({"state": "failed", "ended_at": NOW, "reason": "x"}, True),
        ({"state": "failed", "ended_at": NOW}, False),
        ({"state": "dancing"}, False),
        ({"reason": "x"}, False),
    ],
)
def test_run(values, is_good):
    assert passes(a_run(**values)) is is_good


def test_run_number_once_per_version():
    version = a_version()
    ended = {"state": "passed", "ended_at": NOW}

    assert passes(a_run(version, **ended))
    assert not passes(a_run(version, **ended))
    assert passes(a_run(version, number=2, **ended))
    assert passes(a_run(**ended))


def test_one_running_run_per_version():
    version = a_version()

    assert passes(a_run(version))
    assert not passes(a_run(version, number=2))
    assert passes(a_run())


@pytest.mark.parametrize(
    ("values", "is_good"),
    [
        ({}, True),
        ({"step": "dance"}, False),
        ({"state": "dancing"}, False),
        ({"started_at": NOW}, False),
        ({"state": "running", "started_at": NOW}, True),
        ({"state": "running"}, False),
        ({"state": "running", "started_at": NOW, "ended_at": NOW}, False),
        ({"state": "passed", "started_at": BEFORE, "ended_at": NOW}, True),
        ({"state": "passed", "ended_at": NOW}, False),
        ({"state": "passed", "started_at": NOW}, False),
        ({"state": "passed", "started_at": NOW, "ended_at": BEFORE}, False),
        ({"state": "failed", "started_at": NOW, "ended_at": NOW, "reason": "x"}, True),
        ({"state": "failed", "started_at": NOW, "ended_at": NOW}, False),
        ({"state": "skipped", "ended_at": NOW}, True),
        ({"state": "skipped"}, False),
    ],
)
def test_line(values, is_good):
    assert passes(a_line(**values)) is is_good


def test_a_step_once_per_run():
    run = a_run()
    run.save()

    assert passes(a_line(run))
    assert not passes(a_line(run))
    assert passes(a_line(run, step="probe"))
