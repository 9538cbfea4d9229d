import json
from datetime import timedelta
from functools import partial

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone

from inference.doors.rest.client import BadWebhook, verify_webhook
from registry.errors import Conflict, NotAllowed
from registry.kit.actors import Actor, Source
from registry.record import channels, deliveries, events
from registry.record.audit import AuditSubject
from registry.record.channels import SendResult, secret_of, signed_headers
from registry.record.deliveries import BACK_OFF, deliver, resend, sweep
from registry.record.events import emit
from registry.record.models import Delivery, Subscription
from tests.support.tables import cases
from tests.support.together import at_once

pytestmark = pytest.mark.django_db
Status = Delivery.Status


@pytest.fixture
def hook():
    return Subscription.objects.create(name="hook", url="http://public.example/hook?a=b", secret_salt="salt")


@pytest.fixture
def delivery(hook):
    subject = AuditSubject("split", "3", "fraud-score split 3", "fraud-score")
    summary = "fraud-score is now answered by version 4."
    with transaction.atomic():
        emit("split_changed", subject=subject, data={"shares": {"4": 10_000}}, summary=summary)
    return Delivery.objects.get()


@pytest.fixture
def outcomes(monkeypatch):
    """Attempts end as this list says."""
    planned: list[SendResult] = []
    monkeypatch.setattr(channels, "send", lambda _delivery: planned.pop(0))
    return planned


def attempt(delivery: Delivery) -> Delivery:
    """Deliver it; return what became of it."""
    deliver(delivery.pk)
    return Delivery.objects.get()


def test_a_webhook_arrives_signed(delivery, receiver):
    assert deliver(delivery.pk)

    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    request_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert request_line == "POST /hook?a=b HTTP/1.1"
    assert headers["content-type"] == "application/json"
    at = int(headers["webhook-timestamp"])
    expected = signed_headers(
        secret=secret_of("salt"), message_id=delivery.message_id, timestamp=at, body=body
    )
    assert expected.items() <= headers.items()
    sent = json.loads(body)
    assert (sent["type"], sent["data"]["model"], sent["data"]["count"]) == ("split_changed", "fraud-score", 1)
    assert sent["data"]["details"] == {"shares": {"4": 10_000}}
    assert sent["data"]["object"] == {"kind": "split", "id": "3", "label": "fraud-score split 3"}


def test_the_published_client_accepts_what_arrives(delivery, receiver):
    deliver(delivery.pk)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])

    assert verify_webhook(body, headers, secret_of("salt"))["data"]["model"] == "fraud-score"
    with pytest.raises(BadWebhook):
        verify_webhook(body + b" ", headers, secret_of("salt"))


def test_an_accepted_delivery_is_over(delivery, receiver):
    delivery = attempt(delivery)

    assert (delivery.status, delivery.attempts, delivery.http_status) == (Status.DELIVERED, 1, 204)
    assert delivery.ended_at is not None
    assert delivery.response_ms is not None
    assert not deliver(delivery.pk)
    assert len(receiver.requests) == 1


@cases(
    "status, then",
    broken=(500, Status.WAITING),
    not_yet_there=(404, Status.WAITING),
    busy=(429, Status.WAITING),
    redirect=(302, Status.FAILED),
    gone=(410, Status.FAILED),
)
def test_what_an_answer_leads_to(delivery, receiver, status, then):
    receiver.status = status

    delivery = attempt(delivery)

    assert delivery.status == then
    assert delivery.last_error


@cases(
    "url, code, then",
    internal=("http://10.0.0.5/", "address_not_allowed", Status.FAILED),
    no_such_name=("http://unknown.example/", "dns_failed", Status.WAITING),
)
def test_an_address_that_cannot_be_fetched(hook, delivery, receiver, url, code, then):
    Subscription.objects.update(url=url)

    delivery = attempt(delivery)

    assert delivery.status == then
    assert delivery.last_error.startswith(f"{code}: ")
    assert receiver.strays == []


@pytest.mark.both
def test_attempts_follow_each_other_with_growing_pauses_and_end(delivery, outcomes):
    outcomes += [SendResult(error="down")] * 9
    pauses = []

    for _ in range(9):
        Delivery.objects.update(due_at=timezone.now())
        began = timezone.now()
        assert deliver(delivery.pk)
        delivery.refresh_from_db()
        pauses.append(delivery.due_at - began)

    late = [pause - planned for pause, planned in zip(pauses, BACK_OFF, strict=False)]
    assert all(abs(delay) < timedelta(seconds=5) for delay in late)
    assert (delivery.status, delivery.attempts, delivery.last_error) == (Status.FAILED, 9, "down")


