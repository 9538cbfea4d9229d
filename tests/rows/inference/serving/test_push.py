import threading

import pytest
import redis
from django.db import transaction

from inference.serving.push import PushListener
from registry.catalogue import route_changes
from registry.catalogue.route_changes import CHANNEL
from tests.support.factories import a_live_model, a_split
from tests.support.services import SERVICE_REDIS_URL

WAIT_S = 10


@pytest.fixture
def heard():
    return threading.Event()


@pytest.fixture
def listener(heard):
    listening = PushListener(SERVICE_REDIS_URL, heard.set)
    listening.start()
    assert listening.connected.wait(WAIT_S)
    yield listening
    listening.stop()


def drain(listener, heard):
    """The look that follows every connection is not the one that a test waits for."""
    assert heard.wait(WAIT_S)
    heard.clear()


@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_a_committed_change_is_heard(listener, heard, settings):
    settings.REDIS_URL = SERVICE_REDIS_URL
    model = a_live_model(90, 10)
    drain(listener, heard)

    a_split(model, 50, 50)

    assert heard.wait(WAIT_S)


@pytest.mark.service
@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_is_not_announced(settings, monkeypatch):
    settings.REDIS_URL = SERVICE_REDIS_URL
    model = a_live_model(90, 10)
    sent: list[int] = []
    monkeypatch.setattr(route_changes, "publish", sent.append)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        a_split(model, 50, 50)
        raise ZeroDivisionError
    assert sent == []

    a_split(model, 50, 50)
    assert len(sent) == 1


@pytest.mark.service
def test_a_lost_connection_is_made_again_and_followed_by_a_look(listener, heard):
    drain(listener, heard)
    with redis.Redis.from_url(SERVICE_REDIS_URL) as client:
        assert CHANNEL.encode() in client.pubsub_channels()
        for one in client.client_list(_type="pubsub"):
            client.client_kill_filter(_id=one["id"])

    assert heard.wait(WAIT_S)


def test_without_redis_the_listener_keeps_trying_and_stops_when_told(heard):
    listening = PushListener("redis://127.0.0.1:1/0", heard.set)
    listening.start()

    listening.stop()

    assert not heard.is_set()


@pytest.mark.django_db(transaction=True)
def test_a_redis_that_is_gone_does_not_hinder_a_change(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    model = a_live_model(100)

    assert model.splits.count() == 1
