"""What the registry says on the home page: holds, broken versions, requests, deliveries."""

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access.policies import Right
from registry.catalogue.services import crashes
from registry.console.attention import (
    broken_versions,
    failing_deliveries,
    own_requests_rejected,
    requests_to_decide,
    stopped_and_frozen,
)
from registry.kit.admin.attention import READ_AT_MOST, Severity
from registry.record.models import Delivery, Event, Subscription
from registry.traffic.models import SplitRequest
from registry.traffic.services import ask_for_split, freeze_model, reject_request, stop_model
from tests.support.factories import a_live_model, a_model, a_person, a_version, an_actor

pytestmark = pytest.mark.django_db


def elsewhere():
    return an_actor(models=frozenset({a_model().pk}))


def test_holds_say_who_since_when_and_what_callers_are_told():
    model, other = a_live_model(100, slug="fruit"), a_live_model(100, slug="corn")
    freeze_model(model=other, reason="holidays", by=an_actor())
    stop_model(model=model, text="wrong prices", by=an_actor())

    stop, freeze = stopped_and_frozen(an_actor())

    assert (stop.severity, stop.badge, stop.since) == (
        Severity.CRITICAL,
        "stopped",
        model.holds.get().from_at,
    )
    assert stop.sentence == "fruit is stopped by tester: every request gets 503."
    assert stop.action.title == "Start fruit"
    assert stop.action.address.endswith(f"/{model.pk}/start/")
    assert (freeze.severity, list(freeze.notes)) == (Severity.NOTICE, ["“holidays”"])
    assert freeze.sentence == "corn is frozen by tester: no version can gain live share."
    assert stopped_and_frozen(an_actor(Right.READ))[0].action is None
    assert stopped_and_frozen(elsewhere()) == []


def test_broken_versions_are_told_live_ones_first():
    model = a_live_model(100, slug="fruit")
    idle = a_version(a_model("idle"))
    for version in (idle, model.versions.get()):
        for number in range(crashes.CRASHES_TO_BREAK):
            crashes.record_crash(
                version=version, signal="SIGSEGV", process="web", source=f"{version.pk} {number}",
                crashed_at=timezone.now(), by=an_actor(),
            )  # fmt: skip

    live, other = broken_versions(an_actor())

    assert live.sentence.startswith("fruit 1 is broken and live: it crashed processes")
    assert (live.severity, live.badge, live.action.title) == (Severity.CRITICAL, "broken", "Roll back")
    assert (other.name, other.severity, other.action) == ("idle 1", Severity.WARNING, None)
    assert broken_versions(elsewhere()) == []
    assert live.link.endswith("?tab=overview#rh-crashes")


def test_who_asked_is_told_of_a_rejection():
    model = a_live_model(100)
    a_version(model)
    asker, approver = a_person("operator"), a_person("approver")
    first, second = model.versions.order_by("number")
    request = ask_for_split(
        model=model, arms={first: 9_000, second: 1_000}, comment="better", by=an_actor(user=asker)
    )
    reject_request(request=request, reason="not on a Friday", by=an_actor(user=approver))

    (item,) = own_requests_rejected(an_actor(user=asker))

    assert item.sentence.endswith(f"rejected your request for {model.slug}: version 1 90 %, version 2 10 %.")
    assert item.notes == ["“not on a Friday”"]
    assert own_requests_rejected(an_actor(user=approver)) == []
    SplitRequest.objects.update(decided_at=timezone.now() - timedelta(days=2))
    assert own_requests_rejected(an_actor(user=asker)) == []


def test_a_request_is_told_and_may_be_decided_by_another_person_only():
    model = a_live_model(100)
    a_version(model)
    asker, approver = a_person("operator"), a_person("approver")
    first, second = model.versions.order_by("number")
    ask_for_split(model=model, arms={first: 9_000, second: 1_000}, comment="better", by=an_actor(user=asker))

    (mine,) = requests_to_decide(an_actor(user=asker))
    (theirs,) = requests_to_decide(an_actor(user=approver))

    assert f"asks for approval of {model.slug}: version 1 90 %, version 2 10 %." in mine.sentence
    assert (mine.action, theirs.action.title) == (None, "Decide")
    assert requests_to_decide(elsewhere()) == []


class TestDeliveries:
    @pytest.fixture
    def subscription(self):
        return Subscription.objects.create(name="pager", url="https://example.com/x", secret_salt="x")

    def delivery(self, subscription, status, *, hours_ago=1, slug="fruit", **columns):
        event = Event.objects.create(
            kind="test", object_kind="x", object_label="x", model_slug=slug, summary="x"
        )
        at = timezone.now() - timedelta(hours=hours_ago)
        delivery = Delivery.objects.create(
            subscription=subscription, event=event, group_key="x", message_id=f"{event.pk}", status=status,
            due_at=at, ended_at=at if status in {"failed", "delivered"} else None, **columns,
        )  # fmt: skip
        Delivery.objects.filter(pk=delivery.pk).update(created_at=at)
        return delivery

    def test_failures_of_one_subscription_are_one_item(self, subscription):
        self.delivery(subscription, "failed", hours_ago=3, last_error="old")
        self.delivery(subscription, "failed", hours_ago=2, last_error="old")
        self.delivery(subscription, "waiting", attempts=4, last_error="connection refused")
        self.delivery(subscription, "failed", hours_ago=25)

        (item,) = failing_deliveries(an_actor())

        assert (
            item.sentence
            == "Messages to pager do not arrive: 2 failed in the last 24 hours and 1 is being retried."
        )
        assert list(item.notes) == ["connection refused"]

    def test_more_failures_than_are_read_are_not_counted_as_if_they_were_all(self, subscription):
        for _ in range(READ_AT_MOST + 1):
            self.delivery(subscription, "failed")

        (item,) = failing_deliveries(an_actor())

        assert f": at least {READ_AT_MOST} failed in the last 24 hours." in item.sentence

    def test_what_arrives_again_is_not_told(self, subscription):
        self.delivery(subscription, "failed", hours_ago=3)
        assert len(failing_deliveries(an_actor())) == 1

        self.delivery(subscription, "delivered", hours_ago=1)

        assert failing_deliveries(an_actor()) == []

    def test_a_first_retry_is_no_trouble(self, subscription):
        self.delivery(subscription, "waiting", attempts=2)

        assert failing_deliveries(an_actor()) == []

    def test_only_those_who_may_read_the_record_are_told_and_only_of_their_models(self, subscription):
        self.delivery(subscription, "failed", slug=a_model("fruit").slug)

        assert failing_deliveries(an_actor(Right.READ)) == []
        assert failing_deliveries(elsewhere()) == []
