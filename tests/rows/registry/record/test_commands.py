from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from registry.record.channels import secret_of
from registry.record.models import AuditRecord, Delivery, Subscription

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook():
    return Subscription.objects.create(name="hook", url="https://public.example/", secret_salt="s")


def _run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_a_test_is_sent_and_sent_again(hook):
    assert "is being sent as delivery" in _run("test_subscription", "hook")
    delivery = Delivery.objects.get()
    with pytest.raises(CommandError, match="being sent"):
        _run("resend_delivery", str(delivery.pk))

    Delivery.objects.update(status="delivered", ended_at=timezone.now())

    assert "sent again" in _run("resend_delivery", str(delivery.pk))


def test_another_secret_is_printed_and_audited(hook):
    printed = _run("renew_webhook_secret", "hook").strip()

    assert printed == secret_of(Subscription.objects.get().secret_salt)
    assert AuditRecord.objects.get().source == "command"


@pytest.mark.parametrize(
    "arguments",
    [("test_subscription", "none"), ("renew_webhook_secret", "none"), ("resend_delivery", "99")],
    ids=lambda arguments: arguments[0],
)
def test_what_is_not_there_is_named(arguments):
    with pytest.raises(CommandError, match=f"There is no .*{arguments[1]}"):
        _run(*arguments)
