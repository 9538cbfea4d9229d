"""Fetches blocks of tokens in the background, so that no request waits for the shared counter."""

from contextlib import suppress

from inference.doors.limits.stores import Store
from inference.doors.limits.tokens import Ask, Tokens
from inference.errors import LimitsUnavailable
from registry.kit.loops import Attempts, Backoff, Loop, ThreadGroup

_SWEEP_S = 60.0
_BACKOFF = Backoff(longest_s=5.0)
_MEANWHILE = "each process allows its part of every rate"
_KEPT_MINUTES = 5  # hosts' clocks differ


class Refiller:
    """A thread that asks for tokens as soon as some are wanted."""

    def __init__(self, tokens: Tokens, store: Store) -> None:
        self._tokens, self._store = tokens, store
        expected = (LimitsUnavailable,)
        self._thread = ThreadGroup(
            "limits",
            Loop("limits", self.fetch, _SWEEP_S, _MEANWHILE, _BACKOFF, expected),
            Loop("limits of past minutes", self.sweep, _SWEEP_S, expected=expected, is_woken=False),
            wake_event=tokens.wanted,
        )

    def start(self) -> None:
        self._tokens.go_together()
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()
        with suppress(LimitsUnavailable):
            self.fetch()  # so that what was spent on credit is counted
        self._tokens.go_alone()

    def fetch(self) -> None:
        """Ask for all that is wanted. Without an answer this process goes alone until there is one."""
        try:
            with Attempts(away=(LimitsUnavailable,)) as attempt:
                for ask in self._tokens.asks():
                    attempt(self._fetch, ask)
        except Exception:
            self._tokens.go_alone()
            raise

    def _fetch(self, ask: Ask) -> None:
        granted = self._store.take(*ask)
        self._tokens.go_together()
        self._tokens.settle(ask, granted)

    def sweep(self) -> None:
        """Forget past minutes, here and in the counter."""
        self._store.sweep(self._tokens.drop_idle() - _KEPT_MINUTES)
