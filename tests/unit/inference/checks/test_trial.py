"""The trial: a child that answers many times, and never takes the worker with it."""

import os

import numpy as np
import pytest

from inference.checks import frames
from inference.checks import trial as trials
from inference.checks.trial import Trial, TrialFailed
from inference.engine.backends import SessionOptions
from inference.engine.fake import HANG, POISON
from tests.support import onnx_models

OPTIONS = SessionOptions()
MIB = 1 << 20


def hostile(backend, path, **more):
    return Trial(path, OPTIONS, backend=f"tests.support.hostile:{backend}", **more)


def rows(*firsts):
    return {"x": np.array([[first, 0, 0, 0] for first in firsts], np.float32)}


@pytest.fixture
def any_file(tmp_path):
    path = tmp_path / "any"
    path.write_bytes(b"any")
    return path


def children():
    return {pid for pid in os.listdir("/proc") if pid.isdigit() and _parent(pid) == os.getpid()}


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def test_a_file_answers_as_often_as_it_is_asked(tmp_path):
    before = children()

    with Trial(onnx_models.scaled(tmp_path / "m.onnx", 2.0), OPTIONS) as trial:
        answers = [trial.run(rows(number, 1), soft_limit_s=5)["y"] for number in range(3)]
        assert (trial.provider, trial.signature.has_row_axis) == ("CPUExecutionProvider", True)

    assert [answer[:, 0].tolist() for answer in answers] == [[0, 2], [2, 2], [4, 2]]
    assert children() == before


def test_only_what_is_wanted_is_handed_over(tmp_path):
    with Trial(onnx_models.sum_and_difference(tmp_path / "m.onnx"), OPTIONS) as trial:
        ones = np.ones((1, 2), np.float32)
        wanted = trial.run({"a": ones, "b": ones}, ["difference"], soft_limit_s=5)

    assert {name: tensor.tolist() for name, tensor in wanted.items()} == {"difference": [[0, 0]]}


def test_what_is_too_large_to_be_handed_over_is_refused_and_nothing_breaks(tmp_path, monkeypatch):
    with Trial(onnx_models.scaled(tmp_path / "m.onnx", 2.0), OPTIONS) as trial:
        monkeypatch.setattr(frames, "MAX_BYTES", 64)
        with pytest.raises(TrialFailed) as refused:
            trial.run(rows(1, 2, 3), soft_limit_s=5)
        monkeypatch.undo()
        assert trial.run(rows(1), soft_limit_s=5)["y"][0, 0] == 2

    assert refused.value.code == "too_large"


def test_the_warm_up_runs_the_ladder(tmp_path):
    with Trial(onnx_models.scaled(tmp_path / "m.onnx", 2.0), OPTIONS) as trial:
        profile, memory = trial.warm_up(max_batch=6, limit_bytes=1 << 30, soft_limit_s=5, time_limit_s=20)

    assert list(profile) == [1, 2, 4, 6]
    assert all(seconds > 0 for seconds in profile.values())
    assert memory.loaded_bytes > 0
    assert list(memory.by_rows) == [1, 2, 4, 6]


def test_a_refused_run_fails_for_itself(any_file):
    with hostile("Answering", any_file) as trial:
        with pytest.raises(TrialFailed) as refused:
            trial.run(rows(POISON), soft_limit_s=5)

        assert refused.value.code == "run_failed"
        assert trial.run(rows(3), soft_limit_s=5)["y"][0, 0] == 6


def test_a_run_ends_at_its_soft_limit(any_file):
    with hostile("Answering", any_file) as trial:
        with pytest.raises(TrialFailed):
            trial.run(rows(HANG), soft_limit_s=0.05)

        assert trial.run(rows(3), soft_limit_s=5)["y"][0, 0] == 6


def test_a_run_that_cannot_be_ended_ends_with_its_child(any_file, monkeypatch):
    monkeypatch.setattr(trials, "_GRACE_S", trials._GRACE_S / 10)
    with hostile("HangingInRun", any_file) as trial:
        for soft_limit_s in (0.2, 600):  # later questions fail at once, as that one did
            with pytest.raises(TrialFailed, match=r"0\.4 s while running") as late:
                trial.run(rows(1), soft_limit_s=soft_limit_s)
            assert late.value.code == "timed_out"


def test_a_warm_up_that_hangs_has_a_limit_too(any_file):
    with (
        hostile("HangingInRun", any_file) as trial,
        pytest.raises(TrialFailed, match=r"0\.3 s during its warm-up"),
    ):
        trial.warm_up(max_batch=4, limit_bytes=1 << 30, soft_limit_s=60, time_limit_s=0.3)


def test_a_crash_in_a_run_is_told_with_its_signal(any_file):
    with hostile("DyingOnRows", any_file) as trial:
        trial.run(rows(1), soft_limit_s=5)
        with pytest.raises(TrialFailed, match=r"running.*SIGSEGV") as crash:
            trial.run(rows(1, 2), soft_limit_s=5)

    assert crash.value.code == "crashed_signal"


@pytest.mark.parametrize(
    ("backend", "told"), [("Crashing", "SIGSEGV"), ("Exiting", "exit status 3"), ("Raising", "exit status 1")]
)
def test_a_crash_while_loading_is_reported(any_file, backend, told):
    before = children()

    with pytest.raises(TrialFailed, match=told), hostile(backend, any_file):
        pass

    assert children() == before


def test_a_file_that_does_not_load_says_why(any_file):
    with pytest.raises(TrialFailed) as refused, Trial(any_file, OPTIONS):
        pass

    assert refused.value.code == "load_failed"


def test_bytes_that_were_not_checked_are_not_loaded(tmp_path):
    path = onnx_models.identity(tmp_path / "m.onnx")

    with (
        pytest.raises(TrialFailed, match="SHA-256"),
        Trial(path, SessionOptions(expected_sha256="0" * 64)),
    ):
        pass


def test_who_takes_the_child_over_is_not_believed(any_file):
    with pytest.raises(TrialFailed, match="took over") as refused, hostile("TakingOver", any_file):
        pass

    assert refused.value.code == "crashed_signal"


class TestMemory:
    @pytest.fixture
    def bomb(self, tmp_path):
        return onnx_models.bomb(tmp_path / "m.onnx", 400)

    def test_a_bomb_is_refused_at_the_cap(self, bomb):
        with (
            Trial(bomb, OPTIONS, memory_limit_bytes=256 * MIB) as trial,
            pytest.raises(TrialFailed, match="256 MiB") as refused,
        ):
            trial.run(rows(1), soft_limit_s=20)

        assert refused.value.code == "memory"

    def test_without_the_cap_it_would_go_off(self, bomb):
        """Negative control: the same file under a higher cap takes what it asks for."""
        with Trial(bomb, OPTIONS, memory_limit_bytes=2048 * MIB) as trial:
            assert trial.run(rows(1), soft_limit_s=20)["y"].shape == (1, 4)

    def test_with_cuda_the_parent_watches_instead(self, any_file):
        cuda = SessionOptions(providers=("CUDAExecutionProvider",))
        trial = Trial(any_file, cuda, memory_limit_bytes=64 * MIB, backend="tests.support.hostile:Hungry")

        with pytest.raises(TrialFailed, match="64 MiB"), trial:
            pass
