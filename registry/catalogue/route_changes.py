"""Changes that routing depends on: each gets a number here, and processes are notified on commit."""

import json
from dataclasses import dataclass
from datetime import datetime

import redis
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now

from registry.catalogue.models import Model, RouteClock

log = structlog.get_logger("roundhouse.announce")

CHANNEL = "roundhouse:routes"
_REDIS_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class Stamp:
    """The number and the time of a change; neither ever goes backwards."""

    revision: int
    at: datetime


def lock_model(model: Model) -> Model:
    """Reload the Model and lock its row until the transaction ends.

    Every service that calls `stamp` calls this first: locking in the order Model, clock, audit avoids deadlocks.
    """
    return Model.objects.select_for_update(no_key=True).get(pk=model.pk)


def stamp(model: Model) -> Stamp:
    """Number a change of this Model's routing.

    The clock's row stays locked until commit, so that numbers become visible in order: a reader that has seen n never
    later sees a smaller number.
    """
    if not RouteClock.objects.filter(pk=1).update(revision=F("revision") + 1, at=Greatest(F("at"), Now())):
        RouteClock.objects.bulk_create([RouteClock(pk=1, revision=0, at=Now())], ignore_conflicts=True)
        return stamp(model)
    clock = RouteClock.objects.get(pk=1)
    Model.objects.filter(pk=model.pk).update(route_revision=clock.revision)
    model.route_revision = clock.revision
    transaction.on_commit(lambda: publish(clock.revision), robust=True)
    return Stamp(clock.revision, clock.at)


def publish(revision: int) -> None:
    """Notify all processes. Without Redis, or when it fails, they find the change at their next poll."""
    if not settings.REDIS_URL:
        return
    try:
        with _client() as client:
            client.publish(CHANNEL, json.dumps({"revision": revision}))
    except redis.RedisError as error:
        log.warning("routes were not pushed; polling will find them", reason=str(error))


def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
    )
