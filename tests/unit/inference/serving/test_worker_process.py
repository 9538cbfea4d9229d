import threading

import pytest

from inference.serving import worker_process
from inference.serving.worker_process import STOP_HOOKS, Shutdown


@pytest.fixture(autouse=True)
def no_other_hooks(monkeypatch):
    monkeypatch.setattr(worker_process, "_hooks", {})


def test_every_hook_is_called_at_once_with_the_time_that_is_left():
    met, given = threading.Barrier(2), []

    def hook(left_s):
        met.wait(10)  # each needs the other to run beside it
        given.append(left_s)

    STOP_HOOKS.add("jobs", hook)
    STOP_HOOKS.add("batches", hook)

    assert Shutdown(within_s=10.0).wait()
    assert len(given) == 2
    assert all(5.0 < left_s <= 10.0 for left_s in given)


def test_one_that_fails_keeps_nobody_waiting():
    def fail(_left_s):
        raise RuntimeError("gone wrong")

    STOP_HOOKS.add("jobs", fail)

    assert Shutdown(within_s=10.0).wait()


def test_one_that_does_not_end_in_time_is_left():
    release = threading.Event()
    STOP_HOOKS.add("jobs", lambda _left_s: release.wait(10))

    assert not Shutdown(within_s=0.05).wait()
    release.set()
