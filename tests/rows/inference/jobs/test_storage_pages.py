import pytest
from django.urls import reverse

from inference.jobs.models import Store
from tests.support.factories import a_key, a_person, a_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path, settings):
    settings.JOB_FOLDERS = [tmp_path / "allowed"]
    settings.DATA_DIR = tmp_path / "data"
    (tmp_path / "allowed").mkdir()
    return tmp_path / "allowed"


def the_form(folder, **more):
    return {"name": "lake", "kind": "folder", "root": str(folder), "prefix": "", "may_read": "on", **more}


def test_an_admin_makes_changes_and_removes_a_store(client, folder):
    tenant = a_tenant()
    client.force_login(a_person("admin"))

    client.post(reverse("admin:inference_store_add"), the_form(folder, tenants=[tenant.pk]))
    store = Store.objects.get()
    page = reverse("admin:inference_store_change", args=[store.pk])
    assert client.get(page).status_code == 200
    assert list(store.tenants.all()) == [tenant]
    client.post(page, the_form(folder, may_write="on"))
    store.refresh_from_db()
    assert (store.name, store.may_write, store.tenants.count()) == ("lake", True, 0)
    assert "lake" in client.get(reverse("admin:inference_store_changelist")).content.decode()
    client.post(reverse("admin:inference_store_delete", args=[store.pk]), {"post": "yes"})
    assert not Store.objects.exists()


def test_a_folder_that_is_not_allowed_is_said_on_the_page(client, folder):
    client.force_login(a_person("admin"))

    answer = client.post(reverse("admin:inference_store_add"), the_form("/etc"), follow=True)

    assert not Store.objects.exists()
    assert "ROUNDHOUSE_JOB_FOLDERS" in answer.content.decode()


def test_a_key_sees_its_stores_and_not_where_they_lie(client, folder):
    tenant = a_tenant()
    client.force_login(a_person("admin"))
    client.post(reverse("admin:inference_store_add"), the_form(folder, tenants=[tenant.pk]))
    client.logout()

    mine, other = (
        client.get("/api/v1/job-stores", headers={"Authorization": f"Bearer {text}"}).json()
        for _, text in (a_key("predict", tenant=tenant), a_key("predict"))
    )

    assert mine["results"] == [{"name": "lake", "kind": "folder", "may_read": True, "may_write": False}]
    assert other["results"] == []
