"""Hears from Redis that routes changed, so that a process looks at once instead of at its next poll.

A message is only a hint to look: what is lost costs a second, never the truth.
"""

import threading
from collections.abc import Callable

import redis
import structlog

from registry.catalogue.announce import CHANNEL

log = structlog.get_logger("roundhouse.push")

_LOOK_AT_STOP_EVERY_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class PushListener:
    """A thread that calls `on_change` for every announcement, and once after each (re)connection, since
    announcements may have been missed before it. `on_change` must be quick and must not raise: set an event."""

    def __init__(self, url: str, on_change: Callable[[], None]) -> None:
        self._url = url
        self._on_change = on_change
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="route-push", daemon=True)
        self.connected = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                self._listen()
                pause_s = _FIRST_PAUSE_S
            except redis.RedisError as error:
                log.warning("no push from Redis; polling goes on", reason=str(error), again_in_s=pause_s)
                self._stop.wait(pause_s)
                pause_s = _FIRST_PAUSE_S if self.connected.is_set() else min(pause_s * 2, _LONGEST_PAUSE_S)
            finally:
                self.connected.clear()

    def _listen(self) -> None:
        with (
            redis.Redis.from_url(self._url, socket_connect_timeout=2, health_check_interval=10) as client,
            client.pubsub() as announcements,
        ):
            announcements.subscribe(CHANNEL)
            while not self._stop.is_set():
                message = announcements.get_message(timeout=_LOOK_AT_STOP_EVERY_S)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self.connected.set()
                self._on_change()
