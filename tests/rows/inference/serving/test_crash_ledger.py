"""From what an ended process left to the version that is refused: read once, whoever looks, and whatever fails meanwhile."""

import subprocess
import sys
from contextlib import contextmanager

import pytest
from django.db import DatabaseError

from inference.engine.errors import VersionBroken
from inference.engine.fake import FakeBackend
from inference.engine.loop import complete
from inference.jobs import services as jobs
from inference.jobs.services import SubmittedJob
from inference.jobs.transitions import Status
from inference.serving import crash_ledger, runtime
from inference.serving.crash_ledger import CrashLedger
from inference.serving.executors.sandbox import ChildDeath
from inference.serving.runtime import Runtime
from registry.catalogue.models import Version, VersionCrash
from tests.support.batchers import a_request
from tests.support.factories import a_split, an_actor
from tests.support.house import a_runner, an_engine, ended
from tests.support.live_models import put_live
from tests.support.onnx_models import scaled
from tests.support.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(crash_ledger, "folder", lambda: tmp_path / "crashes")
    return tmp_path / "crashes"


@pytest.fixture
def version(tmp_path):
    return put_live("demand", scaled(tmp_path / "m.onnx", 2.0))


@contextmanager
def a_ledger():
    ledger = CrashLedger("web")
    try:
        yield ledger
    finally:
        ledger.close()


def a_crash(folder, version_id):
    """A process of this host ends by a native crash while it runs the version."""
    code = (
        "import os, sys; from pathlib import Path; from inference.engine.crash_notes import CrashNotes\n"
        "notes = CrashNotes(Path(sys.argv[1]), 'web')\n"
        "with notes.running(int(sys.argv[2])): os.abort()"
    )
    ended = subprocess.run([sys.executable, "-c", code, folder, str(version_id)], cwd=ROOT, check=False)
    assert ended.returncode == -6


def crashes():
    return list(VersionCrash.objects.values_list("version_id", "signal", "process"))


def left(folder, ledger):
    return [path for path in folder.glob("*.crash") if path != ledger.notes.path]


def test_a_crash_is_written_down_and_its_notes_are_gone(folder, version):
    with a_ledger() as ledger:
        a_crash(folder, version.pk)

        ledger.collect()

        assert crashes() == [(version.pk, "SIGABRT", "web")]
        assert left(folder, ledger) == []


def test_what_cannot_be_written_stays_for_the_next_look(folder, version, monkeypatch):
    with a_ledger() as ledger:
        a_crash(folder, version.pk)
        with monkeypatch.context() as patch:
            patch.setattr(crash_ledger, "record_crash", _fail)
            with pytest.raises(DatabaseError):
                ledger.collect()
        waiting = len(left(folder, ledger))

        ledger.collect()

        assert (waiting, len(crashes()), left(folder, ledger)) == (1, 1, [])


def _fail(**_):
    raise DatabaseError("away")


def test_notes_that_could_not_be_removed_count_once(folder, version, monkeypatch):
    with a_ledger() as ledger:
        a_crash(folder, version.pk)
        with monkeypatch.context() as patch:
            patch.setattr(crash_ledger.EndedProcess, "forget", lambda _: None)
            ledger.collect()

        ledger.collect()

        assert (len(crashes()), left(folder, ledger)) == (1, [])


@pytest.mark.parametrize("version_id", [0, 987_654], ids=["nobody", "one that is not there"])
def test_a_crash_of_nobodys_is_only_in_the_log(folder, version, version_id):
    with a_ledger() as ledger:
        a_crash(folder, version_id)

        ledger.collect()

        assert (crashes(), left(folder, ledger)) == ([], [])


def test_children_count_by_the_signal_that_is_the_versions_own(folder, version):
    with a_ledger() as ledger:
        ledger.note_death(ChildDeath(version.pk))
        ledger.note_death(ChildDeath(version.pk, "SIGFPE"))
        ledger.note_death(ChildDeath(version.pk, "SIGSEGV"))

        ledger.collect()
        ledger.collect()

        assert sorted(crashes()) == [(version.pk, "SIGFPE", "child"), (version.pk, "SIGSEGV", "child")]
        assert Version.objects.get(pk=version.pk).is_broken


def test_a_runtime_reads_before_it_loads_and_loads_nothing_broken(folder, version):
    for _ in range(2):
        a_crash(folder, version.pk)
    backend, ledger = FakeBackend(), CrashLedger("web")
    started = Runtime(backend, ledger=ledger)
    try:
        started.start()

        assert backend.loads == []
        assert [target.number for target in started.table.broken()] == [1]
        with pytest.raises(VersionBroken):
            started.find("demand", None).fixed_target()
    finally:
        started.stop()
    assert list(folder.iterdir()) == []


def test_who_already_holds_a_target_is_refused_as_well(folder, version):
    """A job looks once who answers it, and goes on for hours."""
    with a_ledger() as ledger:
        runtime.start()
        try:
            here = runtime.started()
            target = here.find("demand", None).choose()
            for _ in range(2):
                a_crash(folder, version.pk)
            ledger.collect()
            here.refresh()

            with pytest.raises(VersionBroken):
                complete(here.infer(target, a_request({"x": [[1, 2, 3, 4]]})))
            assert not here.executor.is_warm(target)
        finally:
            runtime.stop()


def test_a_job_of_a_broken_version_ends_and_says_why(folder):
    with an_engine() as engine:
        version = engine.a_live_version()
        a_split(version.model, 100, versions=[version])
        job = jobs.accept(
            SubmittedJob(model=version.model.slug, rows=[{"x": [1.0, 0, 0, 0]}]),
            by=an_actor(),
            principal=None,
        )
        with a_ledger() as ledger:
            for _ in range(2):
                a_crash(folder, version.pk)
            ledger.collect()
        engine.runtime.refresh()
        with a_runner():
            ended(job)

    assert job.status == Status.FAILED
    assert "is broken" in job.failure
