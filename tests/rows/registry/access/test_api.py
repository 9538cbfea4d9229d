import pytest
from django.db import OperationalError

from registry.access import keys
from registry.access.models import ApiKey, Tenant
from registry.errors import NotAuthenticated
from registry.record.models import AuditRecord
from tests.support.clients import by_key, client_for
from tests.support.factories import PASSWORD, a_key, a_model, a_person, a_tenant
from tests.support.tables import cases

pytestmark = pytest.mark.django_db
KEYS, TENANTS, ME = "/api/v1/keys", "/api/v1/tenants", "/api/v1/me"
NO_LIMITS = {"rate_per_minute": None, "concurrency": None, "exact": False}


@pytest.fixture
def admin(db):
    return client_for("admin", username="boss")


class TestKeys:
    def test_a_key_is_issued_listed_changed_and_revoked(self, admin, django_capture_on_commit_callbacks):
        a_tenant("acme"), a_model("fraud")
        terms = {"name": "ci", "tenant": "acme", "scopes": ["predict"], "models": ["fraud"]}

        made = admin.post(KEYS, terms)
        assert made.status_code == 201
        text, number = made.json()["key"], made.json()["id"]
        assert made["Location"] == f"{KEYS}/{number}"
        assert made["Cache-Control"] == "no-store"
        assert keys.admit(text).principal.tenant == "acme"

        listed = admin.get(KEYS).json()
        assert listed["results"][0]["models"] == ["fraud"]
        assert text not in str(listed)
        assert "digest" not in str(listed)

        with django_capture_on_commit_callbacks(execute=True):
            changed = admin.patch(f"{KEYS}/{number}", {"scopes": ["registry.read"]})
        assert changed.status_code == 200
        assert (changed.json()["name"], changed.json()["models"]) == ("ci", ["fraud"])
        assert keys.admit(text).principal.scopes == {"registry.read"}

        with django_capture_on_commit_callbacks(execute=True):
            assert admin.post(f"{KEYS}/{number}/revoke", {"reason": "leaked"}).status_code == 200
        with pytest.raises(NotAuthenticated):
            keys.admit(text)
        assert admin.post(f"{KEYS}/{number}/revoke").status_code == 409
        assert list(AuditRecord.objects.filter(object_kind="apikey").order_by("seq").values_list("action", flat=True)) == [
            "issue_key", "change_key", "revoke_key",
        ]  # fmt: skip

    def test_all_models_can_be_given_back(self, admin):
        key, _ = a_key(models=[a_model().pk])

        assert admin.patch(f"{KEYS}/{key.pk}", {"models": None}).json()["models"] is None

    @cases(
        "wrong, pointer",
        unknown_tenant=({"tenant": "nobody"}, "#/tenant"),
        unknown_model=({"models": ["nobody"]}, "#/models"),
        empty_models=({"models": []}, "#/models"),
        unknown_scope=({"scopes": ["root"]}, "#/scopes"),
        nul=({"name": "a\0b"}, "#/name"),
        bad_time=({"expires_at": "tomorrow"}, "#/expires_at"),
    )
    def test_a_mistake_is_named(self, admin, wrong, pointer):
        a_tenant("acme")

        answer = admin.post(KEYS, {"name": "ci", "tenant": "acme", "scopes": ["predict"], **wrong})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith(pointer)
        assert not ApiKey.objects.exists()

    def test_limits_are_given_changed_and_taken_away(self, admin):
        a_tenant("acme")
        terms = {"name": "ci", "tenant": "acme", "scopes": ["predict"]}
        some = {"rate_per_minute": 600, "concurrency": 8, "exact": True}

        made = admin.post(KEYS, {**terms, "limits": some})
        path = made["Location"]
        renamed = admin.patch(path, {"name": "other"})
        changed = admin.patch(path, {"limits": {"concurrency": 2}})
        freed = admin.patch(path, {"limits": None})

        assert made.json()["limits"] == renamed.json()["limits"] == some
        assert changed.json()["limits"] == {"rate_per_minute": None, "concurrency": 2, "exact": False}
        assert freed.json()["limits"] == NO_LIMITS == admin.post(KEYS, terms).json()["limits"]

    @cases(
        "limits, pointer",
        no_rate=({"rate_per_minute": 0}, "#/limits/rate_per_minute"),
        large_rate=({"rate_per_minute": 10_000_001}, "#/limits/rate_per_minute"),
        too_many=({"concurrency": 10_001}, "#/limits/concurrency"),
        misspelt=({"rate": 5}, "#/limits/rate"),
        no_object=([5], "#/limits"),
    )
    def test_a_wrong_limit_is_named(self, admin, limits, pointer):
        key, _ = a_key()

        answer = admin.patch(f"{KEYS}/{key.pk}", {"limits": limits})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith(pointer)
        assert "needs a rate" in admin.patch(f"{KEYS}/{key.pk}", {"limits": {"exact": True}}).json()["detail"]

    def test_filters(self, admin):
        key, _ = a_key(tenant=a_tenant("acme"))
        a_key(tenant=a_tenant("other"))
        admin.post(f"{KEYS}/{key.pk}/revoke")

        assert [row["id"] for row in admin.get(f"{KEYS}?tenant=acme").json()["results"]] == [key.pk]
        assert [row["id"] for row in admin.get(f"{KEYS}?revoked=true").json()["results"]] == [key.pk]
        assert len(admin.get(f"{KEYS}?revoked=false").json()["results"]) == 1


