import dataclasses

import pytest
from django.db import IntegrityError, transaction

from registry.errors import AddressNotAllowed, Invalid, NameTaken, NotAllowed, PortNotAllowed
from registry.record.channels import secret_of
from registry.record.models import AuditRecord, Delivery, Subscription
from registry.record.subscriptions import (
    SubscriptionSettings,
    add_subscription,
    change_subscription,
    remove_subscription,
    renew_secret,
    send_test,
)
from tests.support.factories import a_model, a_person, an_actor
from tests.support.tables import cases

pytestmark = pytest.mark.django_db
SETTINGS = SubscriptionSettings(name="hook", kinds=["split_changed"], url="https://public.example/hook")


@pytest.fixture
def by(by):
    """Somebody whom the database knows."""
    return dataclasses.replace(by, user_id=a_person().pk)


@pytest.fixture
def subscription(by):
    return add_subscription(values=SETTINGS, by=by)[0]


def test_a_subscription_comes_with_its_secret(by):
    subscription, secret = add_subscription(values=SETTINGS, by=by)

    kept = Subscription.objects.get()
    assert (kept.name, kept.kinds, kept.channel, kept.enabled) == ("hook", ["split_changed"], "webhook", True)
    assert secret == secret_of(subscription.secret_salt)
    assert secret not in str(vars(kept))


def test_its_changes_are_audited_without_secrets(by, subscription):
    model = a_model("fraud-score")

    settings = dataclasses.replace(SETTINGS, model_id=model.pk, enabled=False)
    change_subscription(subscription=subscription, values=settings, by=by)
    secret = renew_secret(subscription=subscription, by=by)
    remove_subscription(subscription=subscription, by=by)

    records = list(AuditRecord.objects.filter(object_kind="subscription").order_by("seq"))
    assert [record.action for record in records] == [
        "add_subscription", "change_subscription", "renew_webhook_secret", "remove_subscription",
    ]  # fmt: skip
    assert records[1].before["enabled"] is True
    assert (records[1].after["enabled"], records[1].after["model"]) == (False, "fraud-score")
    assert {record.object_id for record in records} == {records[0].object_id}
    assert all(secret not in record.before_json + record.after_json for record in records)
    assert not Subscription.objects.exists()


@cases(
    "changed, error",
    unknown_kind=({"kinds": ["split_chnaged"]}, Invalid),
    no_address=({"url": ""}, Invalid),
    two_addresses=({"email": "ops@example.org"}, Invalid),
    internal_address=({"url": "http://127.0.0.1/"}, AddressNotAllowed),
    internal_name=({"url": "http://localhost/"}, AddressNotAllowed),
    port=({"url": "https://public.example:8443/"}, PortNotAllowed),
    scheme=({"url": "ftp://public.example/"}, Invalid),
)
def test_what_cannot_work_is_refused_at_once(by, changed, error):
    with pytest.raises(error):
        add_subscription(values=dataclasses.replace(SETTINGS, **changed), by=by)

    assert not Subscription.objects.exists()


def test_mail_is_refused_with_the_reason_where_no_server_is_set_up(by):
    with pytest.raises(Invalid, match="ROUNDHOUSE_SMTP_URL"):
        add_subscription(values=SubscriptionSettings(name="mail", email="ops@example.org"), by=by)


@pytest.mark.parametrize(("email", "fits"), [("ops@example.org", True), ("ops", False), ("a@b\nc", False)])
def test_mail_addresses_are_checked(by, settings, email, fits):
    settings.MAIL_IS_SET_UP = True
    try:
        made = add_subscription(values=SubscriptionSettings(name="mail", email=email), by=by)[0].channel
    except Invalid:
        made = None

    assert made == ("email" if fits else None)


def test_a_name_is_given_once(by, subscription):
    with pytest.raises(NameTaken):
        add_subscription(values=SETTINGS, by=by)


VERBS = {
    "add": lambda one, by: add_subscription(values=dataclasses.replace(SETTINGS, name="other"), by=by),
    "change": lambda one, by: change_subscription(subscription=one, values=SETTINGS, by=by),
    "remove": lambda one, by: remove_subscription(subscription=one, by=by),
    "renew": lambda one, by: renew_secret(subscription=one, by=by),
    "test": lambda one, by: send_test(subscription=one, by=by),
}


@pytest.mark.parametrize("verb", VERBS)
@cases(
    "right, models",
    another_right=("read_record", None),
    limited_to_a_Model=("manage_subscriptions", frozenset({1})),
)
def test_nobody_does_it_without_the_right(subscription, verb, right, models):
    with pytest.raises(NotAllowed):
        VERBS[verb](subscription, an_actor(right, models=models))

    assert not AuditRecord.objects.filter(actor_name="tester", object_kind="subscription").exists()


def test_a_test_goes_to_this_subscription_alone(by, subscription):
    add_subscription(values=dataclasses.replace(SETTINGS, name="other", kinds=[]), by=by)

    delivery = send_test(subscription=subscription, by=by)

    assert Delivery.objects.get() == delivery
    assert (delivery.subscription, delivery.event.kind) == (subscription, "test")


@pytest.mark.both
@cases(
    "columns",
    none={"channel": "webhook", "url": "", "email": ""},
    both={"channel": "webhook", "url": "https://public.example/", "email": "ops@example.org"},
    the_other_channel_s={"channel": "email", "url": "https://public.example/", "email": ""},
)
def test_the_database_wants_the_address_of_the_channel(columns):
    with pytest.raises(IntegrityError), transaction.atomic():
        Subscription.objects.create(name="x", secret_salt="s", **columns)
