"""API keys: their format, and each process's cache of them (bounded, thread-safe, no query for a cached key).

While the database is responding, entries older than REFRESH_S are not used. Without the database, entries are trusted for
TRUST_S, and `Admitted.stale_s` is their age.

A key is `rh_<prefix>_<secret>`. The prefix is shown and can be searched for; the secret is not stored.
"""

import hashlib
import re
import secrets
import string
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from django.db import DatabaseError

from registry.access.limits import NO_LIMITS, CallerLimits
from registry.errors import NotAuthenticated
from registry.kit.compute_lock import compute_lock

REFRESH_S = 30.0
TRUST_S = 300.0
USED_S = 60.0  # "last used" is written at most this often
DOWN_S = 30.0  # for this long after a failed look-up, cached keys are used without another look-up
REFUSE_S = 10.0
ROOM = 10_000
_BATCH = 500
_ALPHABET = string.ascii_lowercase + string.digits
_FORM = re.compile(r"rh_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Principal:
    """The key of a request, and the tenant it acts for."""

    key_id: int
    name: str
    tenant_id: int
    tenant: str
    scopes: frozenset[str]
    models: frozenset[int] | None  # None: all Models
    expires_at: float | None  # seconds since 1970
    is_authenticated: bool = True
    limits: CallerLimits = NO_LIMITS
    tenant_limits: CallerLimits = NO_LIMITS


class Admitted(NamedTuple):
    """A principal, and how long ago the database confirmed it (0 if recently enough)."""

    principal: Principal
    stale_s: int = 0


class KeyStore(Protocol):
    """The table of keys. Each method may raise DatabaseError."""

    def find(self, prefix: str, digest: str) -> Principal | None: ...

    def still_valid(self, key_ids: Collection[int]) -> Mapping[int, Principal]: ...

    def write_used(self, used_s_ago: Mapping[int, float]) -> None: ...


class _Entry:
    """One cached key. Threads only ever replace its fields with newer ones."""

    __slots__ = ("confirmed_at", "principal", "used_at", "written_at")

    def __init__(self, principal: Principal, now: float) -> None:
        self.principal = principal
        self.confirmed_at = self.used_at = now
        self.written_at = now - USED_S


class KeyRing:
    def __init__(
        self, store: KeyStore, *, clock: Callable[[], float] = time.monotonic, room: int = ROOM
    ) -> None:
        self._store, self._clock, self._room = store, clock, room
        self._entries: dict[str, _Entry] = {}
        self._refused: dict[str, float] = {}
        self._failed_at = -DOWN_S
        # One look-up at a time: a flood of unknown keys ties up only one of this process's connections.
        self._looking_up = threading.Lock()

    def admit(self, text: str) -> Admitted:
        """Return the key's principal; raise NotAuthenticated, or DatabaseError if the key cannot be looked up."""
        if (entry := self.recall(text)) is not None:
            return entry
        with compute_lock.released_for(self._looking_up):
            return self._look_up(prefix_of(text) or "", digest_of(text))

    def recall(self, text: str) -> Admitted | None:
        """Like `admit`, but only from the cache; None if a look-up is needed."""
        digest = digest_of(text)
        entry = self._entries.get(digest)
        if entry is not None and self._is_usable(entry):
            return self._use(entry)
        if prefix_of(text) is None:
            raise refusal()
        if self._refused.get(digest, 0.0) > self._clock():
            raise refusal()
        return None

    def forget(self, key_id: int) -> None:
        """Look this key up again the next time it is used."""
        self._drop(lambda principal: principal.key_id == key_id)

    def forget_tenant(self, tenant_id: int) -> None:
        """Look this tenant's keys up again the next time they are used."""
        self._drop(lambda principal: principal.tenant_id == tenant_id)

    def clear(self) -> None:
        with compute_lock.released_for(self._looking_up):
            self._entries.clear()
            self._refused.clear()
            self._failed_at = self._clock() - DOWN_S

    def refresh(self) -> None:
        """Confirm every cached key, and write when each was last used."""
        with compute_lock.released_for(self._looking_up):
            try:
                self._confirm_all()
                self._write_used()
            except DatabaseError:
                self._failed_at = self._clock()
                raise
            self._failed_at = self._clock() - DOWN_S

    def _drop(self, matches: Callable[[Principal], bool]) -> None:
        with compute_lock.released_for(self._looking_up):
            for digest in [d for d, entry in self._entries.items() if matches(entry.principal)]:
                del self._entries[digest]

    def _is_usable(self, entry: _Entry) -> bool:
        now = self._clock()
        age = now - entry.confirmed_at
        return age < REFRESH_S or (age < TRUST_S and now - self._failed_at < DOWN_S)

    def _use(self, entry: _Entry) -> Admitted:
        expires_at = entry.principal.expires_at
        if expires_at is not None and time.time() >= expires_at:
            raise refusal()
        entry.used_at = self._clock()
        age = entry.used_at - entry.confirmed_at
        return Admitted(entry.principal, 0 if age < REFRESH_S else int(age))

    def _look_up(self, prefix: str, digest: str) -> Admitted:
        entry = self._entries.get(digest)
        if entry is not None and self._is_usable(entry):
            return self._use(entry)  # another thread looked it up while this one waited
        if self._refused.get(digest, 0.0) > self._clock():
            raise refusal()
        try:
            principal = self._store.find(prefix, digest)
        except DatabaseError:
            self._failed_at = self._clock()
            if entry is not None and self._is_usable(entry):
                return self._use(entry)
            raise
        self._failed_at = self._clock() - DOWN_S
        return self._use(self._store_result(digest, principal))

    def _store_result(self, digest: str, principal: Principal | None) -> _Entry:
        now = self._clock()
        entry = self._entries.pop(digest, None)
        if principal is None:
            _make_room(self._refused, self._room)
            self._refused[digest] = now + REFUSE_S
            raise refusal()
        if entry is None:
            entry = _Entry(principal, now)
        entry.principal, entry.confirmed_at = principal, now
        _make_room(self._entries, self._room)
        self._entries[digest] = entry
        return entry

    def _confirm_all(self) -> None:
        entries = list(self._entries.items())
        for batch in (entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH)):
            started_at = self._clock()
            valid = self._store.still_valid([entry.principal.key_id for _, entry in batch])
            for digest, entry in batch:
                principal = valid.get(entry.principal.key_id)
                if principal is None:
                    del self._entries[digest]
                else:
                    entry.principal, entry.confirmed_at = principal, started_at

    def _write_used(self) -> None:
        now = self._clock()
        due = [entry for entry in self._entries.values() if entry.used_at >= entry.written_at + USED_S]
        for batch in (due[start : start + _BATCH] for start in range(0, len(due), _BATCH)):
            self._store.write_used({entry.principal.key_id: now - entry.used_at for entry in batch})
            for entry in batch:
                entry.written_at = now


def new_key_text() -> tuple[str, str]:
    """Return a fresh prefix and the full text of its key."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return prefix, f"rh_{prefix}_{secrets.token_urlsafe(32)}"


def digest_of(text: str) -> str:
    """SHA-256 is enough: the secret has 256 random bits, so a slower hash gains nothing."""
    return hashlib.sha256(text.encode()).hexdigest()


def prefix_of(text: str) -> str | None:
    """Return the prefix, or None for text that cannot be a key."""
    match = _FORM.fullmatch(text)
    return match[1] if match else None


def refusal() -> NotAuthenticated:
    return NotAuthenticated(
        "This API key is unknown, expired or revoked. Ask an administrator for a valid one."
    )


def _make_room(entries: dict[str, Any], room: int) -> None:
    """Drop only the oldest entries: emptying the cache would send every caller to the database at once."""
    while len(entries) >= room:
        del entries[next(iter(entries))]