def test_tenants(admin):
    made = admin.post(TENANTS, {"slug": "acme", "title": "Acme"})
    assert (made.status_code, made["Location"]) == (201, f"{TENANTS}/acme")
    assert admin.post(TENANTS, {"slug": "acme"}).status_code == 409
    assert admin.post(TENANTS, {"slug": "A!"}).status_code == 422

    assert admin.patch(f"{TENANTS}/acme", {"title": "Acme Ltd"}).json()["title"] == "Acme Ltd"

    assert Tenant.objects.get().title == "Acme Ltd"
    assert made.json()["limits"] == NO_LIMITS
    limited = admin.patch(f"{TENANTS}/acme", {"limits": {"rate_per_minute": 60}}).json()
    assert (limited["title"], limited["limits"]) == ("Acme Ltd", {**NO_LIMITS, "rate_per_minute": 60})
    assert admin.patch(f"{TENANTS}/acme", {}).status_code == 422
    assert [row["slug"] for row in admin.get(TENANTS).json()["results"]] == ["acme"]


class TestMe:
    def test_a_key_learns_its_tenant_rights_and_reach(self):
        _, text = a_key("predict", tenant=a_tenant("acme"), models=[a_model("fraud").pk])

        me = by_key(text).get(ME).json()

        told = {"kind": "key", "tenant": "acme", "rights": ["predict"], "models": ["fraud"]}
        assert me.items() >= told.items()

    def test_a_person_learns_their_rights(self):
        me = client_for("viewer", username="ada").get(ME).json()

        who = {"name": "ada", "kind": "person", "tenant": None}
        assert me == {**who, "rights": ["read_policies", "read_registry"], "models": None}

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer nonsense", "Bearer rh_aaaaaaaa_" + "b" * 43, "Basic YTpi"]
    )
    def test_a_stranger_learns_nothing(self, client, header):
        answer = client.get(ME, headers={"Authorization": header} if header else {})

        assert answer.status_code == 401
        assert answer["WWW-Authenticate"] == "Bearer"

    def test_how_old_the_knowledge_is_travels_in_a_header(self, monkeypatch):
        _, text = a_key()
        assert "X-Roundhouse-Stale" not in by_key(text).get(ME)
        principal = keys.admit(text).principal

        monkeypatch.setattr("registry.access.authentication.admit", lambda _text: (principal, 120))

        assert by_key(text).get(ME)["X-Roundhouse-Stale"] == "120"

    def test_without_the_database_a_known_key_is_admitted_and_an_unknown_one_is_not_judged(self, monkeypatch):
        _, known = a_key()
        _, unknown = a_key()
        keys.admit(known)

        def cut_off(*_):
            raise OperationalError("no route to host")

        monkeypatch.setattr(keys.KeyTable, "find", cut_off)

        assert keys.admit(known).principal.name
        answer = by_key(unknown).get(ME)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")

    def test_a_bad_key_is_not_rescued_by_a_session(self, client):
        client.force_login(a_person("admin"))

        assert client.get(ME).status_code == 200
        assert client.get(ME, headers={"Authorization": "Bearer nonsense"}).status_code == 401

    def test_a_key_acts_as_itself_beside_a_session(self, client):
        client.force_login(a_person("admin"))
        _, text = a_key("predict")

        assert client.get(ME, headers={"Authorization": f"Bearer {text}"}).json()["rights"] == ["predict"]


class TestCsrf:
    @pytest.fixture
    def browser(self):
        from rest_framework.test import APIClient

        client = APIClient(enforce_csrf_checks=True)
        assert client.login(username=a_person("admin").username, password=PASSWORD, request=_a_request())
        return client

    def test_with_a_token_it_does(self, browser):
        browser.get("/admin/login/")
        browser.get("/admin/password_change/")
        token = browser.cookies["csrftoken"].value

        assert browser.post(TENANTS, {"slug": "acme"}, HTTP_X_CSRFTOKEN=token).status_code == 201

    def test_a_key_needs_none(self, browser):
        _, text = a_key()

        answer = browser.post(TENANTS, {"slug": "acme"}, HTTP_AUTHORIZATION=f"Bearer {text}")

        assert answer.json()["code"] == "not_allowed"
        assert "CSRF" not in answer.json()["detail"]


def _a_request():
    from django.test import RequestFactory

    return RequestFactory().post("/admin/login/")
