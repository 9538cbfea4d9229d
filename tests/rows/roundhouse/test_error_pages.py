"""What people and programs see when something is not there, or not theirs to do."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from registry.access.policies import Role
from tests.support.factories import a_model

pytestmark = pytest.mark.django_db


def a_person(name, *roles):
    user = User.objects.create_user(name, password="secret", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def logged_in(user):
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


class TestForbiddenPage:
    def test_it_names_who_holds_the_right_and_who_can_give_it(self):
        model = a_model("demand")
        a_person("olga", Role.OPERATOR)
        a_person("ada", Role.ADMIN)
        a_person("gone", Role.OPERATOR)
        User.objects.filter(username="gone").update(is_active=False)

        page = logged_in(a_person("vera", Role.VIEWER)).get(f"/admin/registry/model/{model.pk}/stop/")

        assert page.status_code == 403
        text = page.content.decode()
        assert "You lack the right to stop model." in text
        assert "olga can do it." in text
        assert "ada can change your roles." in text
        assert "gone" not in text

    def test_superusers_can_help_with_everything(self):
        model = a_model("demand")
        User.objects.create_superuser("root", password="secret")

        page = logged_in(a_person("vera", Role.VIEWER)).get(f"/admin/registry/model/{model.pk}/stop/")

        assert "root can do it." in page.text
        assert "root can change your roles." in page.text

    def test_a_stranger_learns_no_names(self):
        a_person("ada", Role.ADMIN)

        page = Client().get("/nothing/here")

        assert page.status_code == 404
        assert "Nothing exists at this address." in page.content.decode()
        assert "ada" not in page.content.decode()


def test_a_missing_page_of_the_admin_keeps_the_sidebar():
    page = logged_in(a_person("vera", Role.VIEWER)).get("/admin/registry/model/99999/stop/")

    assert page.status_code == 404
    assert "Models" in page.content.decode()


def test_the_index_lists_what_can_be_read():
    index = Client().get("/api/v1").json()

    lists = {address.rpartition("/")[2] for address in index["lists"].values()}
    assert {"models", "jobs", "keys", "audit"} <= lists
    assert index["predict"].endswith("/api/v1/models/{model}/predict")
    assert Client().get(index["python_client"]).status_code == 200
    for address in index["lists"].values():
        assert Client().get(address).status_code == 401  # there, and not open


def test_a_wrong_method_is_told_the_right_ones():
    assert Client().delete("/api/v1").status_code == 405
