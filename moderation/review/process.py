"""What a worker does for people who review, all the time: cases are opened, and what was decided becomes final.

Loops, not chores: these look every second, and a chore of a busy worker would expire before it runs.
"""

from moderation.cases.opening import open_cases, withdraw_settled_failures
from moderation.review.finals import make_final
from registry.kit.loops import Loop, ThreadGroup

_EVERY_S, _SETTLED_EVERY_S = 1.0, 10.0

_threads: ThreadGroup | None = None


def start() -> None:
    global _threads
    _threads = ThreadGroup(
        "reviews",
        Loop("cases", lambda: open_cases() > 0, _EVERY_S, "contents wait for people, and nobody sees them"),
        Loop("final decisions", lambda: make_final() > 0, _EVERY_S, "verdicts do not become final"),
        Loop("settled failures", _withdraw, _SETTLED_EVERY_S, "cases wait although detectors are back"),
    )
    _threads.start()


def stop() -> None:
    global _threads
    if _threads is not None:
        _threads.stop()
    _threads = None


def _withdraw() -> None:
    withdraw_settled_failures()
