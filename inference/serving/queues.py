"""The queues that a worker takes from, and how many messages wait in them."""

from collections.abc import Iterable
from functools import cache

import redis
from django.conf import settings

_TIMEOUT_S = 1.0


def queues_of_worker(pool: str) -> list[str]:
    """Chores, job hints and submitted jobs; also batches if workers answer online requests."""
    names = ["chores", f"jobs.{pool}", "roundhouse.submit"]
    return [*names, f"pool.{pool}"] if settings.EXECUTOR == "workers" else names


def depths(queues: Iterable[str]) -> dict[str, int]:
    """Messages that no process has taken yet, by queue; raises RedisError or OSError if the broker cannot be reached."""
    names = list(queues)
    if not settings.REDIS_URL:
        return _files(names)
    pipe = _client().pipeline(transaction=False)
    for name in names:
        pipe.llen(f"{settings.REDIS_KEY_PREFIX}{name}")
    return dict(zip(names, pipe.execute(), strict=True))


def _files(names: list[str]) -> dict[str, int]:
    counts = dict.fromkeys(names, 0)
    for path in (settings.DATA_DIR / "broker" / "messages").glob("*.msg"):
        name = path.name.partition(".")[2].removesuffix(".msg")
        if name in counts:
            counts[name] += 1
    return counts


@cache
def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
    )
