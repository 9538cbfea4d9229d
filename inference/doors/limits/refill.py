"""Fetches blocks of tokens in the background, so that no request waits for the shared counter."""

import threading
import time

import structlog
from django.db import close_old_connections

from inference.doors.limits.stores import Store
from inference.doors.limits.tokens import Tokens

log = structlog.get_logger("roundhouse.limits")

_SWEEP_S = 60.0
_AGAIN_S = 1.0
_KEPT_MINUTES = 5  # hosts' clocks differ


class Refiller:
    """A thread that asks for tokens as soon as some are wanted."""

    def __init__(self, tokens: Tokens, store: Store) -> None:
        self._tokens, self._store = tokens, store
        self._is_down = False
        self._sweep_at = time.monotonic() + _SWEEP_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="limits", daemon=True)

    def start(self) -> None:
        self._tokens.go_together()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._tokens.wanted.set()
        self._thread.join()
        self._tokens.go_alone()

    def fetch(self) -> None:
        """Ask for all that is wanted. Without an answer this process goes alone, and says so once."""
        try:
            for ask in self._tokens.asks():
                granted = self._store.take(*ask)
                self._note_answer()
                self._tokens.settle(ask, granted)
        except Exception as error:  # noqa: BLE001 (a thread that died would leave every rate at a block a minute)
            self._note_outage(error)

    def sweep(self) -> None:
        """Forget past minutes, here and in the counter."""
        minute = self._tokens.drop_idle()
        try:
            self._store.sweep(minute - _KEPT_MINUTES)
        except Exception as error:  # noqa: BLE001 (as above)
            self._note_outage(error)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._tokens.wanted.wait(_SWEEP_S)
            self.fetch()
            if time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + _SWEEP_S
                self.sweep()
            close_old_connections()
            if self._is_down:
                self._stop.wait(_AGAIN_S)

    def _note_answer(self) -> None:
        if self._is_down:
            self._is_down = False
            self._tokens.go_together()
            log.info("the counter of requests answers again")

    def _note_outage(self, error: Exception) -> None:
        if not self._is_down:
            self._is_down = True
            log.warning("the counter of requests is away; each process allows its part", exc_info=error)
        self._tokens.go_alone()
