"""The web server's own process: granian, with what its own options do not say.

A web process that dies soon after its start ends no other: granian takes a second death within 5.5 s of a start for a
loop that will not end, and ends all its processes. Here somebody's request may be the cause, and the others can answer:
the one that died is started again after a pause that grows.

Peers that vanish without a word, or never read their answers, are looked for by the kernel: what is accepted inherits the
options of the socket that was listened on.
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

_SOON_S = 5.5
_PAUSES_S = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0)
IDLE_S, EVERY_S, TIMES = 60, 15, 4
UNREAD_S = 30  # so long may an answer wait for its reader to take any of it


class WebServer(MPServer):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._started: dict[int, tuple[float, int]] = {}  # when, and how often in a row it died soon

    def _init_shared_socket(self) -> None:
        """One socket for all processes: what waits to be accepted is lost with none of them, and goes to who is free."""
        holder: Any = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._shd, self._sfd = holder, holder.get_fd()
        self._ssp, self._sso = None, socket.socket(fileno=self._sfd)
        self._sso.set_inheritable(True)
        if sys.platform == "linux":
            look_for_vanished_peers(self._sso)

    def _respawn_workers(self, workers: list[int], *args: Any, **options: Any) -> None:
        time.sleep(max(map(self._pause_s, workers)))
        super()._respawn_workers(workers, *args, **options)
        self.respawned_wrks.clear()  # what granian looks at before it ends them all

    def _pause_s(self, worker: int) -> float:
        now = time.monotonic()
        started_at, deaths = self._started.get(worker, (-_SOON_S, 0))
        deaths = deaths + 1 if now - started_at < _SOON_S else 0
        self._started[worker] = now, deaths
        return _PAUSES_S[min(deaths, len(_PAUSES_S) - 1)]


def look_for_vanished_peers(listening: socket.socket) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, EVERY_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, TIMES)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1000)


def allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one; each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def tell_of_stops(begin_end: Callable[[], None]) -> None:
    """Call this in a web process: granian tells applications of their end only when the loop has ended; ours wants to
    know before."""
    set_loop_signals = _signals.set_loop_signals

    def set_and_tell(loop: Any) -> Any:
        event = set_loop_signals(loop)  # type: ignore[no-untyped-call]

        def stop() -> None:
            begin_end()
            event.set()

        for number in _signals._get_signals():  # type: ignore[no-untyped-call]
            loop.add_signal_handler(number, stop)
        return event

    _signals.set_loop_signals = set_and_tell


def main() -> None:
    allow_many_connections()
    cli.Server = WebServer  # type: ignore[attr-defined]
    cli.entrypoint()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