def test_what_is_not_due_is_not_sent(delivery, outcomes):
    Delivery.objects.update(due_at=timezone.now() + timedelta(seconds=5))

    assert not deliver(delivery.pk)


def test_an_attempt_whose_sender_died_is_made_again_by_another(delivery, outcomes):
    Delivery.objects.update(status=Status.SENDING, attempts=1, due_at=timezone.now() - timedelta(seconds=1))
    outcomes.append(SendResult())

    assert deliver(delivery.pk)

    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == (Status.DELIVERED, 2)


def test_who_was_taken_for_dead_does_not_overwrite_the_next_attempt(delivery, monkeypatch):
    def send_slowly(_delivery):
        Delivery.objects.update(attempts=2)  # meanwhile somebody else has begun the second
        return SendResult(error="too late")

    monkeypatch.setattr(channels, "send", send_slowly)
    delivery = attempt(delivery)

    assert (delivery.status, delivery.attempts, delivery.last_error) == (Status.SENDING, 2, "")


def test_the_sweeper_starts_what_is_due(delivery, monkeypatch, django_capture_on_commit_callbacks):
    started = []
    monkeypatch.setattr(events, "_start_task", started.append)

    with django_capture_on_commit_callbacks(execute=True):
        assert sweep() == 1
        Delivery.objects.update(due_at=timezone.now() + timedelta(seconds=60))
        assert sweep() == 0

    assert started == [delivery.pk]


def test_a_delivery_can_be_sent_again(delivery, outcomes, by):
    outcomes += [SendResult(), SendResult()]
    deliver(delivery.pk)

    resend(delivery, by=by)

    assert deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == (Status.DELIVERED, 2)


def test_what_is_under_way_is_not_sent_again(delivery, by):
    with pytest.raises(Conflict):
        resend(delivery, by=by)


def test_sending_again_needs_the_right(delivery):
    with pytest.raises(NotAllowed):
        resend(delivery, by=Actor(name="eve", source=Source.ADMIN))


WORKERS = 8


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_sends(delivery, receiver):
    made = at_once([partial(deliver, delivery.pk)] * WORKERS)

    assert sorted(made) == [False] * (WORKERS - 1) + [True]
    assert len(receiver.requests) == 1


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_without_the_conditional_claim_many_send(delivery, receiver, monkeypatch):
    monkeypatch.setattr(deliveries, "_claim", lambda pk: Delivery.objects.select_related().get(pk=pk))

    at_once([partial(deliver, delivery.pk)] * WORKERS)

    assert len(receiver.requests) == WORKERS


@pytest.fixture
def by_mail(settings, delivery):
    settings.MAIL_IS_SET_UP = True
    settings.DEFAULT_FROM_EMAIL = "roundhouse@example.org"
    Subscription.objects.update(channel="email", url="", email="ops@example.org")
    return delivery


def test_a_mail_says_what_happened(by_mail):
    Delivery.objects.update(count=3)

    assert deliver(by_mail.pk)

    (message,) = mail.outbox
    assert message.to == ["ops@example.org"]
    assert message.subject == "[Roundhouse] fraud-score is now answered by version 4."
    assert "This happened 3 times" in message.body
    assert "fraud-score split 3" in message.body
    by_mail.refresh_from_db()
    assert by_mail.status == Status.DELIVERED


def test_a_subject_cannot_carry_headers(by_mail):
    by_mail.event.summary = "one\r\nBcc: eve@example.org"
    by_mail.event.save()

    deliver(by_mail.pk)

    assert mail.outbox[0].subject == "[Roundhouse] one Bcc: eve@example.org"
    assert mail.outbox[0].recipients() == ["ops@example.org"]


def test_a_mail_server_that_is_away_is_tried_again(by_mail, monkeypatch):
    def refuse(*_args, **_more):
        raise ConnectionRefusedError("10.0.0.5")

    monkeypatch.setattr("django.core.mail.EmailMessage.send", refuse)
    by_mail = attempt(by_mail)

    assert by_mail.status == Status.WAITING
    assert "ConnectionRefusedError" in by_mail.last_error
    assert "10.0.0.5" not in by_mail.last_error


def test_without_a_mail_server_the_delivery_says_so(by_mail, settings):
    settings.MAIL_IS_SET_UP = False

    by_mail = attempt(by_mail)

    assert "ROUNDHOUSE_SMTP_URL" in by_mail.last_error
