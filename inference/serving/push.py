"""Listens on Redis for routing changes, so that a process reads them immediately instead of at its next poll.

A message is only a hint: if one is lost, the change is seen up to a second later.
"""

import threading
from collections.abc import Callable
from typing import Any

import redis

from registry.catalogue.route_changes import CHANNEL
from registry.kit.loops import Backoff, Loop, ThreadGroup, note_success

_CHECK_STOP_EVERY_S = 0.5
_BACKOFF = Backoff(first_s=0.2, longest_s=5.0)


class PushListener:
    """A thread that calls `on_change` for every announcement, and after each (re)connection, because some may have
    been missed before it. `on_change` must be quick and must not raise."""

    def __init__(self, url: str, on_change: Callable[[], None]) -> None:
        self._url = url
        self._on_change = on_change
        self._thread = ThreadGroup(
            "route-push",
            Loop(
                "route push",
                self._listen,
                meanwhile="changes are found by polling, within a second",
                backoff=_BACKOFF,
                expected=(redis.RedisError, OSError),
            ),
        )
        self.connected = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()

    def _listen(self) -> None:
        """Listen until the connection breaks or the process stops."""
        try:
            with (
                redis.Redis.from_url(self._url, socket_connect_timeout=2, health_check_interval=10) as client,
                client.pubsub() as announcements,
            ):
                announcements.subscribe(CHANNEL)
                while not self._thread.stopping.is_set():
                    self._handle(announcements.get_message(timeout=_CHECK_STOP_EVERY_S))
        finally:
            self.connected.clear()

    def _handle(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        if message["type"] == "subscribe":
            self.connected.set()
            note_success()
        self._on_change()
