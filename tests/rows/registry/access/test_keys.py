import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.db.models import ProtectedError
from django.utils import timezone

from inference.errors import UnknownModel
from inference.serving.routes import read_table
from registry.access import keys, services
from registry.access.key_ring import KeyRing, digest_of, prefix_of
from registry.access.limits import NO_LIMITS
from registry.access.models import ApiKey, Tenant
from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.errors import Invalid, NameTaken, NotAllowed, NotAuthenticated, StaleState
from registry.record.models import AuditRecord
from tests.support.factories import a_key, a_live_model, a_model, a_person, a_tenant, an_actor
from tests.support.tables import cases

pytestmark = pytest.mark.django_db
BY = an_actor()


def last_record() -> AuditRecord:
    return AuditRecord.objects.order_by("-seq").first()


def test_an_issued_key_opens_the_door():
    tenant, model = a_tenant("acme"), a_model("fraud")
    user = a_person("admin")

    key, text = services.issue_key(
        name=" ci ", tenant=tenant, scopes=["registry.read", "predict", "predict"], models=[model.pk],
        by=an_actor(Right.MANAGE_KEYS, user=user),
    )  # fmt: skip

    principal, stale_s = keys.admit(text)
    assert (principal.key_id, principal.name, principal.tenant) == (key.pk, "ci", "acme")
    assert (principal.scopes, principal.models) == ({"predict", "registry.read"}, {model.pk})
    assert stale_s == 0
    assert (key.scopes, key.created_by) == (["predict", "registry.read"], user)
    assert last_record().action == "issue_key"
    assert last_record().after == {
        "name": "ci", "tenant": "acme", "scopes": ["predict", "registry.read"], "models": ["fraud"],
        "expires_at": None, **NO_LIMITS.columns(),
    }  # fmt: skip


def test_the_secret_is_kept_nowhere():
    _, text = a_key()
    secret = text.rsplit("_", 1)[1] if text.count("_") == 2 else text.split("_", 2)[2]

    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            assert secret not in str(cursor.fetchall())
    assert ApiKey.objects.get().digest == digest_of(text)


def test_another_secret_under_a_known_prefix_is_refused():
    _, text = a_key()
    forged = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert prefix_of(forged) == prefix_of(text)

    with pytest.raises(NotAuthenticated):
        keys.admit(forged)


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_is_refused_here_at_once(django_capture_on_commit_callbacks):
    key, text = a_key()
    keys.admit(text)

    services.revoke_key(key=key, reason="leaked", by=BY)

    with pytest.raises(NotAuthenticated):
        keys.admit(text)
    assert (last_record().action, last_record().reason) == ("revoke_key", "leaked")
    with pytest.raises(StaleState):
        services.revoke_key(key=key, by=BY)
    assert AuditRecord.objects.filter(action="revoke_key").count() == 1


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_changed_key_has_its_new_terms_here_at_once():
    model = a_model("fraud")
    key, text = a_key()
    assert keys.admit(text).principal.models is None

    services.change_key(
        key=key, name="ci", scopes=["predict"], models=[model.pk], expires_at=None, reason="narrow", by=BY
    )

    principal = keys.admit(text).principal
    assert (principal.models, principal.scopes) == ({model.pk}, {"predict"})
    assert last_record().before["models"] == "all"
    assert last_record().after["models"] == ["fraud"]


@pytest.mark.both
def test_a_key_expires():
    soon = timezone.now() + timedelta(hours=1)
    key, text = a_key(expires_at=soon)
    assert keys.admit(text).principal.expires_at == soon.timestamp()

    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    keys.ring.clear()

    with pytest.raises(NotAuthenticated):
        keys.admit(text)
    assert not ApiKey.objects.get().is_valid


def test_a_model_that_goes_away_never_widens_a_key():
    model = a_model()
    _, text = a_key(models=[model.pk])

    Model.objects.filter(pk=model.pk).delete()

    assert keys.admit(text).principal.models == frozenset()


@pytest.mark.both
def test_last_use_is_written_when_the_ring_is_refreshed(django_assert_num_queries):
    _, text = a_key()
    keys.admit(text)
    assert ApiKey.objects.get().last_used_at is None

    with django_assert_num_queries(3):  # the keys, their Models, one update
        keys.ring.refresh()

    assert timezone.now() - ApiKey.objects.get().last_used_at < timedelta(minutes=1)


def test_another_process_refuses_a_revoked_key_when_its_ring_is_refreshed():
    here, there = KeyRing(keys.KeyTable()), KeyRing(keys.KeyTable())
    key, text = a_key()
    assert here.admit(text) == there.admit(text)

    services.revoke_key(key=key, by=BY)
    there.refresh()

    with pytest.raises(NotAuthenticated):
        there.admit(text)


def test_a_key_for_one_model_cannot_ask_another():
    fraud, other = a_live_model(100, slug="fraud"), a_live_model(100, slug="other")
    _, text = a_key("predict", models=[fraud.pk])
    within = keys.admit(text).principal.models
    table = read_table()

    assert table.find("fraud", within).choose().number == 1
    assert table.find(other.slug).choose().number == 1
    with pytest.raises(UnknownModel, match="no Model named 'other'"):
        table.find("other", within).choose()


