"""The keys that one process knows: no query while a key is remembered, bounded, safe between threads.

While the database answers, knowledge older than REFRESH_S is not used. Without the database, what was remembered
is trusted for TRUST_S, and `Admitted.stale_s` says how old it is.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from django.db import DatabaseError

from registry.access.key_text import digest_of, prefix_of
from registry.access.limits import NO_LIMITS, Limits
from registry.errors import NotAuthenticated
from registry.kit.turns import turns

REFRESH_S = 30.0
TRUST_S = 300.0
USED_S = 60.0  # `last used` is written at most this often
DOWN_S = 30.0  # after a failed look-up, callers whose key is remembered do not wait for another
REFUSE_S = 10.0
ROOM = 10_000
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a request with a key acts for."""

    key_id: int
    name: str
    tenant_id: int
    tenant: str
    scopes: frozenset[str]
    models: frozenset[int] | None  # None: all Models
    expires_at: float | None  # seconds since 1970
    is_authenticated: bool = True
    limits: Limits = NO_LIMITS
    tenant_limits: Limits = NO_LIMITS


class Admitted(NamedTuple):
    """A principal, and how long ago the database confirmed it (0 while that is recent enough)."""

    principal: Principal
    stale_s: int = 0


class Store(Protocol):
    """Where keys are kept. Each method may raise DatabaseError."""

    def find(self, prefix: str, digest: str) -> Principal | None: ...

    def still_valid(self, key_ids: Collection[int]) -> Mapping[int, Principal]: ...

    def write_used(self, used_s_ago: Mapping[int, float]) -> None: ...


class _Known:
    """One remembered key. Threads only ever replace its fields by newer ones."""

    __slots__ = ("confirmed_at", "principal", "used_at", "written_at")

    def __init__(self, principal: Principal, now: float) -> None:
        self.principal = principal
        self.confirmed_at = self.used_at = now
        self.written_at = now - USED_S


class KeyRing:
    def __init__(
        self, store: Store, *, clock: Callable[[], float] = time.monotonic, room: int = ROOM
    ) -> None:
        self._store, self._clock, self._room = store, clock, room
        self._known: dict[str, _Known] = {}
        self._refused: dict[str, float] = {}
        self._failed_at = -DOWN_S
        # One question at a time: a flood of unknown keys costs this process one connection.
        self._asking = threading.Lock()

    def admit(self, text: str) -> Admitted:
        """Return whose key this is; raise NotAuthenticated, or DatabaseError when nobody can tell."""
        if (known := self.recall(text)) is not None:
            return known
        with turns.locked(self._asking):
            return self._ask(prefix_of(text) or "", digest_of(text))

    def recall(self, text: str) -> Admitted | None:
        """The same from memory; None where the store would have to be asked."""
        digest = digest_of(text)
        known = self._known.get(digest)
        if known is not None and self._is_usable(known):
            return self._use(known)
        if prefix_of(text) is None:
            raise refusal()
        if self._refused.get(digest, 0.0) > self._clock():
            raise refusal()
        return None

    def forget(self, key_id: int) -> None:
        """Ask about this key again at its next use."""
        self._forget(lambda principal: principal.key_id == key_id)

    def forget_tenant(self, tenant_id: int) -> None:
        """Ask about all keys of this tenant again at their next use."""
        self._forget(lambda principal: principal.tenant_id == tenant_id)

    def clear(self) -> None:
        with turns.locked(self._asking):
            self._known.clear()
            self._refused.clear()
            self._failed_at = self._clock() - DOWN_S

    def tend(self) -> None:
        """Confirm every remembered key and write down which were used."""
        with turns.locked(self._asking):
            try:
                self._confirm_all()
                self._write_used()
            except DatabaseError:
                self._failed_at = self._clock()
                raise
            self._failed_at = self._clock() - DOWN_S

    def _forget(self, is_meant: Callable[[Principal], bool]) -> None:
        with turns.locked(self._asking):
            for digest in [d for d, known in self._known.items() if is_meant(known.principal)]:
                del self._known[digest]

    def _is_usable(self, known: _Known) -> bool:
        now = self._clock()
        age = now - known.confirmed_at
        return age < REFRESH_S or (age < TRUST_S and now - self._failed_at < DOWN_S)

    def _use(self, known: _Known) -> Admitted:
        expires_at = known.principal.expires_at
        if expires_at is not None and time.time() >= expires_at:
            raise refusal()
        known.used_at = self._clock()
        age = known.used_at - known.confirmed_at
        return Admitted(known.principal, 0 if age < REFRESH_S else int(age))

    def _ask(self, prefix: str, digest: str) -> Admitted:
        known = self._known.get(digest)
        if known is not None and self._is_usable(known):
            return self._use(known)  # another thread asked while this one waited
        if self._refused.get(digest, 0.0) > self._clock():
            raise refusal()
        try:
            principal = self._store.find(prefix, digest)
        except DatabaseError:
            self._failed_at = self._clock()
            if known is not None and self._is_usable(known):
                return self._use(known)
            raise
        self._failed_at = self._clock() - DOWN_S
        return self._use(self._remember(digest, principal))

    def _remember(self, digest: str, principal: Principal | None) -> _Known:
        now = self._clock()
        known = self._known.pop(digest, None)
        if principal is None:
            _make_room(self._refused, self._room)
            self._refused[digest] = now + REFUSE_S
            raise refusal()
        if known is None:
            known = _Known(principal, now)
        known.principal, known.confirmed_at = principal, now
        _make_room(self._known, self._room)
        self._known[digest] = known
        return known

    def _confirm_all(self) -> None:
        entries = list(self._known.items())
        for batch in (entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH)):
            asked_at = self._clock()
            valid = self._store.still_valid([known.principal.key_id for _, known in batch])
            for digest, known in batch:
                principal = valid.get(known.principal.key_id)
                if principal is None:
                    del self._known[digest]
                else:
                    known.principal, known.confirmed_at = principal, asked_at

    def _write_used(self) -> None:
        now = self._clock()
        due = [known for known in self._known.values() if known.used_at >= known.written_at + USED_S]
        for batch in (due[start : start + _BATCH] for start in range(0, len(due), _BATCH)):
            self._store.write_used({known.principal.key_id: now - known.used_at for known in batch})
            for known in batch:
                known.written_at = now


def refusal() -> NotAuthenticated:
    return NotAuthenticated(
        "This API key is unknown, expired or revoked. Ask an administrator for a valid one."
    )


def _make_room(entries: dict[str, Any], room: int) -> None:
    """Let the oldest go, one at a time: to empty the whole would send every caller to the database at once."""
    while len(entries) >= room:
        del entries[next(iter(entries))]
