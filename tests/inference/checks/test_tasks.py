"""The tasks by which the registry and the schedule ask for checks."""

import pytest
from celery.exceptions import Retry

from inference import tasks
from registry.errors import NotFound
from registry.intake.checklist.models import CheckRun
from tests.factories import a_model
from tests.inference.checks import fruit
from tests.inference.engine import onnx_models

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(tmp_path):
    return fruit.bring_in(onnx_models.identity(tmp_path / "m.onnx"), a_model(), labels=None)


def test_it_checks_and_says_who_asked(version):
    tasks.check_version.apply(args=[version.pk], kwargs={"asked_by": "anna"}).get()

    version.refresh_from_db()
    assert version.is_servable
    assert CheckRun.objects.get().asked_by == "task inference.check_version for anna"


def test_a_message_that_comes_twice_checks_again_and_harms_nothing(version):
    for _ in range(2):
        tasks.check_version.apply(args=[version.pk]).get()

    version.refresh_from_db()
    assert version.is_servable


def test_a_version_that_is_gone_is_an_error_of_the_task_alone():
    with pytest.raises(NotFound):
        tasks.check_version.apply(args=[12345]).get()


def test_checks_leave_threads_of_the_worker_to_others(version, monkeypatch):
    """What finds no place comes back later; nothing is checked meanwhile, and nothing is lost."""
    held = [tasks._checking for _ in range(2) if tasks._checking.acquire(blocking=False)]
    again = []
    monkeypatch.setattr(tasks.check_version, "retry", lambda **given: again.append(given) or Retry())

    with pytest.raises(Retry):
        tasks.check_version.run(version.pk)
    for place in held:
        place.release()

    assert again == [{"countdown": 2}]
    assert not CheckRun.objects.exists()
    tasks.check_version.run(version.pk)
    assert CheckRun.objects.get().state == "passed"
