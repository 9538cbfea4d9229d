"""The preview of a job's rows, as the form asks for it."""

import io
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils.html import strip_tags

from inference.jobs.forms import PREVIEW_BYTES
from inference.jobs.models import Job
from registry.access.policies import Role
from registry.catalogue.models import Model
from registry.traffic.services import stop_model
from tests.support.factories import (
    a_live_model,
    a_model,
    a_person,
    a_split,
    a_version,
    an_actor,
    an_uploaded_version,
)
from tests.support.text_models import TONE

pytestmark = pytest.mark.django_db
PREVIEW = reverse("admin:inference_job_preview")
ROWS = b"fruit,a,b,c,d\nkiwi,1,2,3,4\n<b>,1,soft,3,4\n"
NO_FILES = {"words.txt": "0" * 64}
MAPPED = {"columns": '{"x": ["a", "b", "c", "d"]}'}


@pytest.fixture
def model():
    return a_live_model(100, slug="demand")


@pytest.fixture
def ask(client, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    client.force_login(a_person(Role.OPERATOR))

    def send(data=ROWS, name="rows.csv", **more):
        form = {"model": "demand", "on_row_error": "fail", "file_name": name, "is_whole": "yes", **more}
        if data is not None:
            form["file"] = SimpleUploadedFile("head", data)
        answer = client.post(PREVIEW, form)
        assert answer.status_code == 200
        assert not Job.objects.exists()
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        return answer.text

    return send


def test_rows_and_their_mapping(model, ask):
    page = ask(**MAPPED, id_column="fruit")

    text = words(page)
    assert "1 of the first 2 rows cannot be used. The columns fit demand 1." in text
    assert "x FP32, any × 4 a, b, c, d 1, 2, 3, 4" in text
    assert "Column b is &#x27;soft&#x27;; it must be a number." in page
    assert "&lt;b&gt;" in page
    assert "<b>,1" not in page


def test_a_column_of_texts(ask):
    """No file beside the model is read for this: there is none."""
    a_model("tone", task="text-classification")
    a_split(a_version(Model.objects.get(slug="tone"), task_config=TONE, task_files=NO_FILES).model, 100)

    page = ask(b"comment,text\n1,good\n2,bad\n", model="tone")
    mapped = ask(b"comment\ngood\n", model="tone", columns='{"text": "comment"}')
    raw = ask(b"x\n1\n", model="tone", columns='{"x": ["x"]}')

    assert "text BYTES, any text good" in words(page)
    assert "first 2 rows fit tone 1." in words(page)
    assert "text BYTES, any comment good" in words(mapped)
    assert "x FP32" in words(raw)


def test_the_end_of_a_zip_shows_the_names_of_its_pictures(ask):
    task_config = {"labels": ["red", "green"]}
    a_model("colours", task="image-classification")
    a_split(a_version(Model.objects.get(slug="colours"), task_config=task_config).model, 100)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("sea/<b>.png", bytes(PREVIEW_BYTES))
        archive.writestr("hill.jpg", b"")

    page = ask(file.getvalue()[-PREVIEW_BYTES:], name="Holiday.ZIP", model="colours", is_whole="")

    text = words(page)
    assert "image BYTES, any image 196,608 bytes" in text
    assert "sea/&lt;b&gt;.png" in page and "hill.jpg" in page
    assert "The columns fit colours 1. Of this zip only the names were read." in text


def words(page):
    return " ".join(strip_tags(page.replace("<", " <")).split())


def test_pasted_rows(model, ask):
    page = ask(None, pasted='{"x": [1, 2, 3, 4]}\n{"x": [1, 2, 3, 4]}')

    assert "first 2 rows fit" in " ".join(strip_tags(page).split())


def test_the_versions_own_inputs(model, ask):
    a_second_arm = a_live_model(50, 50, slug="two-arms")

    assert "the split chooses" in ask(**MAPPED, model=a_second_arm.slug).lower()
    assert "the split chooses" not in ask(**MAPPED, model=a_second_arm.slug, version="2").lower()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "The file does not fit demand 1."),
        ({"columns": '{"x": ["a", "b", "c", "e"]}'}, "Column mapping: the file has no column"),
        ({"id_column": "id", **MAPPED}, "ID column: the file has no column"),
        ({"columns": "{"}, "valid JSON"),
        ({"model": "nobody"}, "nobody"),
        ({"version": "9"}, "version 9"),
        ({"name": "rows.parquet"}, "Parquet"),
        ({"name": "rows"}, "choose it here"),
        ({"data": b"x" * (PREVIEW_BYTES + 1)}, "at most"),
        ({"data": None}, "Choose a file"),
    ],
    ids=[
        "no column",
        "no such column",
        "no id",
        "no JSON",
        "no Model",
        "no version",
        "Parquet",
        "no ending",
        "too long",
        "nothing",
    ],
)
def test_what_is_wrong_is_said(model, ask, given, said):
    data = given.get("data", ROWS)

    assert said in ask(data, **{name: value for name, value in given.items() if name != "data"})


def test_a_stopped_model_says_so_before_the_job_starts(model, ask):
    stop_model(model=model, text="wrong labels", by=an_actor())

    assert "wrong labels" in ask(**MAPPED)


def test_a_version_that_was_never_checked_has_no_inputs(model, ask):
    an_uploaded_version(model)

    assert "version 2" in ask(**MAPPED, version="2")


def test_only_for_models_that_the_person_may_see(client, model):
    other = a_live_model(100, slug="other")
    client.force_login(a_person(Role.OPERATOR, models=[other.pk]))

    page = client.post(PREVIEW, {"model": "demand", "on_row_error": "fail", "pasted": "x\n1\n"}).text

    assert "There is no Model named" in page


def test_the_form_names_the_addresses_of_its_scripts(client, model):
    client.force_login(a_person(Role.OPERATOR))

    page = client.get(reverse("admin:inference_job_add")).text

    assert f'data-preview="{PREVIEW}"' in page
    assert f'data-models="{reverse("model-choices")}"' in page


def test_a_script_is_told_where_the_job_is(client, model, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    client.force_login(a_person(Role.OPERATOR))
    form = {"model": "demand", "on_row_error": "fail", "pasted": '{"x": [1, 2, 3, 4]}\n'}

    answer = client.post(reverse("admin:inference_job_add"), form, headers={"X-Keep-Files": "yes"})

    assert answer.json() == {"location": reverse("admin:inference_job_change", args=[Job.objects.get().pk])}
