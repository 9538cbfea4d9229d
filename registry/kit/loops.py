"""Background threads that repeat their work, survive any exception, and report failures."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connections

log = structlog.get_logger("roundhouse.loops")

# Not the fault of one row: the next query would fail as well, after its own timeout.
DATABASE_AWAY = (OperationalError, InterfaceError)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause after a failure; it doubles with each further failure."""

    first_s: float = 1.0
    longest_s: float = 30.0

    def after(self, failures: int) -> float:
        return min(self.first_s * 2.0 ** min(failures - 1, 30), self.longest_s)


@dataclass(frozen=True, slots=True)
class Loop:
    """Work that a background thread repeats."""

    name: str
    work: Callable[[], bool | None]  # True: there is more to do, so repeat immediately
    every_s: float | Callable[[], float] = 0.0
    meanwhile: str = ""  # what users notice while it fails; for the log
    backoff: Backoff = Backoff()
    expected: tuple[type[Exception], ...] = (DatabaseError,)  # logged without a traceback
    is_woken: bool = True  # whether `wake` wakes this loop too


@dataclass(frozen=True, slots=True)
class FailingLoop:
    """A failure, with only what anyone may see: the error's class, never its text."""

    name: str
    failures: int  # in a row
    since: datetime
    error: str


class ThreadGroup:
    """Threads that run the same loops until `stop`; each thread runs its loops one after another."""

    def __init__(
        self,
        name: str,
        *loops: Loop,
        threads: int = 1,
        wake_event: threading.Event | None = None,
        on_start: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_start` is called once in each thread. `wake_event`, which other code may set, requires `threads=1`."""
        self.stopping = threading.Event()
        self._loops, self._on_start, self._clock = loops, on_start, clock
        names = [name] if threads == 1 else [f"{name}-{number}" for number in range(1, threads + 1)]
        self._wake_events = [wake_event or threading.Event() for _ in names]
        self._threads = [
            threading.Thread(target=self._run, args=(thread_name, wake), name=thread_name, daemon=True)
            for thread_name, wake in zip(names, self._wake_events, strict=True)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Run all loops now. A failing loop still waits for its shortest pause, so that waking it cannot make it spin."""
        for event in self._wake_events:
            event.set()

    def stop(self, within_s: float | None = None) -> None:
        """Start no more rounds, and wait for the running ones, for at most `within_s` in total."""
        self.stopping.set()
        self.wake()
        ends_at = None if within_s is None else time.monotonic() + within_s
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(None if ends_at is None else max(0.0, ends_at - time.monotonic()))

    def _run(self, thread_name: str, wake: threading.Event) -> None:
        is_alone = len(self._threads) == 1
        rounds = [Rounds(loop, loop.name if is_alone else thread_name, self._clock) for loop in self._loops]
        _running.update(dict.fromkeys(rounds))
        try:
            self._prepare(thread_name)
            while not self.stopping.is_set():
                wait_s = min(loop.due_at for loop in rounds) - self._clock()
                if wait_s > 0 and wake.wait(wait_s):
                    wake.clear()  # before the round: a wake-up during it starts another round
                    for loop in rounds:
                        loop.hasten()
                for loop in rounds:
                    if loop.due_at <= self._clock() and not self.stopping.is_set():
                        loop.attempt()
        finally:
            for loop in rounds:
                _running.pop(loop, None)
            with suppress(DatabaseError):
                connections.close_all()

    def _prepare(self, thread_name: str) -> None:
        try:
            self._on_start()
        except Exception as error:
            log.error("a background thread could not be prepared", thread=thread_name, exc_info=error)


class Rounds:
    """A loop in one thread: when it is due, and whether its last round failed."""

    def __init__(self, loop: Loop, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop, self._name, self._clock = loop, name, clock
        self._earliest_at = self.due_at = clock()
        self.failing: FailingLoop | None = None

    def hasten(self) -> None:
        if self._loop.is_woken:
            self.due_at = min(self.due_at, max(self._clock(), self._earliest_at))

    def attempt(self) -> None:
        """Run one round and schedule the next. Catches whatever the round raises."""
        _current.rounds = self
        try:
            close_old_connections()
            try:
                has_more = self._loop.work()
            finally:
                close_old_connections()  # idle threads hold no connection from the pool
            every_s = self._loop.every_s
            pause_s = every_s if isinstance(every_s, int | float) else every_s()
        except Exception as error:  # noqa: BLE001 (the thread must survive, or its work would stop for good)
            self._note_failure(error)
        else:
            self.note_success()
            self.due_at = self._clock() + (0.0 if has_more else pause_s)

    def note_success(self) -> None:
        if self.failing is not None:
            log.info("a background loop works again", loop=self._name, failures=self.failing.failures)
            self.failing = None

    def _note_failure(self, error: Exception) -> None:
        before, backoff, now = self.failing, self._loop.backoff, self._clock()
        failures = 1 if before is None else before.failures + 1
        since = datetime.now(UTC) if before is None else before.since
        self.failing = FailingLoop(self._name, failures, since, type(error).__name__)
        pause_s = backoff.after(failures)
        self.due_at, self._earliest_at = now + pause_s, now + backoff.after(1)
        facts = {"loop": self._name, "failures": failures, "again_in_s": round(pause_s, 3)}
        if self._loop.meanwhile:
            facts["meanwhile"] = self._loop.meanwhile
        if isinstance(error, self._loop.expected):
            log.warning("a background loop fails", reason=str(error), **facts)
        else:
            log.error("a background loop fails", exc_info=error, **facts)


_running: dict[Rounds, None] = {}  # changed and copied without a lock: a signal handler may stop threads
_current = threading.local()


def note_success() -> None:
    """Report progress from a long round, such as one that reads from a connection."""
    success_noter()()


def success_noter() -> Callable[[], None]:
    """This thread's `note_success`, for an event loop that does this thread's work."""
    rounds: Rounds | None = getattr(_current, "rounds", None)
    return rounds.note_success if rounds is not None else lambda: None


def running() -> int:
    """The number of loops in this process."""
    return len(_running)


def failing() -> list[FailingLoop]:
    """The loops of this process whose last round failed, the longest-failing first."""
    failures = [rounds.failing for rounds in list(_running)]
    return sorted((failure for failure in failures if failure is not None), key=lambda failure: failure.since)


class Attempts:
    """Makes several calls even if some fail, and raises the first error at the end.

    Only errors in `away` stop it immediately: by default, those of a database that is not responding.
    """

    def __init__(self, away: tuple[type[Exception], ...] = DATABASE_AWAY) -> None:
        self._away = away
        self._errors: list[Exception] = []

    def __call__(self, work: Callable[..., Result], *arguments: Any) -> Result | None:
        try:
            return work(*arguments)
        except self._away:
            raise
        except Exception as error:  # noqa: BLE001 (raised or logged at the end)
            self._errors.append(error)
            return None

    def __enter__(self) -> "Attempts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for other in self._errors if error is not None else self._errors[1:]:
            log.error("one of several attempts failed", exc_info=other)
        if error is None and self._errors:
            raise self._errors[0]
