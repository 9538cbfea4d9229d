"""Scratch folders: nothing of a killed owner stays, and nothing of a living one goes."""

import fcntl
import subprocess
import sys

import pytest

from inference import scratch
from inference.checks.probe import probe
from inference.checks.trial import Trial
from inference.engine.backends import SessionOptions
from inference.scratch import ScratchFolder, sweep_scratch_folders
from inference.tasks import sweep_engines
from roundhouse import worker
from tests.support import onnx_models
from tests.support.processes import product_environment

OWNER = """
import sys
from inference.scratch import ScratchFolder
folder = ScratchFolder("probe")
(folder.path / "left").write_text("")
print(folder.path.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def root(tmp_path, settings):
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR / "tmp" / "checks"


@pytest.fixture
def another_process(settings):
    """A process that owns a folder; gives itself and the folder's name."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env=product_environment(DATA=settings.DATA_DIR), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with owner:
        yield owner, owner.stdout.readline().strip()
        owner.kill()


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_a_killed_owners_folder_is_swept_and_a_living_ones_is_not(another_process, root):
    owner, name = another_process
    mine = ScratchFolder("trial")
    everything = sorted([name, f"{name}.lock", mine.path.name, f"{mine.path.name}.lock"])

    assert sweep_scratch_folders() == 0
    assert names(root) == everything

    owner.kill()
    owner.wait()
    assert names(root) == everything  # without a sweep it stays
    assert sweep_scratch_folders() == 1
    assert names(root) == [mine.path.name, f"{mine.path.name}.lock"]
    mine.remove()
    assert names(root) == []


def test_what_is_not_ours_stays(root):
    root.mkdir(parents=True)
    (root / "probe-of-somebody").mkdir()
    (root.parent / "probe-abc").mkdir()

    assert sweep_scratch_folders() == 0
    assert names(root) == ["probe-of-somebody"]
    assert names(root.parent) == ["checks", "probe-abc"]


def test_a_sweep_before_the_lock_costs_a_name_only(root, monkeypatch):
    """The lock's file is there for a moment before it is locked."""
    real, swept = fcntl.flock, []

    def flock(lock, how):
        if not swept and how == fcntl.LOCK_EX:
            swept.append(lock.name)
            monkeypatch.setattr(fcntl, "flock", real)
            assert sweep_scratch_folders() == 1
        real(lock, how)

    monkeypatch.setattr(scratch.fcntl, "flock", flock)

    with ScratchFolder("probe") as folder:
        assert len(swept) == 1
        assert names(root) == [folder.name, f"{folder.name}.lock"]
        assert sweep_scratch_folders() == 0


def test_what_cannot_be_removed_is_found_again(root, monkeypatch):
    folder = ScratchFolder("probe")
    with monkeypatch.context() as patch:
        patch.setattr(scratch.shutil, "rmtree", lambda *_, **__: None)
        folder.remove()
    assert names(root) == [folder.path.name, f"{folder.path.name}.lock"]

    assert sweep_scratch_folders() == 1
    assert names(root) == []


def test_probe_and_trial_work_in_them_and_leave_nothing(root, tmp_path, monkeypatch):
    made, real = [], scratch._claimed
    monkeypatch.setattr(scratch, "_claimed", lambda kind: made.append(kind) or real(kind))
    path = onnx_models.identity(tmp_path / "m.onnx")

    assert probe(path, SessionOptions()).code == "passed"
    with Trial(path, SessionOptions()):
        assert len(names(root)) == 2

    assert made == ["probe", "trial"]
    assert names(root) == []


def test_the_chore_sweeps(monkeypatch):
    swept = []
    monkeypatch.setattr("inference.tasks.steward_services.sweep_engines", lambda: None)
    monkeypatch.setattr("inference.tasks.sweep_scratch_folders", lambda: swept.append(1))

    sweep_engines()

    assert swept == [1]


def test_a_worker_sweeps_before_it_takes_work(monkeypatch, root):
    class Loading(Exception):
        pass

    def load():
        raise Loading(names(root))

    root.mkdir(parents=True)
    (root / "probe-dead").mkdir()
    (root / "probe-dead.lock").touch()
    monkeypatch.setattr(worker.runtime, "start_in_worker", load)

    with pytest.raises(Loading) as begun:
        worker.start()

    assert begun.value.args == ([],)
