"""When waiting messages count against the worker's consumer."""

import pytest

from inference.serving import queues
from roundhouse import worker
from roundhouse.worker import RECONNECTS_WITHIN_S, Deliveries


class Broker:
    """Messages wait in it, while it answers."""

    is_away = False

    def depths(self, names):
        if self.is_away:
            raise ConnectionError("no broker")
        return dict.fromkeys(names, 1)


@pytest.fixture
def broker(monkeypatch):
    made = Broker()
    monkeypatch.setattr(queues, "depths", made.depths)
    return made


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def deliveries(broker, now):
    return Deliveries(clock=lambda: now[0])


def test_nothing_is_expected_of_a_consumer_that_has_not_subscribed_yet(deliveries):
    assert not deliveries.seen().is_waiting

    deliveries.note_consuming()

    assert deliveries.seen().is_waiting


def test_subscribing_again_starts_the_clock_again(deliveries):
    deliveries.note_consuming()
    before = deliveries.seen().moved

    deliveries.note_lost_connection()
    deliveries.note_consuming()

    assert deliveries.seen().moved != before


def test_a_delivery_counts_as_progress(deliveries):
    deliveries.note_consuming()
    before = deliveries.seen().moved

    deliveries.note_delivery()

    assert deliveries.seen().moved == before + 1


def test_a_lost_connection_has_limited_time_to_return(deliveries, broker, now):
    deliveries.note_consuming()
    deliveries.note_lost_connection()

    assert not deliveries.seen().is_waiting
    now[0] += RECONNECTS_WITHIN_S
    assert deliveries.seen().is_waiting


def test_that_time_begins_when_the_broker_answers_again(deliveries, broker, now):
    deliveries.note_consuming()
    deliveries.note_lost_connection()
    deliveries.seen()
    broker.is_away = True
    now[0] += RECONNECTS_WITHIN_S
    with pytest.raises(ConnectionError):
        deliveries.seen()
    broker.is_away = False

    assert not deliveries.seen().is_waiting
    now[0] += RECONNECTS_WITHIN_S
    assert deliveries.seen().is_waiting


def test_celerys_deliveries_are_counted(monkeypatch):
    """What has expired is handed over like anything else."""
    counted = Deliveries()
    monkeypatch.setattr(worker, "deliveries", counted)
    handled = []
    monkeypatch.setattr(worker.Consumer, "create_task_handler", lambda self: handled.append)
    handle = worker.WatchedConsumer.create_task_handler(object.__new__(worker.WatchedConsumer))

    handle("expired")

    assert handled == ["expired"]
    assert counted._moved == 1
