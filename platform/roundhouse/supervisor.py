"""`manage.py serve`: starts the web server, the worker and beat, restarts any that die, and stops them together.

It imports neither ONNX Runtime nor gRPC, so it stays small and no model can crash it.
"""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from roundhouse.process import child_environment

log = structlog.get_logger("roundhouse.supervisor")

STOP_AFTER_S = 24.0  # SIGTERM to SIGKILL: workers take up to 20 s, and we promise to stop within 25 s
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 3.0
_SETTLED_AFTER_S = 10.0


@dataclass
class Child:
    """A supervised process, and when it may be restarted."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    delay_s: float = _FIRST_DELAY_S

    def start(self) -> None:
        self.started_at = time.monotonic()
        # The child gets its own session, so Ctrl-C reaches only the supervisor, which then stops everything in order.
        self.process = subprocess.Popen(self.command, start_new_session=True, env=child_environment())  # noqa: S603
        log.info("child started", child=self.name, pid=self.process.pid)

    def note_end(self, now: float) -> None:
        """Plan the restart: almost immediately if it ran for a while, after growing pauses in a crash loop."""
        settled = now - self.started_at >= _SETTLED_AFTER_S
        self.delay_s = _FIRST_DELAY_S if settled else min(self.delay_s * 2, _LONGEST_DELAY_S)
        self.due_at = now + self.delay_s
        self.process = None


class Supervisor:
    """Keeps its children running until it gets a signal to stop."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = list(children)
        self._stop_signals = 0
        self._wake_reader, self._wake_writer = socket.socketpair()

    def run(self, on_started: Callable[[], None] = lambda: None) -> int:
        """Start all children and run until SIGTERM or SIGINT. Return the exit status."""
        with self._signals():
            for child in self._children:
                child.start()
            on_started()
            while not self._stop_signals:
                self._reap(restart=True)
                self._start_due()
                self._sleep(self._seconds_to_next_start())
            return self._stop_all()

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and child.due_at <= now:
                child.start()

    def _reap(self, *, restart: bool) -> None:
        for child in self._children:
            if child.process is None or (status := child.process.poll()) is None:
                continue
            child.note_end(time.monotonic())
            if restart:
                log.error("child ended", child=child.name, why=_reason(status), restart_in_s=child.delay_s)

    def _seconds_to_next_start(self) -> float | None:
        waits = [child.due_at - time.monotonic() for child in self._children if child.process is None]
        return max(0.0, min(waits)) if waits else None

    def _stop_all(self) -> int:
        log.info("stopping", children=[child.name for child in self._children if child.process])
        self._signal_all(signal.SIGTERM)
        give_up_at = time.monotonic() + STOP_AFTER_S
        while any(child.process for child in self._children):
            self._reap(restart=False)
            if time.monotonic() >= give_up_at or self._stop_signals > 1:
                self._signal_all(signal.SIGKILL)
            if any(child.process for child in self._children):
                self._sleep(min(0.5, max(0.05, give_up_at - time.monotonic())))
        log.info("stopped")
        return 0

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(number)

    def _sleep(self, seconds: float | None) -> None:
        """Wait for a signal, SIGCHLD included, or for `seconds`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            if selector.select(seconds):
                self._wake_reader.recv(4096)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Install the handlers and the wake-up socket, and restore the old ones at the end."""

        def request_stop(_number: int, _frame: object) -> None:
            self._stop_signals += 1

        def ignore(_number: int, _frame: object) -> None:
            """Do nothing: without a handler, nothing is written to the wake-up socket."""

        handlers = {signal.SIGTERM: request_stop, signal.SIGINT: request_stop, signal.SIGCHLD: ignore}
        self._wake_writer.setblocking(False)
        old_handlers = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        old_fd = signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(old_fd)
            for number, handler in old_handlers.items():
                signal.signal(number, handler)


def _reason(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


def port_problem(bind: str, port: int) -> str | None:
    """Why the web server cannot listen there, or None. Called before anything starts."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except (OSError, OverflowError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            return (
                f"Cannot listen on {bind}:{port}: {reason}. Stop the program that is using it, "
                "or set ROUNDHOUSE_BIND, ROUNDHOUSE_PORT and ROUNDHOUSE_GRPC_PORT to a free address."
            )
    return None
