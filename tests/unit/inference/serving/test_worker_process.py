import threading

import pytest

from inference.serving.worker_process import STOP_HOOKS, WATCHES, QueueProgress, Shutdown, WorkerWatchdog
from registry.kit import loops


@pytest.fixture(autouse=True)
def nothing_else_is_registered(monkeypatch):
    monkeypatch.setattr(STOP_HOOKS, "_items", {})
    monkeypatch.setattr(WATCHES, "_items", {})


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


def stuck_after(*seen, every_s=1.0):
    """What the dog says at last, when it looks so often and the probe sees this each time."""
    dog, looks = WorkerWatchdog(30.0), iter(seen)

    def probe():
        if (look := next(looks)) is None:
            raise ConnectionError("no broker")
        return look

    with WATCHES.changed(queue=probe):
        return [dog.stuck(number * every_s) for number in range(len(seen))][-1]


STILL = QueueProgress(True, 7)


def test_what_waits_and_does_not_move_is_stuck():
    assert stuck_after(*[STILL] * 30) is None
    assert stuck_after(*[STILL] * 31) == "queue"


@pytest.mark.parametrize(
    "other",
    [QueueProgress(True, 6), QueueProgress(False, 7), None],
    ids=["something moved", "nothing waited in between", "the probe could not tell"],
)
def test_the_clock_starts_again(other):
    assert stuck_after(*[STILL] * 20, other, *[STILL] * 29) is None
    assert stuck_after(*[STILL] * 20, other, *[STILL] * 31) == "queue"


def test_what_has_nothing_to_do_is_not_stuck():
    assert stuck_after(*[QueueProgress(False, 7)] * 40) is None


def test_a_process_that_got_no_processor_is_not_blamed_for_the_time():
    """Looks that should be a second apart come a minute apart: after half of them it had half its time."""
    assert stuck_after(*[STILL] * 16, every_s=60.0) is None
    assert stuck_after(*[STILL] * 31, every_s=60.0) == "queue"


def test_the_worker_is_ended():
    ended = threading.Event()
    WATCHES.add("queue", lambda: QueueProgress(True, 7))
    dog = WorkerWatchdog(0.2, end=ended.set)

    dog.start()

    assert ended.wait(10)
    dog.stop()


def test_switched_off_it_ends_nothing():
    """The control: with 0 there is no thread at all."""
    WATCHES.add("queue", lambda: QueueProgress(True, 7))
    dog = WorkerWatchdog(0.0, end=pytest.fail)
    before = loops.running()

    dog.start()

    assert loops.running() == before
