import re

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.urls import reverse

from registry.access import keys
from registry.access.limits import NO_LIMITS
from registry.access.models import ApiKey, ObjectScope, Tenant
from registry.errors import NotAuthenticated
from registry.record.models import AuditRecord
from tests.support.factories import PASSWORD, a_key, a_model, a_person, a_tenant
from tests.support.tables import cases

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "a-longer-horse-battery"
PASSWORDS = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
NO_NAME = {"first_name": "", "last_name": "", "email": ""}
KEY = {"name": "ci", "scopes": ["predict"], "all_models": "on", "expires_at_0": "", "expires_at_1": ""}


@pytest.fixture
def admin(client):
    client.force_login(a_person("admin", username="boss"))
    return client


def url(name: str, *args) -> str:
    return reverse(f"admin:{name}", args=args)


def add_person(client, **more):
    form = {"username": "ada", "roles": ["viewer"], **PASSWORDS, **NO_NAME, **more}
    return client.post(url("auth_user_add"), form)


def change_person(client, user, **more):
    form = {"username": user.username, "is_active": "on", "roles": ["viewer"], **NO_NAME, **more}
    return client.post(url("auth_user_change", user.pk), form)


class TestPeople:
    def test_a_person_is_added_through_the_service(self, admin):
        assert add_person(admin, roles=["viewer", "operator"]).status_code == 302

        user = User.objects.get(username="ada")
        assert user.check_password(NEW_PASSWORD)
        assert user.is_staff
        assert set(user.groups.values_list("name", flat=True)) == {"viewer", "operator"}
        assert AuditRecord.objects.get(action="create_person", object_id=str(user.pk)).source == "admin"

    def test_a_person_is_limited_to_models(self, admin):
        model, user = a_model("fraud"), a_person("viewer")

        answer = change_person(admin, user, roles=["operator"], is_limited="on", models=[model.pk])

        assert answer.status_code == 302
        assert list(ObjectScope.objects.get(user=user).models.all()) == [model]
        assert 'value="operator" ' in admin.get(url("auth_user_change", user.pk)).content.decode()
        change_person(admin, user)
        assert not ObjectScope.objects.filter(user=user).exists()

    @cases(
        "form, field",
        unknown_role=({"roles": ["wizard"]}, "roles"),
        limited_admin=({"roles": ["admin"], "is_limited": "on"}, "is_limited"),
        no_name=({"username": ""}, "username"),
    )
    def test_a_mistake_is_shown_at_its_field(self, admin, form, field):
        user = a_person("viewer")

        answer = change_person(admin, user, **form)

        assert answer.status_code == 200
        assert field in answer.context["adminform"].form.errors
        assert list(user.groups.values_list("name", flat=True)) == ["viewer"]

    def test_the_last_admin_is_told_why_they_stay(self, admin):
        boss = User.objects.get(username="boss")

        answer = change_person(admin, boss, roles=[])

        assert answer.status_code == 200
        assert "the last administrator" in answer.content.decode()
        assert boss.groups.filter(name="admin").exists()

    def test_nobody_posts_their_way_to_more_than_roles(self, admin):
        boss = User.objects.get(username="boss")
        groups = [str(Group.objects.first().pk)]
        loot = {"is_superuser": "on", "user_permissions": ["1", "2"], "groups": groups}

        change_person(admin, boss, roles=["admin"], **loot)
        add_person(admin, **loot)

        assert not User.objects.filter(is_superuser=True).exists()
        assert not User.objects.exclude(user_permissions=None).exists()
        assert list(boss.groups.values_list("name", flat=True)) == ["admin"]

    @pytest.mark.parametrize("page", ["auth_user_change", "auth_user_password_change"])
    def test_a_superuser_cannot_be_changed_by_an_admin(self, admin, page):
        root = User.objects.create_superuser("root", password=PASSWORD)

        assert admin.post(url(page, root.pk), {"username": "root", **PASSWORDS}).status_code == 403

        root.refresh_from_db()
        assert root.is_active
        assert root.check_password(PASSWORD)
        assert admin.get(url("auth_user_change", root.pk)).status_code == 200, "it may be seen"

    def test_a_password_is_set_and_recorded(self, admin):
        user = a_person("viewer")
        link = url("auth_user_password_change", user.pk)

        assert f'href="{link}"' in admin.get(url("auth_user_change", user.pk)).content.decode()
        assert admin.post(link, PASSWORDS).status_code == 302

        assert User.objects.get(pk=user.pk).check_password(NEW_PASSWORD)
        record = AuditRecord.objects.get(action="set_password")
        assert (record.actor_name, record.object_label) == ("boss", user.username)
        assert NEW_PASSWORD not in record.after_json

    def test_ones_own_password_is_recorded_too(self, client):
        user = a_person("viewer")
        client.force_login(user)
        form = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}

        assert client.get(url("password_change")).status_code == 200
        assert client.post(url("password_change"), {**form, "old_password": "wrong"}).status_code == 200
        assert client.post(url("password_change"), form).status_code == 302

        assert User.objects.get(pk=user.pk).check_password(NEW_PASSWORD)
        assert AuditRecord.objects.filter(action="set_password", actor_name=user.username).count() == 1
        assert client.get(url("index")).status_code == 200, "this session goes on"

    def test_roles_are_shown_with_their_rights(self, admin):
        group = Group.objects.get(name="approver")

        text = admin.get(url("auth_group_change", group.pk)).content.decode()

        assert "approve change" in text


