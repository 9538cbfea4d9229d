"""The admin's pages of uploads, without a browser."""

import io

import pytest
from django.urls import reverse

from registry.access.policies import Role
from registry.intake import parts
from registry.intake.models import Upload
from registry.intake.services import NewModel, begin_upload, complete_upload, write_part
from tests.support.factories import a_model, an_actor
from tests.support.model_files import looks_like_a_model

pytestmark = pytest.mark.django_db
ADD = reverse("admin:registry_upload_add")
LIST = reverse("admin:registry_upload_changelist")


CONTENT = looks_like_a_model(b"abc")


def an_upload(person=None, content=CONTENT, **more):
    by = an_actor(user=person)
    upload = begin_upload(size_bytes=len(content), by=by, **more)
    return write_part(upload=upload, offset=0, length=len(content), read=io.BytesIO(content).read, by=by)


def test_an_operator_finds_the_page_from_home_the_models_and_a_model(client, operator):
    model = a_model("fraud")

    for page in (reverse("admin:index"), reverse("admin:registry_model_changelist")):
        assert f'href="{ADD}"' in client.get(page).text
    page = client.get(reverse("admin:registry_model_change", args=[model.pk])).text
    assert f'href="{ADD}?model=fraud"' in page
    assert 'value="fraud"' in client.get(f"{ADD}?model=fraud").text


def test_who_may_not_write_finds_nothing(client, viewer):
    model = a_model()

    for page in ("admin:index", "admin:registry_model_changelist"):
        assert ADD not in client.get(reverse(page)).text
    assert ADD not in client.get(reverse("admin:registry_model_change", args=[model.pk])).text


def test_the_page_takes_no_form(client, operator):
    client.post(ADD, {"file_name": "x", "size_bytes": 1})

    assert not Upload.objects.exists()


def test_who_reaches_some_models_is_offered_no_other_and_no_new_one(client, signed_in):
    mine, _ = a_model("mine"), a_model("hidden-one")
    signed_in(Role.OPERATOR, models=[mine.pk])

    page = client.get(f"{ADD}?model=hidden-one").text

    assert f'data-models="{reverse("model-choices")}"' in page
    assert "hidden-one" not in page
    assert 'value="new"' not in page
    assert "data-may-create" not in page


def test_a_finished_upload_leads_to_its_version(client, operator):
    upload = an_upload(operator)
    made = reverse("admin:registry_upload_made", args=[upload.pk])
    assert client.get(made).status_code == 404

    version = complete_upload(upload=upload, slug="m", new_model=NewModel(), by=an_actor(user=operator))

    assert client.get(made)["Location"] == reverse("admin:registry_version_change", args=[version.pk])
    assert client.get(reverse("admin:registry_upload_made", args=["x"])).status_code == 404


def test_the_list_shows_names_as_text_and_abandons(client, operator):
    upload = an_upload(file_name="<script>alert(1)</script>")

    page = client.get(LIST).text
    client.post(LIST, {"action": "abandon", "_selected_action": [str(upload.pk)]})

    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert Upload.objects.get().status == "abandoned"
    assert list(parts.folder().iterdir()) == []
    assert client.get(reverse("admin:registry_upload_change", args=[upload.pk])).status_code == 200


def test_who_reaches_some_models_sees_their_own_uploads(client, signed_in):
    an_upload(file_name="of-somebody.onnx")
    person = signed_in(Role.OPERATOR, models=[a_model("mine").pk])
    an_upload(person, file_name="my-own.onnx")

    page = client.get(LIST).text

    assert "my-own.onnx" in page
    assert "of-somebody.onnx" not in page
