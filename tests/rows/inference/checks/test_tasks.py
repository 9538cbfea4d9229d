"""The tasks by which the registry and the schedule ask for checks."""

import pytest

from inference import tasks
from registry.intake.checklist.models import CheckRun
from tests.support import fruit, onnx_models
from tests.support.factories import a_model

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(tmp_path):
    return fruit.bring_in(onnx_models.identity(tmp_path / "m.onnx"), a_model(), labels=None)


def test_it_checks_and_says_who_asked(version):
    tasks.check_version.apply(args=[version.pk], kwargs={"asked_by": "anna"}).get()

    version.refresh_from_db()
    assert version.is_servable
    assert CheckRun.objects.get().asked_by == "task inference.check_version for anna"


def test_a_deleted_version_ends_only_its_own_check(version):
    tasks.check_version.apply(args=[12345]).get()
    tasks.check_version.apply(args=[version.pk]).get()

    assert CheckRun.objects.get().state == "passed"


def test_checks_leave_threads_of_the_worker_to_others(settings):
    assert tasks._turns._places == max(1, settings.WORKER_THREADS // 2)
