"""What a process that decides keeps: the policies in force, and the thread that writes decisions."""

from collections.abc import Callable
from contextlib import suppress

from django.db import DatabaseError

from inference.errors import Stopping
from moderation.deciding.policy_table import PolicyTable, read_table
from moderation.deciding.writer import DecisionWriter
from registry.kit.loops import Backoff, Loop, ThreadGroup
from registry.kit.registrations import Registrations

_POLL_S = 1.0
# What else such a process follows: each brings a table of its own up to date, with one small query if nothing has changed.
FOLLOWED: Registrations[Callable[[], None]] = Registrations("followed table")


class DecidingProcess:
    def __init__(self) -> None:
        self.table = PolicyTable()
        self.writer = DecisionWriter()
        self._threads = ThreadGroup(
            "policies",
            Loop("policies", self.refresh, _POLL_S, "policies are kept as they were", Backoff(longest_s=5.0)),
        )

    def start(self) -> None:
        with suppress(
            DatabaseError
        ):  # the loop tries again; until then no policy is known, so nothing is allowed
            self.refresh()
        self._threads.start()
        self.writer.start()

    def stop(self) -> None:
        self._threads.stop()
        self.writer.stop()

    def refresh(self) -> None:
        """Follow published policies, and what else there is."""
        self.table = read_table(self.table)
        for follow in FOLLOWED:
            follow()


_process: DecidingProcess | None = None


def start() -> None:
    global _process
    _process = DecidingProcess()
    _process.start()


def stop() -> None:
    global _process
    if _process is not None:
        _process.stop()
    _process = None


def current() -> DecidingProcess | None:
    return _process


def started() -> DecidingProcess:
    if _process is None:
        raise Stopping("This process does not moderate.")
    return _process
