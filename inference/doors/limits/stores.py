"""The counters that all processes share: in Redis where there is one, else in the database."""

from typing import Protocol

import redis
from django.conf import settings
from django.db import DatabaseError
from django.db.models import F
from redis.backoff import NoBackoff
from redis.retry import Retry

from inference.doors.limits.models import RateUse
from inference.errors import LimitsUnavailable

PREFIX = "roundhouse:limits:"
_KEPT_S = 300
_PATIENCE_S = 0.5
_CONNECTIONS = 16  # whoever finds them all busy waits: a call takes less than a millisecond

_TAKE = """
local free = tonumber(ARGV[2]) - tonumber(redis.call('GET', KEYS[1]) or '0')
local granted = math.max(0, math.min(tonumber(ARGV[1]), free))
if granted > 0 then
    redis.call('INCRBY', KEYS[1], granted)
    redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return granted
"""


class Store(Protocol):
    """One counter for each subject and minute. Each method may raise LimitsUnavailable."""

    def take(self, subject: str, minute: int, amount: int, limit: int) -> int:
        """Grant up to `amount`, atomically, and never more than `limit` to all who ask."""

    def give_back(self, subject: str, minute: int, amount: int) -> None: ...

    def sweep(self, before: int) -> None:
        """Forget the minutes before this one."""


class RedisStore:
    def __init__(self, url: str, *, patience_s: float = _PATIENCE_S) -> None:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=patience_s,
            socket_timeout=patience_s,
            socket_connect_timeout=patience_s,
            retry=Retry(NoBackoff(), 1),  # once: after a restart of Redis the kept connections are dead
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
        """Redis lets its keys expire."""


class DatabaseStore:
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


def chosen_store() -> Store:
    return RedisStore(settings.REDIS_URL) if settings.REDIS_URL else DatabaseStore()


def _take(subject: str, minute: int, amount: int, limit: int) -> int:
    """Take by conditional update: all of it, else as much as is free at the next look."""
    rows = RateUse.objects.filter(subject=subject, minute=minute)
    wanted = min(amount, limit)
    while wanted > 0:
        if rows.filter(used__lte=limit - wanted).update(used=F("used") + wanted):
            return wanted
        used = rows.values_list("used", flat=True).first()
        if used is None:  # another process may insert it first: then its row is used
            RateUse.objects.bulk_create([RateUse(subject=subject, minute=minute)], ignore_conflicts=True)
        else:
            wanted = min(wanted, limit - used)
    return 0


def _key(subject: str, minute: int) -> str:
    return f"{PREFIX}{subject}:{minute}"
