import threading

import pytest

from inference.serving import worker_process
from inference.serving.worker_process import WATCHES, QueueProgress, WorkerWatchdog
from registry.kit import loops


@pytest.fixture(autouse=True)
def no_other_probes(monkeypatch):
    monkeypatch.setattr(worker_process, "_probes", {})


def stuck_after(*seen, every_s=1.0):
    """What the dog says at last, when it looks so often and the probe sees this each time."""
    dog, looks = WorkerWatchdog(30.0), iter(seen)

    def probe():
        if (look := next(looks)) is None:
            raise ConnectionError("no broker")
        return look

    WATCHES.add("queue", probe)
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
