"""A request is told to whoever subscribed: when it is asked, and when it is decided."""

import json

import pytest

from registry.access.policies import Role
from registry.record.deliveries import deliver
from registry.record.models import Delivery, Event, Subscription
from registry.traffic import services as traffic
from tests.rows.registry.traffic.two_people import a_guarded_model, approve, ask
from tests.support.factories import a_person, a_split, an_actor

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook():
    kinds = ["approval_asked", "approval_decided"]
    return Subscription.objects.create(
        name="hook", url="http://public.example/hook", kinds=kinds, secret_salt="s"
    )


def sent(receiver):
    """What arrived, in order."""
    for delivery in Delivery.objects.order_by("pk"):
        deliver(delivery.pk)
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]


def test_asking_and_approving_reach_a_webhook(hook, receiver):
    model = a_guarded_model()
    anna = a_person(Role.APPROVER, username="anna")
    request = ask(model, 90, 10)
    approve(request, by=an_actor(user=anna))

    asked, decided = sent(receiver)

    assert (asked["type"], asked["data"]["model"]) == ("approval_asked", model.slug)
    assert asked["data"]["summary"] == f"tester requested version 1 90 %, version 2 10 % for {model}: because"
    told = asked["data"]["details"]
    assert (told["request"], told["status"], told["arms"]) == (request.pk, "open", {"1": 9_000, "2": 1_000})
    assert (told["asked_by"], told["comment"], told["split"]) == ("tester", "because", None)
    assert decided["type"] == "approval_decided"
    told = decided["data"]["details"]
    assert told.items() >= {"status": "approved", "decided_by": "anna", "reason": "good", "split": 2}.items()


@pytest.mark.parametrize(
    ("verb", "status"), [(traffic.reject_request, "rejected"), (traffic.withdraw_request, "withdrawn")]
)
def test_other_ends_are_told_too(hook, receiver, verb, status):
    request = ask(a_guarded_model())
    verb(request=request, reason="no", by=an_actor(user=a_person(Role.OPERATOR)))

    _, decided = sent(receiver)

    assert (decided["type"], decided["data"]["details"]["status"]) == ("approval_decided", status)
    assert f"was {status} by" in decided["data"]["summary"]


def test_a_split_that_waits_for_nobody_tells_no_approver():
    model = a_guarded_model()
    a_split(model, 100)

    assert not Event.objects.filter(kind__startswith="approval_").exists()
