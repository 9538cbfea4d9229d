import uuid

import pytest
from django.db import DatabaseError, connection
from django.db.models.query import QuerySet

from inference.doors.limits.counters import DatabaseCounter, RedisCounter, shared_counter
from inference.doors.limits.models import RateUse
from inference.errors import LimitsUnavailable
from tests.support.callers import NOON, WAIT_S
from tests.support.private import PrivateRedis
from tests.support.services import SERVICE_REDIS_URL
from tests.support.together import in_threads

STORES = [
    pytest.param(
        DatabaseCounter, marks=[pytest.mark.django_db(transaction=True), pytest.mark.both], id="database"
    ),
    pytest.param(
        lambda: RedisCounter(SERVICE_REDIS_URL, timeout_s=WAIT_S), marks=pytest.mark.service, id="redis"
    ),
]


def closed_at_the_end(make_store):
    """A store whose connections end with the test, not when somebody collects them."""
    store = make_store()
    yield store
    if isinstance(store, RedisCounter):
        store._client.connection_pool.disconnect()


@pytest.fixture(params=STORES)
def store(request):
    yield from closed_at_the_end(request.param)


@pytest.fixture
def subject():
    """A name that no test before this one has used in the same Redis."""
    return f"key:{uuid.uuid4()}"


def test_what_is_free_is_granted_and_no_more(store, subject):
    assert store.take(subject, NOON, 60, 100) == 60
    assert store.take(subject, NOON, 60, 100) == 40
    assert store.take(subject, NOON, 1, 100) == 0


def test_minutes_and_subjects_are_counted_apart(store, subject):
    store.take(subject, NOON, 100, 100)

    assert store.take(subject, NOON + 1, 100, 100) == 100
    assert store.take(f"{subject}-2", NOON, 100, 100) == 100


def test_what_is_given_back_can_be_taken_again(store, subject):
    store.take(subject, NOON, 100, 100)

    store.give_back(subject, NOON, 1)

    assert store.take(subject, NOON, 2, 100) == 1


def test_a_limit_that_was_lowered_below_its_use_grants_nothing(store, subject):
    store.take(subject, NOON, 100, 100)

    assert store.take(subject, NOON, 1, 50) == 0
    assert store.take(subject, NOON, 10, 101) == 1


@pytest.mark.parametrize("amount", [0, -1])
def test_who_wants_nothing_gets_nothing(store, subject, amount):
    assert store.take(subject, NOON, amount, 100) == 0
    assert store.take(subject, NOON, 100, 100) == 100


def test_processes_that_take_blocks_at_once_share_the_whole_limit(store, subject):
    granted = []

    def take_blocks(_):
        for _ in range(5):
            granted.append(store.take(subject, NOON, 7, 100))
        connection.close()

    assert in_threads(8, take_blocks) == []

    assert sum(granted) == 100
    assert sorted(granted)[-14:] == [7] * 14


@pytest.mark.both
@pytest.mark.django_db
def test_old_minutes_are_swept_from_the_database(subject):
    store = DatabaseCounter()
    for minute in (NOON - 6, NOON - 5, NOON):
        store.take(subject, minute, 1, 100)

    store.sweep(NOON - 5)

    assert sorted(RateUse.objects.values_list("minute", flat=True)) == [NOON - 5, NOON]


@pytest.mark.service
@pytest.mark.parametrize("store", STORES[1:], indirect=True)
def test_redis_forgets_by_itself(store, subject):
    store.take(subject, NOON, 1, 100)
    store.give_back(f"{subject}-2", NOON, 1)
    store.sweep(NOON)

    for name in (subject, f"{subject}-2"):
        assert 0 < store._client.ttl(f"roundhouse:limits:{name}:{NOON}") <= 300


CALLS = {"take": ("key:1", NOON, 1, 100), "give_back": ("key:1", NOON, 1), "sweep": (NOON,)}


@pytest.mark.django_db
@pytest.mark.parametrize("call", CALLS)
def test_a_database_that_fails_is_said_to_be_away(monkeypatch, call):
    def fail(*_, **__):
        raise DatabaseError("gone")

    monkeypatch.setattr(QuerySet, "update", fail)
    monkeypatch.setattr(QuerySet, "delete", fail)

    with pytest.raises(LimitsUnavailable):
        getattr(DatabaseCounter(), call)(*CALLS[call])


@pytest.mark.parametrize("call", ["take", "give_back"])
def test_a_redis_that_is_gone_is_said_to_be_away(call):
    with pytest.raises(LimitsUnavailable):
        getattr(RedisCounter("redis://127.0.0.1:1/0"), call)(*CALLS[call])


@pytest.mark.service
@pytest.mark.skipif(not PrivateRedis.is_installed(), reason="no redis-server to start and end")
def test_a_redis_that_was_started_again_is_used_at_once():
    server = PrivateRedis().start()
    try:
        store = RedisCounter(server.url)
        store.take("key:1", NOON, 100, 100)
        server.kill()
        server.start()

        assert store.take("key:1", NOON, 1, 100) == 1
    finally:
        server.stop()


@pytest.mark.parametrize(("url", "kind"), [("redis://127.0.0.1:1/0", RedisCounter), (None, DatabaseCounter)])
def test_redis_is_chosen_where_there_is_one(settings, url, kind):
    settings.REDIS_URL = url

    assert isinstance(shared_counter(), kind)
