"""The rate counters that all processes share, in Redis or in the database, and the thread that takes from them."""

from contextlib import suppress
from typing import Protocol

import redis
from django.conf import settings
from django.db import DatabaseError
from django.db.models import F
from redis.backoff import NoBackoff
from redis.retry import Retry

from inference.doors.limits.models import RateUse
from inference.doors.limits.rates import TokenRequest, Tokens
from inference.errors import LimitsUnavailable
from registry.kit.loops import Attempts, Backoff, Loop, ThreadGroup

PREFIX = "roundhouse:limits:"
_KEPT_S = 300
_TIMEOUT_S = 0.5
_SWEEP_S = 60.0
_BACKOFF = Backoff(longest_s=5.0)
_MEANWHILE = "each process allows its share of every rate"
_KEPT_MINUTES = 5  # hosts' clocks differ
_CONNECTIONS = 16  # when all are busy, calls wait; each takes less than a millisecond

_TAKE = """
local free = tonumber(ARGV[2]) - tonumber(redis.call('GET', KEYS[1]) or '0')
local granted = math.max(0, math.min(tonumber(ARGV[1]), free))
if granted > 0 then
    redis.call('INCRBY', KEYS[1], granted)
    redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return granted
"""


class SharedCounter(Protocol):
    """One counter for each subject and minute. Each method may raise LimitsUnavailable."""

    def take(self, subject: str, minute: int, amount: int, limit: int) -> int:
        """Grant up to `amount`, atomically, and never more than `limit` to all processes together."""

    def give_back(self, subject: str, minute: int, amount: int) -> None: ...

    def sweep(self, before: int) -> None:
        """Forget the minutes before this one."""


class RedisCounter:
    def __init__(self, url: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),  # once: after a restart of Redis the pooled connections are dead
        )
        self._client = redis.Redis(connection_pool=pool)
        self._take = self._client.register_script(_TAKE)

    def take(self, subject: str, minute: int, amount: int, limit: int) -> int:
        try:
            return int(self._take(keys=[_key(subject, minute)], args=[amount, limit, _KEPT_S]))
        except redis.RedisError as error:
            raise LimitsUnavailable from error

    def give_back(self, subject: str, minute: int, amount: int) -> None:
        key = _key(subject, minute)
        try:
            with self._client.pipeline() as both:
                both.decrby(key, amount)
                both.expire(key, _KEPT_S)
                both.execute()
        except redis.RedisError as error:
            raise LimitsUnavailable from error

    def sweep(self, before: int) -> None:
        """Redis keys expire."""


class DatabaseCounter:
    def take(self, subject: str, minute: int, amount: int, limit: int) -> int:
        try:
            return _take(subject, minute, amount, limit)
        except DatabaseError as error:
            raise LimitsUnavailable from error

    def give_back(self, subject: str, minute: int, amount: int) -> None:
        try:
            RateUse.objects.filter(subject=subject, minute=minute).update(used=F("used") - amount)
        except DatabaseError as error:
            raise LimitsUnavailable from error

    def sweep(self, before: int) -> None:
        try:
            RateUse.objects.filter(minute__lt=before).delete()
        except DatabaseError as error:
            raise LimitsUnavailable from error


def shared_counter() -> SharedCounter:
    return RedisCounter(settings.REDIS_URL) if settings.REDIS_URL else DatabaseCounter()


def _take(subject: str, minute: int, amount: int, limit: int) -> int:
    """Take by conditional update: all of it, or as much as is left at the next attempt."""
    rows = RateUse.objects.filter(subject=subject, minute=minute)
    wanted = min(amount, limit)
    while wanted > 0:
        if rows.filter(used__lte=limit - wanted).update(used=F("used") + wanted):
            return wanted
        used = rows.values_list("used", flat=True).first()
        if used is None:  # if another process inserts it first, its row is used
            RateUse.objects.bulk_create([RateUse(subject=subject, minute=minute)], ignore_conflicts=True)
        else:
            wanted = min(wanted, limit - used)
    return 0


def _key(subject: str, minute: int) -> str:
    return f"{PREFIX}{subject}:{minute}"


class Refiller:
    """A thread that fetches tokens when they are wanted, so that no request waits for the shared counter."""

    def __init__(self, tokens: Tokens, counter: SharedCounter) -> None:
        self._tokens, self._counter = tokens, counter
        expected = (LimitsUnavailable,)
        self._thread = ThreadGroup(
            "limits",
            Loop("limits", self.fetch, _SWEEP_S, _MEANWHILE, _BACKOFF, expected),
            Loop("limits of past minutes", self.sweep, _SWEEP_S, expected=expected, is_woken=False),
            wake_event=tokens.wanted,
        )

    def start(self) -> None:
        self._tokens.use_shared_counter()
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()
        with suppress(LimitsUnavailable):
            self.fetch()  # counts what was spent on credit
        self._tokens.use_local_share()

    def fetch(self) -> None:
        """Fetch all wanted tokens. While the counter is unavailable, this process spends its equal share."""
        try:
            with Attempts(away=(LimitsUnavailable,)) as attempt:
                for request in self._tokens.requests():
                    attempt(self._fetch, request)
        except Exception:
            self._tokens.use_local_share()
            raise

    def _fetch(self, request: TokenRequest) -> None:
        granted = self._counter.take(*request)
        self._tokens.use_shared_counter()
        self._tokens.settle(request, granted)

    def sweep(self) -> None:
        """Forget past minutes, here and in the counter."""
        self._counter.sweep(self._tokens.drop_idle() - _KEPT_MINUTES)
