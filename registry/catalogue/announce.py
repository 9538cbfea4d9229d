"""Every change that routing depends on passes here: it gets a number, and processes are told on commit."""

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
_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class Stamp:
    """The number of a change and its moment; both never go backwards."""

    revision: int
    at: datetime


def lock_model(model: Model) -> Model:
    """Read the Model again for a change; others that want to change it wait until this transaction ends.

    Called first by every service that stamps: the order Model, clock, audit keeps transactions from waiting in a ring.
    """
    return Model.objects.select_for_update(no_key=True).get(pk=model.pk)


def stamp(model: Model) -> Stamp:
    """Number a change of this Model's routing. The clock's row stays locked until commit, so that numbers
    become visible in their order: a reader that has seen n will never meet a smaller one later."""
    if not RouteClock.objects.filter(pk=1).update(revision=F("revision") + 1, at=Greatest(F("at"), Now())):
        RouteClock.objects.bulk_create([RouteClock(pk=1, revision=0, at=Now())], ignore_conflicts=True)
        return stamp(model)
    clock = RouteClock.objects.get(pk=1)
    Model.objects.filter(pk=model.pk).update(route_revision=clock.revision)
    model.route_revision = clock.revision
    transaction.on_commit(lambda: publish(clock.revision), robust=True)
    return Stamp(clock.revision, clock.at)


def publish(revision: int) -> None:
    """Tell processes to look now. Without Redis, or when it fails, they find out at their next poll."""
    if not settings.REDIS_URL:
        return
    try:
        with _client() as client:
            client.publish(CHANNEL, json.dumps({"revision": revision}))
    except redis.RedisError as error:
        log.warning("routes were not pushed; polling will find them", reason=str(error))


def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S
    )
