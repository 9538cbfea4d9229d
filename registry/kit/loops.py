"""Background threads: what they do is done over and over, goes on whatever it raises, and failures are reported."""

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

# No single row is to blame for these: what comes next would fail as well, after a time-out of its own.
DATABASE_AWAY = (OperationalError, InterfaceError)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a failure: twice as long each time it fails again."""

    first_s: float = 1.0
    longest_s: float = 30.0

    def after(self, failures: int) -> float:
        return min(self.first_s * 2.0 ** min(failures - 1, 30), self.longest_s)


@dataclass(frozen=True, slots=True)
class Loop:
    """One thing that a background thread does over and over."""

    name: str
    work: Callable[[], bool | None]  # True: there is more to do at once
    every_s: float | Callable[[], float] = 0.0
    meanwhile: str = ""  # what users notice while it fails; for the log
    backoff: Backoff = Backoff()
    expected: tuple[type[Exception], ...] = (DatabaseError,)  # need no traceback
    is_woken: bool = True  # whether `wake` means this loop too


@dataclass(frozen=True, slots=True)
class FailingLoop:
    """What may be told of a failure to anybody: the error's class, never its text."""

    name: str
    failures: int  # in a row
    since: datetime
    error: str


class ThreadGroup:
    """Threads that run the same loops until `stop`; each thread takes its loops in turns."""

    def __init__(
        self,
        name: str,
        *loops: Loop,
        threads: int = 1,
        wake_event: threading.Event | None = None,
        on_start: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_start` is called once in each thread. A `wake_event` that others set is for a group of one thread."""
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
        """Do everything now. What is failing is tried after its shortest pause, so that nobody can hurry it into a spin."""
        for event in self._wake_events:
            event.set()

    def stop(self, within_s: float | None = None) -> None:
        """Start no more rounds, and wait for those under way, no longer than so long in all."""
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
                wait_s = min(one.due_at for one in rounds) - self._clock()
                if wait_s > 0 and wake.wait(wait_s):
                    wake.clear()  # before the round: what is announced during it calls for another one
                    for one in rounds:
                        one.hasten()
                for one in rounds:
                    if one.due_at <= self._clock() and not self.stopping.is_set():
                        one.attempt()
        finally:
            for one in rounds:
                _running.pop(one, None)
            with suppress(DatabaseError):
                connections.close_all()

    def _prepare(self, thread_name: str) -> None:
        try:
            self._on_start()
        except Exception as error:
            log.error("a background thread could not be prepared", thread=thread_name, exc_info=error)


class Rounds:
    """A loop as one thread does it: when it is due, and how its last rounds went."""

    def __init__(self, loop: Loop, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop, self._name, self._clock = loop, name, clock
        self._earliest_at = self.due_at = clock()
        self.failing: FailingLoop | None = None

    def hasten(self) -> None:
        if self._loop.is_woken:
            self.due_at = min(self.due_at, max(self._clock(), self._earliest_at))

    def attempt(self) -> None:
        """Do one round and plan the next. Nothing that it raises goes further than this."""
        _current.rounds = self
        try:
            close_old_connections()
            try:
                has_more = self._loop.work()
            finally:
                close_old_connections()  # idle threads keep no connection of the pool
            every_s = self._loop.every_s
            pause_s = every_s if isinstance(every_s, int | float) else every_s()
        except Exception as error:  # noqa: BLE001 (a thread that ended here would leave its work undone for ever)
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
    """For rounds that take long, because they read from a connection: say that this one has got somewhere."""
    success_noter()()


def success_noter() -> Callable[[], None]:
    """`note_success` of this thread's round, for the event loop that does its work."""
    rounds: Rounds | None = getattr(_current, "rounds", None)
    return rounds.note_success if rounds is not None else lambda: None


def running() -> int:
    """How many loops this process runs."""
    return len(_running)


def failing() -> list[FailingLoop]:
    """The loops of this process whose last round failed, those that have failed longest first."""
    found = [one.failing for one in list(_running)]
    return sorted((one for one in found if one is not None), key=lambda one: one.since)


class Attempts:
    """Several calls of which none keeps the next from being made; the first error is raised when all have been.

    Only what is `away` ends them at once: the database, unless said otherwise.
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
