"""The web server's main process: granian, with behaviour that its options do not offer.

A web process that dies soon after its start does not end the others. Granian treats a second death within 5.5 s of a start as
a crash loop and ends all its processes. Here a request may be the cause, and the other processes can answer, so the dead one is
restarted after a growing pause.

The kernel detects peers that disappear or never read their responses: accepted connections inherit the options of the
listening socket.
"""

import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from granian import _signals, cli
from granian.net import SocketSpec  # type: ignore[attr-defined]
from granian.server.mp import MPServer

_EARLY_DEATH_S = 5.5
_PAUSES_S = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0)
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 60, 15, 4
UNREAD_S = 30  # how long a response may go unread


class WebServer(MPServer):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._started: dict[int, tuple[float, int]] = {}  # start time, and early deaths in a row

    def _init_shared_socket(self) -> None:
        """One socket for all processes: a waiting connection survives any of them, and any free process accepts it."""
        holder: Any = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._shd, self._sfd = holder, holder.get_fd()
        self._ssp, self._sso = None, socket.socket(fileno=self._sfd)
        self._sso.set_inheritable(True)
        if sys.platform == "linux":
            detect_dead_peers(self._sso)

    def _respawn_workers(self, workers: list[int], *args: Any, **options: Any) -> None:
        time.sleep(max(map(self._pause_s, workers)))
        super()._respawn_workers(workers, *args, **options)
        self.respawned_wrks.clear()  # granian ends all processes if a restarted one is still in it

    def _pause_s(self, worker: int) -> float:
        now = time.monotonic()
        started_at, deaths = self._started.get(worker, (-_EARLY_DEATH_S, 0))
        deaths = deaths + 1 if now - started_at < _EARLY_DEATH_S else 0
        self._started[worker] = now, deaths
        return _PAUSES_S[min(deaths, len(_PAUSES_S) - 1)]


def detect_dead_peers(listening: socket.socket) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1000)


def allow_many_connections() -> None:
    """Raise the soft limit on open files to the hard limit: each connection is a file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def call_before_stop(begin_stop: Callable[[], None]) -> None:
    """Call `begin_stop` in this web process on SIGTERM. Granian notifies an application only after its loop has ended."""
    set_loop_signals = _signals.set_loop_signals

    def set_signals_and_call(loop: Any) -> Any:
        event = set_loop_signals(loop)  # type: ignore[no-untyped-call]

        def stop() -> None:
            begin_stop()
            event.set()

        for number in _signals._get_signals():  # type: ignore[no-untyped-call]
            loop.add_signal_handler(number, stop)
        return event

    _signals.set_loop_signals = set_signals_and_call


def main() -> None:
    allow_many_connections()
    cli.Server = WebServer  # type: ignore[attr-defined]
    cli.entrypoint()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