class TestKeys:
    def add_key(self, client, **more):
        return client.post(url("registry_apikey_add"), {**KEY, "tenant": a_tenant().pk, **more})

    def test_a_new_key_is_shown_once_in_the_answer_itself(self, admin):
        answer = self.add_key(admin)

        assert answer.status_code == 200
        text = re.search(r"rh_[a-z0-9]{8}_[\w-]{43}", answer.content.decode())[0]
        assert keys.admit(text).principal.name == "ci"
        assert "no-store" in answer["Cache-Control"]
        assert "messages" not in answer.cookies
        key = ApiKey.objects.get()
        for page in [url("registry_apikey_changelist"), url("registry_apikey_change", key.pk), url("index")]:
            assert text not in admin.get(page).content.decode()

    @cases("form", no_scope={"scopes": []}, no_models={"all_models": ""}, no_name={"name": ""})
    def test_a_mistake_makes_no_key(self, admin, form):
        assert self.add_key(admin, **form).status_code == 200
        assert not ApiKey.objects.exists()

    def test_what_only_the_service_refuses_is_said_on_the_page(self, admin):
        answer = self.add_key(admin, name="evil\u202egnp")

        assert answer.status_code == 200
        assert "invisible characters" in answer.content.decode()
        assert not ApiKey.objects.exists()

    def test_a_key_is_changed_and_revoked(self, admin, django_capture_on_commit_callbacks):
        model = a_model("fraud")
        key, text = a_key()
        form = {**KEY, "all_models": "", "only_models": [model.pk]}
        revoke = {"action": "revoke", "_selected_action": [key.pk]}

        with django_capture_on_commit_callbacks(execute=True):
            assert admin.post(url("registry_apikey_change", key.pk), form).status_code == 302
        assert keys.admit(text).principal.models == {model.pk}

        with django_capture_on_commit_callbacks(execute=True):
            admin.post(url("registry_apikey_changelist"), revoke)
        with pytest.raises(NotAuthenticated):
            keys.admit(text)
        assert admin.post(url("registry_apikey_change", key.pk), form).status_code == 403
        again = admin.post(url("registry_apikey_changelist"), revoke, follow=True)
        assert "already revoked" in again.content.decode()

    def test_a_tenant_is_made_and_renamed(self, admin):
        assert admin.post(url("registry_tenant_add"), {"slug": "acme", "title": "A"}).status_code == 302
        tenant = Tenant.objects.get(slug="acme")

        assert admin.post(url("registry_tenant_change", tenant.pk), {"title": "B"}).status_code == 302

        tenant.refresh_from_db()
        assert (tenant.slug, tenant.title) == ("acme", "B")

    def test_limits_are_set_shown_and_taken_away(self, admin):
        some = {"rate_per_minute": "600", "concurrency": "8", "exact_rate": "on"}
        self.add_key(admin, **some)
        key = ApiKey.objects.get()
        pages = [("registry_apikey", key, KEY), ("registry_tenant", key.tenant, {"title": "B"})]
        for page, row, form in pages:
            assert admin.post(url(f"{page}_change", row.pk), {**form, **some}).status_code == 302
            assert "600 a minute (strict), 8 at once" in admin.get(url(f"{page}_changelist")).content.decode()
            admin.post(url(f"{page}_change", row.pk), form)
            row.refresh_from_db()
            assert row.limits == NO_LIMITS

    @cases(
        "form, says",
        no_rate=({"rate_per_minute": "0"}, "greater than or equal to 1"),
        too_many=({"concurrency": "10001"}, "less than or equal to 10000"),
        exact_alone=({"exact_rate": "on"}, "A strict limit needs a rate"),
    )
    def test_a_wrong_limit_is_said_on_the_page(self, admin, form, says):
        assert says in self.add_key(admin, **form).content.decode()
        tenant = Tenant.objects.get()

        page = admin.post(url("registry_tenant_change", tenant.pk), {"title": "B", **form})

        assert says in page.content.decode()
        assert not ApiKey.objects.exists()


def test_a_locked_login_is_listed_and_unlocked(admin):
    attempt = AccessAttempt.objects.create(
        username="ada", ip_address="192.0.2.1", failures_since_start=10, get_data="", post_data="", path_info="/",
    )  # fmt: skip
    pages = [url("axes_accessattempt_changelist"), url("axes_accessattempt_change", attempt.pk)]
    assert all("192.0.2.1" in admin.get(page).content.decode() for page in pages)

    admin.post(pages[0], {"action": "unlock", "_selected_action": [attempt.pk]})

    assert not AccessAttempt.objects.exists()


def test_a_permission_smuggled_into_the_database_opens_nothing(client):
    from django.contrib.auth.models import Permission

    user = a_person("viewer")
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label__in=["auth", "registry", "axes"])
    )
    client.force_login(user)

    for page in ["auth_user", "registry_apikey", "registry_tenant"]:
        assert client.get(url(f"{page}_changelist")).status_code == 403
        assert client.get(url(f"{page}_add")).status_code == 403


@pytest.mark.parametrize(
    "page", ["auth_user", "auth_group", "registry_apikey", "registry_tenant", "axes_accessattempt"]
)
def test_lists_need_few_queries(admin, page, django_assert_max_num_queries):
    model = a_model()
    for _ in range(20):
        a_key(models=[model.pk])
        a_person("viewer", "operator")

    with django_assert_max_num_queries(15):
        assert admin.get(url(f"{page}_changelist")).status_code == 200
