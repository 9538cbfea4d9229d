"""Tells when the web server is asked to stop: it waits for open connections, and kills its processes if they stay."""

import os
import signal
import threading
from collections.abc import Callable

_STOPS = {signal.SIGTERM, signal.SIGINT}
is_leaving = threading.Event()  # answers are the last of their connections from then on


def on_stop_signal(begin_end: Callable[[], None]) -> None:
    """Call it in a thread when a stop is asked for. The server sets handlers of its own later, so this listens beside
    them; call it in the main thread."""
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=[heard, begin_end], name="stop-signal", daemon=True).start()


def _listen(heard: int, begin_end: Callable[[], None]) -> None:
    while _STOPS.isdisjoint(os.read(heard, 64)):
        pass
    is_leaving.set()
    begin_end()
