"""Live versions are checked again after an upgrade of the runtime or another way of loading, one at a time."""

from datetime import timedelta

import pytest
from django.utils import timezone

from inference import tasks
from inference.checks import services
from inference.checks.services import recheck_runtime
from inference.engine.backends import SessionOptions
from registry.intake.checklist.models import CheckRun
from registry.intake.checklist.services import start_run, sweep
from registry.record.leases import claim, release
from registry.record.models import Event
from registry.traffic.assignment import WHOLE
from registry.traffic.services import set_split
from tests.support import fruit, onnx_models
from tests.support.factories import a_model, an_actor

pytestmark = pytest.mark.django_db


def recheck(options=fruit.OPTIONS):
    return recheck_runtime(options_for=lambda _: options, by=an_actor())


@pytest.fixture
def live(tmp_path):
    return fruit.go_live(tmp_path)


@pytest.fixture
def upgraded(monkeypatch):
    """The runtime as the next release, for runs that start from now on."""
    for module in ("inference.checks.services", "inference.checks.runner"):
        monkeypatch.setattr(f"{module}.runtime_version", lambda: "99.0")


def runs():
    return list(CheckRun.objects.order_by("id").values_list("number", "runtime_version"))


def test_what_was_checked_so_is_left_alone(live):
    assert recheck() == 0
    assert len(runs()) == 1


def test_another_runtime_is_another_check(live, upgraded):
    assert recheck() == 1
    assert runs()[-1] == (2, "99.0")
    assert recheck() == 0  # and no third


def test_another_way_of_loading_is_another_check(live):
    other = SessionOptions(graph_level="basic")

    assert (recheck(other), recheck(other), len(runs())) == (1, 0, 2)


def test_only_what_answers_is_checked(tmp_path, upgraded):
    fruit.bring_in(onnx_models.identity(tmp_path / "m.onnx"), a_model(), labels=None)

    assert recheck() == 0


@pytest.mark.both
def test_all_that_answers_is_checked_one_after_the_other(tmp_path, upgraded, monkeypatch):
    for slug in ("fruit", "nuts"):
        fruit.go_live(tmp_path, slug)
    at_once = []
    real = services.check_version

    def check(**given):
        at_once.append(claim("recheck-runtime", holder="another worker", for_s=60))
        return real(**given)

    monkeypatch.setattr(services, "check_version", check)
    monkeypatch.setattr(services, "runtime_version", lambda: "100.0")

    assert recheck() == 2
    assert at_once == [False, False]


@pytest.mark.both
def test_while_another_worker_does_it_this_one_leaves_it(live, upgraded):
    claim("recheck-runtime", holder="another worker", for_s=60)

    assert recheck() == 0

    release("recheck-runtime", holder="another worker")
    assert recheck() == 1


def test_a_live_version_that_fails_is_told_and_still_answers(live, upgraded, tmp_path):
    """The next release gives other numbers: examples notice, people are notified, traffic does not change."""
    model = a_model("other", task="classification")
    path = fruit.write(tmp_path / "other.onnx")
    version = fruit.bring_in(path, model, with_examples=fruit.examples())
    services.run_checks(version_id=version.pk, options_for=lambda _: fruit.OPTIONS, by=an_actor())
    version.refresh_from_db()
    set_split(model=model, arms={version: WHOLE}, reason="live", by=an_actor())
    row = version.conformance_examples.get()
    type(row).objects.filter(pk=row.pk).update(expected={"scores": [[0, 0, 0]] * 3})

    assert recheck(SessionOptions(graph_level="basic")) == 2

    version.refresh_from_db()
    assert version.is_servable
    event = Event.objects.get(kind="recheck_failed")
    assert event.data["version"] == 1 and "scores" in event.data["failure"]


@pytest.mark.parametrize(("lost", "checked"), [(2, 1), (3, 0)])
def test_a_file_that_has_cost_three_workers_is_left_alone(live, upgraded, lost, checked):
    for _ in range(lost):
        run = start_run(version_id=live.pk, runtime_version="99.0", by=an_actor())
        CheckRun.objects.filter(pk=run.pk).update(touched_at=timezone.now() - timedelta(hours=1))
        sweep()

    assert recheck() == checked


def test_the_task_knows_how_versions_are_loaded(live):
    """As the import did, which the serving settings say: so nothing is due."""
    tasks.recheck_runtime.apply().get()

    assert len(runs()) == 1
