"""Deliveries with an order key: one after another, in the order of their events, whatever happens to one of them."""

import queue
import random
import threading
import uuid
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.utils import timezone

from registry.record import channels, deliveries, events
from registry.record.audit import AuditSubject
from registry.record.channels import SendResult
from registry.record.deliveries import BACK_OFF, deliver, resend, sweep
from registry.record.events import emit
from registry.record.models import Delivery, Subscription
from tests.support.tables import cases
from tests.support.together import at_once, in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]
Status = Delivery.Status
DOWN = SendResult(error="down")
GONE = SendResult(error="gone", is_final=True)


@pytest.fixture(autouse=True)
def hook():
    return Subscription.objects.create(name="hook", url="http://public.example/", secret_salt="salt")


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """The ids of deliveries whose task was started, in order; no worker has taken them yet."""
    tasks: list[int] = []
    monkeypatch.setattr(events, "_start_task", tasks.append)
    return tasks


@pytest.fixture(autouse=True)
def results(monkeypatch):
    """How the next attempts end; those after them arrive."""
    return []


@pytest.fixture(autouse=True)
def sent(monkeypatch, results):
    """The ids of the deliveries sent, in order."""
    ids: list[int] = []

    def send(delivery):
        ids.append(delivery.pk)
        return results.pop(0) if results else SendResult()

    monkeypatch.setattr(channels, "send", send)
    return ids


@pytest.fixture
def work(started):
    """Run all tasks that were started, and those that these start."""

    def run() -> None:
        while started:
            deliver(started.pop(0))

    return run


@pytest.fixture
def no_turns(monkeypatch):
    """For negative controls: no delivery waits for another."""
    monkeypatch.setattr(deliveries, "deliveries_before", Delivery.objects.none)


def _emit(object_id: object, order_key: str = "case:7") -> None:
    """Write an event; those about different objects are not grouped even without an order key."""
    with transaction.atomic():
        emit(
            "split_changed",
            subject=AuditSubject("split", str(object_id), "a split"),
            data={},
            summary="It changed.",
            order_key=order_key,
        )


def _emit_three(order_key: str = "case:7") -> list[int]:
    """Write three events, each with a delivery; return the ids of these."""
    for number in range(3):
        _emit(number, order_key)
    return _ids()


def _ids(**which) -> list[int]:
    return list(Delivery.objects.filter(**which).order_by("pk").values_list("pk", flat=True))


def _let_time_pass() -> None:
    """Every pause and every sender's time is over."""
    Delivery.objects.filter(status__in=["waiting", "sending"]).update(
        due_at=timezone.now() - timedelta(seconds=1)
    )


def test_later_ones_wait_while_the_first_is_retried(work, started, results, sent):
    first, second, third = _emit_three()
    results.append(DOWN)

    work()
    assert sent == [first]
    assert (sweep(), started) == (0, [])

    _let_time_pass()
    assert (sweep(), started) == (1, [first])
    work()
    assert sent == [first, first, second, third]
    assert _ids(status=Status.DELIVERED) == [first, second, third]


def test_without_an_order_key_later_ones_overtake(work, results, sent):
    first, second, third = _emit_three(order_key="")
    results.append(DOWN)

    work()
    _let_time_pass()
    sweep()
    work()

    assert sent == [first, second, third, first]


def test_without_turns_later_ones_overtake(no_turns, work, results, sent):
    first, second, third = _emit_three()
    results.append(DOWN)

    work()

    assert sent == [first, second, third]


def test_other_keys_and_other_subscriptions_do_not_wait(work, results, sent):
    Subscription.objects.create(name="other", url="http://other.example/", secret_salt="salt")
    _emit(1, "case:7")
    _emit(2, "case:8")
    _emit(3, "case:7")
    blocked, same_key_elsewhere = _ids(event__object_id="3")
    results.append(DOWN)

    work()

    assert same_key_elsewhere in sent
    assert set(_ids()) - set(sent) == {blocked}


@cases("attempts, result", refused_for_good=(0, GONE), all_attempts_spent=(len(BACK_OFF), DOWN))
def test_one_that_failed_for_good_lets_the_next_go(work, results, sent, attempts, result):
    first, second, third = _emit_three()
    Delivery.objects.filter(pk=first).update(attempts=attempts)
    results.append(result)

    work()

    assert _ids(status=Status.FAILED) == [first]
    assert sent == [first, second, third]


def test_a_sender_that_died_holds_the_next_up_until_its_time_is_over(work, started, sent):
    first, second, third = _emit_three()
    claimed = deliveries._claim(first)  # and dies
    assert claimed is not None

    work()
    assert (sweep(), sent) == (0, [])

    _let_time_pass()
    assert (sweep(), started) == (1, [first])
    work()
    assert sent == [first, second, third]


def test_the_sweeper_starts_the_next_if_a_sender_dies_before_it_does(work, started, sent):
    first, second, third = _emit_three()
    started.clear()
    Delivery.objects.filter(pk=first).update(status=Status.DELIVERED, ended_at=timezone.now())

    assert (sweep(), started) == (1, [second])
    work()
    assert sent == [second, third]


