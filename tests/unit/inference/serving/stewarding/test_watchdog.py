import threading

import pytest

from inference.serving.stewarding import watchdog
from inference.serving.stewarding.watchdog import Seen, Watchdog, register_watch
from registry import loops


@pytest.fixture(autouse=True)
def no_other_probes(monkeypatch):
    monkeypatch.setattr(watchdog, "_probes", {})


def stuck_after(seen, *, at=(0.0, 15.0, 30.0)):
    """What the dog says at each of these moments, of what the probe sees at each."""
    dog, moments = Watchdog(30.0), iter(seen)
    register_watch("queue", lambda: next(moments))
    return [dog.stuck(now) for now in at]


def test_what_waits_and_does_not_move_is_stuck():
    assert stuck_after([Seen(True, 7)] * 3) == [None, None, "queue"]


@pytest.mark.parametrize(
    "seen",
    [
        [Seen(True, 7), Seen(True, 8), Seen(True, 8)],
        [Seen(True, 7), Seen(False, 7), Seen(True, 7)],
        [Seen(False, 7)] * 3,
    ],
    ids=["something moved", "nothing waited in between", "nothing waits"],
)
def test_what_moves_or_has_nothing_to_do_is_not(seen):
    assert stuck_after(seen) == [None] * 3


def test_a_probe_that_cannot_tell_is_not_held_against_the_worker():
    answers = iter([Seen(True, 7), None, Seen(True, 7), Seen(True, 7)])

    def probe():
        seen = next(answers)
        if seen is None:
            raise ConnectionError("no broker")
        return seen

    dog = Watchdog(30.0)
    register_watch("queue", probe)

    assert [dog.stuck(now) for now in (0.0, 20.0, 40.0, 60.0)] == [None] * 4


def test_the_worker_is_ended():
    ended = threading.Event()
    register_watch("queue", lambda: Seen(True, 7))
    dog = Watchdog(0.2, end=ended.set)

    dog.start()

    assert ended.wait(10)
    dog.stop()


def test_switched_off_it_ends_nothing():
    """The control: with 0 there is no thread at all."""
    register_watch("queue", lambda: Seen(True, 7))
    dog = Watchdog(0.0, end=pytest.fail)
    before = loops.running()

    dog.start()

    assert loops.running() == before
