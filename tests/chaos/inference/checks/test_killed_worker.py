"""Workers that are killed in the middle of a check, as the kernel does when memory runs out."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from inference.tasks import check_version
from registry.catalogue.models import Version
from registry.intake.checklist import dispatch
from registry.intake.checklist.models import CheckLine, CheckRun
from registry.intake.checklist.services import SILENT_AT_MOST, sweep
from registry.record.models import Event
from registry.traffic.models import Split
from tests.support import fruit, onnx_models
from tests.support.factories import a_model
from tests.support.processes import ROOT, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
CHILD = Path(__file__).with_name("checking_child.py")


@pytest.fixture
def version(tmp_path):
    return fruit.bring_in(onnx_models.identity(tmp_path / "m.onnx"), a_model(), labels=None)


@pytest.fixture
def sent(monkeypatch):
    """What the sweeper asks workers to do."""
    messages = []
    monkeypatch.setattr(
        dispatch,
        "_send",
        lambda version_id, only_unfinished, _: messages.append((version_id, only_unfinished)),
    )
    return messages


def lose_a_worker(version, run_number=1):
    """Have a process take the check, kill it in the middle, and let the database's clock go on by a quarter of an hour."""
    environ = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}",
    }
    name, folder = str(connection.settings_dict["NAME"]), str(settings.DATA_DIR)
    worker = subprocess.Popen([sys.executable, CHILD, name, folder, str(version.pk)], env=environ, cwd=ROOT)
    try:
        busy = CheckLine.objects.filter(
            run__version=version, run__number=run_number, step="probe", state="running"
        )
        wait_until(busy.exists, within_s=60, what="a worker in the middle of the check")
    finally:
        worker.kill()
        worker.wait()
    silent_since = Now() - SILENT_AT_MOST - timedelta(seconds=1)
    CheckRun.objects.filter(version=version, state="running").update(touched_at=silent_since)


def work(messages):
    """Be the worker that gets what was sent."""
    while messages:
        version_id, only_unfinished = messages.pop(0)
        check_version.apply(args=[version_id], kwargs={"only_unfinished": only_unfinished}).get()


def status_of(version):
    return Version.objects.get(pk=version.pk).status


def test_another_worker_is_asked_by_itself_and_makes_the_check(version, sent):
    lose_a_worker(version)

    sweep()
    work(sent)

    assert status_of(version) == "ready"
    assert list(CheckRun.objects.order_by("number").values_list("state", flat=True)) == ["failed", "passed"]
    assert not Split.objects.exists()


@pytest.mark.long
def test_without_the_sweeper_it_stays(version, sent):
    """Negative control: neither time nor another message helps."""
    lose_a_worker(version)

    check_version.apply(args=[version.pk]).get()

    assert (status_of(version), sent) == ("checking", [])
    assert CheckRun.objects.get().state == "running"


@pytest.mark.long
def test_a_file_that_costs_three_workers_costs_no_fourth(version, sent):
    for number in (1, 2, 3):
        lose_a_worker(version, number)
        sweep()
        assert [version_id for version_id, _ in sent] == [version.pk] * min(number, 2)

    work(sent)

    failed = Version.objects.get(pk=version.pk)
    assert (failed.status, failed.failure) == (
        "failed", "The worker was lost 3 times while checking this file.",
    )  # fmt: skip
    assert CheckRun.objects.count() == 3
    assert Event.objects.get().kind == "check_failed"
