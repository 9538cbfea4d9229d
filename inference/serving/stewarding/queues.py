"""How many messages wait in a queue of the broker, where it can tell."""

from collections.abc import Iterable
from functools import cache

import redis
from django.conf import settings

_PATIENCE_S = 1.0


def taken_by(pool: str) -> list[str]:
    """What a worker of this pool takes from: chores, hints of jobs, and what other applications submit; batches, where
    the workers answer online."""
    names = ["chores", f"jobs.{pool}", "roundhouse.submit"]
    return [*names, f"pool.{pool}"] if settings.EXECUTOR == "workers" else names


def depths(queues: Iterable[str]) -> dict[str, int]:
    """Messages that no process has taken yet, by queue; raises RedisError or OSError where nobody can tell."""
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
        settings.REDIS_URL, socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S
    )
