"""Each constraint with a row that passes and one that fails; past the services, as a shell would write them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.intake.checklist.models import CheckLine, CheckRun
from tests.support.constraints import passes
from tests.support.factories import a_version

pytestmark = [pytest.mark.django_db, pytest.mark.both]
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
    ("make", "values", "is_good"),
    [
        (a_run, {}, True),
        (a_run, {"number": 0}, False),
        (a_run, {"ended_at": NOW}, False),
        (a_run, {"state": "passed", "ended_at": NOW}, True),
        (a_run, {"state": "passed", "ended_at": BEFORE}, False),
        (a_run, {"state": "passed"}, False),
        (a_run, {"state": "passed", "ended_at": NOW, "reason": "x"}, False),
        (a_run, {"state": "failed", "ended_at": NOW, "reason": "x"}, True),
        (a_run, {"state": "failed", "ended_at": NOW}, False),
        (a_run, {"state": "dancing"}, False),
        (a_run, {"reason": "x"}, False),
        (a_line, {}, True),
        (a_line, {"step": "dance"}, False),
        (a_line, {"state": "dancing"}, False),
        (a_line, {"started_at": NOW}, False),
        (a_line, {"state": "running", "started_at": NOW}, True),
        (a_line, {"state": "running"}, False),
        (a_line, {"state": "running", "started_at": NOW, "ended_at": NOW}, False),
        (a_line, {"state": "passed", "started_at": BEFORE, "ended_at": NOW}, True),
        (a_line, {"state": "passed", "ended_at": NOW}, False),
        (a_line, {"state": "passed", "started_at": NOW}, False),
        (a_line, {"state": "passed", "started_at": NOW, "ended_at": BEFORE}, False),
        (a_line, {"state": "failed", "started_at": NOW, "ended_at": NOW, "reason": "x"}, True),
        (a_line, {"state": "failed", "started_at": NOW, "ended_at": NOW}, False),
        (a_line, {"state": "skipped", "ended_at": NOW}, True),
        (a_line, {"state": "skipped"}, False),
    ],
)
def test_a_row_by_itself(make, values, is_good):
    assert passes(make(**values)) is is_good


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


def test_a_step_once_per_run():
    first = a_line()

    assert passes(first)
    assert not passes(a_line(first.run))
    assert passes(a_line(first.run, step="probe"))
