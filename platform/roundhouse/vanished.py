"""Peers that vanished without a word: a laptop that sleeps, a network that is gone.

A thread that reads from one would wait until the process ends, and keep its place within the limits so long. The server has no
option against that, but what it accepts inherits those of the socket that it listens on.
"""

import os
import socket
import stat
import sys
import threading
import time

IDLE_S, EVERY_S, TIMES = 60, 15, 4
_STARTS_WITHIN_S = 30


def look_for_vanished_peers(port: int) -> None:
    """Have the kernel ask silent peers if they are there, as soon as this process listens on the port."""
    if sys.platform == "linux":
        threading.Thread(target=_once_it_listens, args=[port], daemon=True).start()


def _once_it_listens(port: int) -> None:
    give_up_at = time.monotonic() + _STARTS_WITHIN_S
    while not _prepared(port) and time.monotonic() < give_up_at:
        time.sleep(0.05)


def _prepared(port: int) -> bool:
    found = False
    for name in os.listdir("/proc/self/fd"):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            copy = os.dup(int(name))
        except OSError:  # closed meanwhile
            continue
        with socket.socket(fileno=copy) as own:
            if own.family in {socket.AF_INET, socket.AF_INET6} and own.getsockname()[1] == port:
                found = found or bool(own.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
                own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, EVERY_S)
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, TIMES)
    return found
