import pytest
from django.db import transaction

from registry.record import events
from registry.record.audit import AuditSubject
from registry.record.events import EVENT_KINDS, emit
from registry.record.models import Delivery, Event, Subscription
from tests.support.factories import a_model
from tests.support.processes import ROOT
from tests.support.tables import cases

pytestmark = pytest.mark.django_db
SPLIT = AuditSubject("split", "3", "fraud-score split 3", model_slug="fraud-score")


@pytest.fixture
def subscribe():
    def make(name: str = "hook", **given) -> Subscription:
        return Subscription.objects.create(**{"name": name, "url": "https://public.example/", **given})

    return make


@pytest.fixture
def sent(monkeypatch):
    """The ids of deliveries that were started on commit."""
    started: list[int] = []
    monkeypatch.setattr(events, "_start_task", started.append)
    return started


def _tell(kind: str = "split_changed", subject: AuditSubject = SPLIT, **more) -> Event:
    return emit(kind, subject=subject, data={"shares": {"4": 10_000}}, summary="It changed.", **more)


def test_an_event_keeps_what_happened():
    event = _tell()

    assert (event.kind, event.summary, event.model_slug) == ("split_changed", "It changed.", "fraud-score")
    assert (event.object_kind, event.object_id, event.object_label) == ("split", "3", "fraud-score split 3")
    assert Event.objects.get().data == {"shares": {"4": 10_000}}


def test_a_kind_that_nobody_registered_is_refused():
    with pytest.raises(ValueError, match="no such event kind"):
        _tell("split_chnaged")


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_refused():
    with pytest.raises(transaction.TransactionManagementError):
        _tell()


def test_a_kind_has_one_sentence():
    sentence = EVENT_KINDS["split_changed"]
    EVENT_KINDS.add("split_changed", sentence)

    with pytest.raises(ValueError, match="choose another name"):
        EVENT_KINDS.add("split_changed", "something else")


@cases(
    "kinds, model, enabled, told",
    everything=([], None, True, True),
    its_kind=(["split_changed", "worker_lost"], None, True, True),
    another_kind=(["worker_lost"], None, True, False),
    its_model=([], "fraud-score", True, True),
    another_model=([], "churn", True, False),
    switched_off=([], None, False, False),
)
def test_who_is_told(subscribe, kinds, model, enabled, told):
    subscribe(kinds=kinds, model=a_model(model) if model else None, enabled=enabled)

    _tell()

    assert Delivery.objects.exists() is told


def test_a_delivery_leaves_on_commit(subscribe, sent, django_capture_on_commit_callbacks):
    subscribe()
    with django_capture_on_commit_callbacks(execute=True):
        _tell()
        assert sent == []

    assert sent == [Delivery.objects.get().pk]


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_does_not_fail_the_change(subscribe, monkeypatch):
    def no_broker(_delivery_id):
        raise ConnectionRefusedError

    monkeypatch.setattr(events, "_start_task", no_broker)
    subscribe()

    with transaction.atomic():
        _tell()

    assert Delivery.objects.get().status == Delivery.Status.WAITING


@pytest.mark.both
def test_what_follows_before_it_was_sent_joins_it(subscribe):
    subscribe()
    _tell()
    last = _tell()

    delivery = Delivery.objects.get()
    assert (delivery.count, delivery.event) == (2, last)


def test_what_follows_after_it_was_sent_waits_for_the_window_together(
    subscribe, sent, django_capture_on_commit_callbacks
):
    subscribe()
    with django_capture_on_commit_callbacks(execute=True):
        _tell()
        Delivery.objects.update(attempts=1, status=Delivery.Status.SENDING)
        _tell()
        _tell()

    first, second = Delivery.objects.order_by("pk")
    assert (first.count, second.count) == (1, 2)
    assert second.due_at - second.created_at > events.GROUP_WINDOW / 2
    assert sent == [first.pk]


@pytest.mark.both
def test_events_with_an_order_key_are_not_grouped(subscribe, sent, django_capture_on_commit_callbacks):
    subscribe()
    with django_capture_on_commit_callbacks(execute=True):
        first, second = _tell(order_key="case:7"), _tell(order_key="case:7")
        without = _tell()
        last = _tell(order_key="case:7")

    rows = list(Delivery.objects.order_by("pk"))
    assert [row.event for row in rows] == [first, second, without, last]
    assert {row.count for row in rows} == {1}
    assert [row.order_key for row in rows] == ["case:7", "case:7", "", "case:7"]
    assert sent == [row.pk for row in rows]


@pytest.mark.both
def test_an_order_key_is_cut_to_its_column(subscribe):
    subscribe()
    _tell(order_key="a" * 300)

    assert Delivery.objects.get().order_key == "a" * 200


@pytest.mark.both
@cases(
    "given, count",
    another_kind=({"kinds": ["worker_lost"]}, 1),
    its_kind=({"kinds": ["split_changed"]}, 1),
    every_kind=({}, 1),
    switched_off=({"kinds": ["worker_lost"], "enabled": False}, 0),
)
@pytest.mark.parametrize("order_key", ["", "case:7"])
def test_a_named_subscription_is_told_once_whatever_its_kinds(subscribe, given, count, order_key):
    named = subscribe(**given)
    subscribe("other", kinds=["worker_lost"])

    _tell(also_to=[named, named], order_key=order_key)

    assert [(row.subscription, row.count) for row in Delivery.objects.all()] == [(named, 1)] * count


def test_a_named_subscription_is_told_whatever_its_model(subscribe):
    named = subscribe(model=a_model("churn"))

    _tell(also_to=[named])

    assert Delivery.objects.get().subscription == named


def test_one_switched_off_since_it_was_read_is_not_told(subscribe):
    named = subscribe(kinds=["worker_lost"])
    Subscription.objects.update(enabled=False)

    _tell(also_to=[named])

    assert not Delivery.objects.exists()


@cases(
    "kind, subject",
    another_kind=("worker_lost", SPLIT),
    another_object=("split_changed", AuditSubject("split", "4", "another")),
)
def test_other_news_is_told_apart(subscribe, kind, subject):
    subscribe()
    _tell()
    _tell(kind, subject)

    assert Delivery.objects.count() == 2


def test_the_window_and_the_sweeper_keep_the_promise_of_thirty_seconds():
    from roundhouse.celery import app

    sweep_s = app.conf.beat_schedule["sweep-deliveries"]["schedule"]
    assert events.GROUP_WINDOW.total_seconds() + sweep_s <= 30


def test_the_page_for_receivers_lists_every_kind():
    page = (ROOT / "docs" / "events.md").read_text()

    assert [kind for kind, sentence in EVENT_KINDS.items() if f"| `{kind}` | {sentence} |" not in page] == []