def test_the_refresher_survives_an_outage(monkeypatch):
    calls, is_called_again = [], threading.Event()

    def refresh():
        calls.append(1)
        if len(calls) == 1:
            raise DatabaseError("gone")
        is_called_again.set()

    monkeypatch.setattr(keys, "REFRESH_EVERY_S", 0.001)
    monkeypatch.setattr(keys.ring, "refresh", refresh)
    refresher = keys.KeyRefresher()

    assert is_called_again.wait(10)
    refresher.stop()


@cases(
    "wrong, says",
    no_name=({"name": "  "}, "Enter a name"),
    line_break=({"name": "a\nforged line"}, "invisible characters"),
    bidi=({"name": "evil\u202egnp"}, "invisible characters"),
    long_name=({"name": "x" * 101}, "101 characters"),
    no_scope=({"scopes": []}, "at least one scope"),
    unknown_scope=({"scopes": ["root"]}, "no scope 'root'"),
    unknown_model=({"models": [10**9]}, "no Model"),
    past_expiry=({"expires_at": timezone.now() - timedelta(days=1)}, "in the past"),
)
def test_wrong_terms_are_refused(wrong, says):
    terms = {"name": "ci", "scopes": ["predict"], **wrong}

    with pytest.raises(Invalid, match=says):
        services.issue_key(tenant=a_tenant(), **terms, by=BY)
    assert not ApiKey.objects.exists()


def test_only_who_manages_keys_touches_them():
    key, _ = a_key()
    by = an_actor(*(right for right in Right if right != Right.MANAGE_KEYS))
    terms = {"name": "x", "scopes": ["predict"], "models": [], "expires_at": None}

    for attempt in (
        lambda: services.issue_key(tenant=key.tenant, **terms, by=by),
        lambda: services.change_key(key=key, **terms, by=by),
        lambda: services.revoke_key(key=key, by=by),
        lambda: services.create_tenant(slug="x", by=by),
        lambda: services.change_tenant(tenant=key.tenant, title="x", by=by),
    ):
        with pytest.raises(NotAllowed):
            attempt()
    services.revoke_key(key=key, by=an_actor(Right.MANAGE_KEYS))


def test_tenants_are_named_once_and_stay_while_they_have_keys():
    tenant = services.create_tenant(slug="acme", title="Acme", by=BY)
    a_key(tenant=tenant)

    with pytest.raises(NameTaken):
        services.create_tenant(slug="acme", by=BY)
    with pytest.raises(Invalid):
        services.create_tenant(slug="Acme!", by=BY)
    with pytest.raises(ProtectedError):
        tenant.delete()
    services.change_tenant(tenant=tenant, title="Acme Ltd", by=BY)

    assert Tenant.objects.get().title == "Acme Ltd"
    assert (last_record().before["title"], last_record().after["title"]) == ("Acme", "Acme Ltd")


class TestCommands:
    def test_a_key_is_printed_once(self, capsys):
        a_model("fraud")

        call_command("issue_key", "nightly", "--model", "fraud", "--scope", "registry.read", "--days", "7")

        text = capsys.readouterr().out.strip()
        principal = keys.admit(text).principal
        assert (principal.name, principal.tenant) == ("nightly", "default")
        assert principal.scopes == {"registry.read"}
        assert len(principal.models) == 1
        assert 6 < (ApiKey.objects.get().expires_at - timezone.now()).total_seconds() / 86_400 <= 7
        assert last_record().source == "command"

    def test_a_key_is_revoked_by_its_prefix(self, capsys):
        key, text = a_key()

        call_command("revoke_key", key.prefix, "--reason", "leaked")

        assert "has been revoked" in capsys.readouterr().out
        assert last_record().reason == "leaked"
        with pytest.raises(NotAuthenticated):
            keys.admit(text)

    @cases(
        "words, says",
        unknown_model=(["issue_key", "x", "--model", "nobody"], "no Model named nobody"),
        no_days=(["issue_key", "x", "--days", "0"], "1 to 36,500"),
        bad_tenant=(["issue_key", "x", "--tenant", "A B"], "not a valid tenant name"),
        bad_name=(["issue_key", "a\nb"], "invisible characters"),
        unknown_key=(["revoke_key", "nothere1"], "no key with the prefix"),
    )
    def test_a_mistake_is_explained(self, words, says):
        with pytest.raises(CommandError, match=says):
            call_command(*words)
        assert not ApiKey.objects.exists()


def test_a_key_whose_row_makes_no_sense_is_refused_alone():
    ring = KeyRing(keys.KeyTable())
    (odd, odd_text), (_, text) = a_key("predict"), a_key("predict")
    ring.admit(odd_text), ring.admit(text)
    ApiKey.objects.filter(pk=odd.pk).update(scopes=5)

    ring.refresh()

    assert ring.admit(text).stale_s == 0
    assert ApiKey.objects.exclude(pk=odd.pk).get().last_used_at is not None
    with pytest.raises(TypeError):
        ring.admit(odd_text)