def test_who_was_taken_for_dead_starts_nothing(work, started, sent, monkeypatch):
    first, *_ = _emit_three()
    started.clear()

    def send_slowly(_delivery):
        Delivery.objects.filter(pk=first).update(attempts=2)  # meanwhile somebody else has begun the second
        return SendResult()

    monkeypatch.setattr(channels, "send", send_slowly)
    deliver(first)

    assert started == []


def test_one_sent_again_waits_for_none_and_none_for_it(work, started, results, sent, by):
    first, second, third = _emit_three()
    results += [SendResult(), DOWN]
    work()
    assert sent == [first, second]

    resend(Delivery.objects.get(pk=first), by=by)
    _let_time_pass()
    assert deliver(second)
    work()

    assert sent == [first, second, second, first, third]
    assert _ids(order_key="") == [first]


def test_one_sent_again_with_its_key_would_hold_the_others_up(work, results, sent, by):
    first, second, _ = _emit_three()
    results += [SendResult(), DOWN]
    work()

    resend(Delivery.objects.get(pk=first), by=by)
    Delivery.objects.filter(pk=first).update(order_key="case:7")
    _let_time_pass()

    assert not deliver(second)


WORKERS = 8


@pytest.fixture
def slow_first(monkeypatch, sent):
    """The first delivery is sent until all senders of the second have tried it."""
    tried = threading.Semaphore(0)

    def send(delivery):
        sent.append(delivery.pk)
        if delivery.pk == min(_ids()):
            for _ in range(WORKERS - 1):
                assert tried.acquire(timeout=30)
        return SendResult()

    def try_second(pk: int) -> bool:
        try:
            return deliver(pk)
        finally:
            tried.release()

    monkeypatch.setattr(channels, "send", send)
    return try_second


def test_while_one_is_sent_no_sender_gets_the_next(slow_first, sent):
    first, second, _ = _emit_three()

    made = at_once([partial(deliver, first)] + [partial(slow_first, second)] * (WORKERS - 1))

    assert made == [True] + [False] * (WORKERS - 1)
    assert sent == [first]


def test_without_turns_a_sender_gets_the_next(no_turns, slow_first, sent):
    first, second, _ = _emit_three()

    at_once([partial(deliver, first)] + [partial(slow_first, second)] * (WORKERS - 1))

    assert sorted(sent) == [first, second]


def test_of_two_senders_of_one_delivery_one_loses(sent):
    first, *_ = _emit_three()

    made = at_once([partial(deliver, first)] * WORKERS)

    assert sorted(made) == [False] * (WORKERS - 1) + [True]
    assert sent == [first]


def test_many_workers_send_all_of_many_keys_in_order(monkeypatch, sent):
    """No turn is lost either: each end starts the next without the sweeper."""
    tasks: queue.Queue[int | None] = queue.Queue()
    monkeypatch.setattr(events, "_start_task", tasks.put)
    for number in range(40):
        _emit(number, f"case:{number % 4}")
    ended = threading.Semaphore(0)

    def worker(_number: int) -> None:
        try:
            while (pk := tasks.get(timeout=30)) is not None:
                if deliver(pk):
                    ended.release()
        finally:
            connection.close()

    def finisher(number: int) -> None:
        if number < WORKERS:
            return worker(number)
        for _ in range(40):
            assert ended.acquire(timeout=30)
        for _ in range(WORKERS):
            tasks.put(None)

    assert in_threads(WORKERS + 1, finisher) == []
    for key in range(4):
        of_key = _ids(order_key=f"case:{key}")
        assert [pk for pk in sent if pk in set(of_key)] == of_key


@pytest.fixture
def ten_thousand(hook, started):
    """Open deliveries of 5,000 keys, the later of each key blocked by the earlier."""
    _emit(1, "")
    (delivery,) = Delivery.objects.all()
    past = timezone.now() - timedelta(hours=1)
    Delivery.objects.bulk_create(
        Delivery(
            subscription=hook,
            event=delivery.event,
            group_key="a",
            order_key=f"case:{number // 2}",
            message_id=f"msg_{uuid.uuid4().hex}",
            due_at=past + timedelta(milliseconds=random.randrange(3_600)),
        )
        for number in range(10_000)
    )
    delivery.delete()
    started.clear()


def test_a_sweep_of_thousands_finds_those_whose_turn_it_is(ten_thousand, started):
    count = sweep()

    heads = set(_ids()[::2])
    assert count == len(started) == deliveries._MAX_SWEPT
    assert set(started) <= heads


def test_the_turn_is_looked_up_in_its_index(ten_thousand):
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE registry_delivery")

    assert "delivery_order" in deliveries._due().order_by("due_at")[:500].explain()
    assert "delivery_order" in deliveries._due().filter(pk=max(_ids())).explain()
