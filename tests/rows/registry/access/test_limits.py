"""Limits of keys and tenants: what they may be, who is told, and that every process learns of them."""

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from registry.access import keys, services
from registry.access.key_ring import KeyRing
from registry.access.limits import MAX_CONCURRENCY, MAX_RATE_PER_MINUTE, NO_LIMITS, CallerLimits
from registry.access.models import ApiKey, Tenant
from registry.access.validation import checked_limits
from registry.catalogue.models import Model
from registry.errors import Invalid
from registry.record.models import AuditRecord
from tests.support.factories import a_key, a_tenant, an_actor

pytestmark = pytest.mark.django_db
BY = an_actor()
SOME = CallerLimits(600, 8, is_exact=True)
SOME_COLUMNS = {"rate_per_minute": 600, "concurrency": 8, "exact_rate": True}
NO_COLUMNS = {"rate_per_minute": None, "concurrency": None, "exact_rate": False}

# Each with what the services say of it, nothing where it may be.
LIMITS = {
    "none": (NO_LIMITS, ""),
    "rate": (CallerLimits(1), ""),
    "exact rate": (CallerLimits(1, is_exact=True), ""),
    "concurrency": (CallerLimits(concurrency=1), ""),
    "largest": (CallerLimits(MAX_RATE_PER_MINUTE, MAX_CONCURRENCY), ""),
    "rate of nothing": (CallerLimits(0), "requests a minute"),
    "negative rate": (CallerLimits(-1), "requests a minute"),
    "rate too large": (CallerLimits(MAX_RATE_PER_MINUTE + 1), "requests a minute"),
    "none at once": (CallerLimits(concurrency=0), "concurrent requests"),
    "too many at once": (CallerLimits(concurrency=MAX_CONCURRENCY + 1), "concurrent requests"),
    "exact without a rate": (CallerLimits(concurrency=1, is_exact=True), "needs a rate"),
}
each_limit = pytest.mark.parametrize(("limits", "refusal"), LIMITS.values(), ids=LIMITS)


def a_row(kind):
    """A row that is not written yet."""
    if kind is ApiKey:
        return ApiKey(prefix="abcdefgh", digest="0" * 64, name="x", tenant=a_tenant())
    return kind(slug="good")


@pytest.mark.both
@pytest.mark.parametrize("kind", [ApiKey, Tenant, Model])
@each_limit
def test_the_database_holds_the_bounds(kind, limits, refusal):
    row = a_row(kind)
    row.limits = limits

    if refusal:
        with pytest.raises(IntegrityError), transaction.atomic():
            row.save()
        return
    row.save()
    assert kind.objects.get(pk=row.pk).limits == limits


@each_limit
def test_services_explain_the_bounds(limits, refusal):
    if not refusal:
        assert checked_limits(limits) == limits
        return
    with pytest.raises(Invalid, match=refusal):
        checked_limits(limits)
    with pytest.raises(Invalid, match=refusal):
        a_key(limits=limits)
    with pytest.raises(Invalid, match=refusal):
        services.create_tenant(slug="acme", limits=limits, by=BY)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (NO_LIMITS, "none"),
        (CallerLimits(6_000), "6,000 a minute"),
        (SOME, "600 a minute (strict), 8 at once"),
        (CallerLimits(concurrency=2), "2 at once"),
    ],
)
def test_limits_are_told_in_words(limits, text):
    assert str(limits) == text


def test_a_new_key_has_none_unless_they_are_given():
    assert a_key()[0].limits == NO_LIMITS

    key, text = a_key(limits=SOME)

    assert ApiKey.objects.get(pk=key.pk).limits == keys.admit(text).principal.limits == SOME
    assert AuditRecord.objects.first().after.items() >= SOME_COLUMNS.items()


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_keys_limits_change_here_at_once_and_stay_where_none_are_named():
    key, text = a_key(limits=SOME)
    keys.admit(text)
    terms = {"name": "ci", "scopes": ["predict"], "models": [], "expires_at": None}

    services.change_key(key=key, **terms, by=BY)
    assert keys.admit(text).principal.limits == SOME

    services.change_key(key=key, **terms, limits=NO_LIMITS, by=BY)

    assert keys.admit(text).principal.limits == NO_LIMITS
    record = AuditRecord.objects.first()
    assert record.before.items() >= SOME_COLUMNS.items()
    assert record.after.items() >= NO_COLUMNS.items()


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_tenants_limits_reach_the_keys_of_every_process():
    here, there = keys.ring, KeyRing(keys.KeyTable())
    tenant = a_tenant("acme")
    _, text = a_key(tenant=tenant)
    assert here.admit(text) == there.admit(text)

    services.change_tenant(tenant=tenant, limits=SOME, by=BY)
    assert here.admit(text).principal.tenant_limits == SOME
    assert there.admit(text).principal.tenant_limits == NO_LIMITS
    there.refresh()

    principal = there.admit(text).principal
    assert (principal.limits, principal.tenant_limits) == (NO_LIMITS, SOME)


def test_of_a_tenant_only_what_is_named_changes():
    tenant = services.create_tenant(slug="acme", title="Acme", limits=SOME, by=BY)

    services.change_tenant(tenant=tenant, title="Acme Ltd", by=BY)
    services.change_tenant(tenant=tenant, limits=CallerLimits(1), by=BY)

    row = Tenant.objects.get()
    assert (row.title, row.limits) == ("Acme Ltd", CallerLimits(1))
    record = AuditRecord.objects.first()
    assert record.before == {"title": "Acme Ltd", **SOME_COLUMNS}
    assert record.after == {"title": "Acme Ltd", **NO_COLUMNS, "rate_per_minute": 1}


class TestCommand:
    def test_a_key_is_issued_with_limits(self, capsys):
        call_command("issue_key", "ci", "--rate-per-minute", "600", "--concurrency", "8", "--exact")

        assert keys.admit(capsys.readouterr().out.strip()).principal.limits == SOME

    def test_a_mistake_is_explained(self):
        with pytest.raises(CommandError, match="needs a rate"):
            call_command("issue_key", "ci", "--exact")
        assert not ApiKey.objects.exists()
