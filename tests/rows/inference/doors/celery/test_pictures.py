"""Pictures through Celery: a question that is answered at once, and jobs over a zip and over URLs."""

import uuid
import zipfile

import pytest

from inference.doors.celery import predictions, submissions
from inference.doors.celery.predictions import MAX_BYTES, PREDICT
from inference.jobs.models import Job, StoreKind
from inference.jobs.services.storage import StoreSettings, add_store
from inference.serving import item_urls, runtime
from registry.record.fetcher import Fetcher
from tests.support.factories import a_key, an_actor
from tests.support.house import a_runner, ended, results
from tests.support.internet import Internet
from tests.support.picture_models import a_picture, in_base64, put_colours, put_patches
from tests.support.sending import raw, signed

pytestmark = pytest.mark.django_db(transaction=True)
RED, GREEN = a_picture((255, 0, 0)), a_picture((0, 255, 0), kind="JPEG")
URL = "http://public.example/red.png"


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path, settings):
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    put_colours(tmp_path)
    put_patches(tmp_path)
    runtime.start()
    yield
    runtime.stop()


@pytest.fixture
def internet(settings, monkeypatch):
    """Has one picture, whatever it is asked for."""
    internet = Internet(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(RED), RED))
    fetcher = Fetcher(resolve=internet.resolve, connect=internet.connect)
    monkeypatch.setattr(item_urls, "default_fetcher", lambda: fetcher)
    settings.ITEM_HOSTS = ["public.example"]
    yield internet
    internet.close()


def test_a_picture_is_answered_with_its_label(ask):
    answer = ask(model="colours", image=in_base64(GREEN), top_k=1)

    assert (answer["ok"], answer["label"], answer["model"]) == (True, "green", "colours"), answer
    assert len(answer["labels"]) == 1


def test_a_picture_is_answered_with_its_objects(ask):
    picture = a_picture((0, 0, 0), size=(128, 128), blue=(32, 64, 64, 96))

    (found,) = ask(model="patches", images=[in_base64(picture)], threshold=0.5)["answers"][0]["objects"]

    assert (found["label"], found["box"]) == ("blue", {"x1": 32, "y1": 64, "x2": 64, "y2": 96})


def test_a_picture_by_its_url(ask, internet):
    assert ask(model="colours", image_url=URL)["label"] == "red"
    assert internet.strays == []


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"image": "bm8gcGljdHVyZQ=="}, "unsupported_picture"),
        ({"image_url": "http://other.example/red.png"}, "item_not_fetched"),
        ({"image_url": "http://10.0.0.5/red.png"}, "item_not_fetched"),
        ({"text": "red"}, "invalid_item"),
    ],
    ids=["no picture", "a host that is not allowed", "an inner address", "a text"],
)
def test_what_does_not_fit_is_refused(ask, internet, question, code):
    refused = ask(model="colours", **question)

    assert (refused["ok"], refused["code"]) == (False, code)
    assert internet.requests == []


def test_a_message_is_small(monkeypatch):
    told = []
    monkeypatch.setattr(
        submissions.replies, "reject_unverified", lambda task_id, code, why: told.append((code, why))
    )
    task_id, key = str(uuid.uuid4()), a_key("predict")[1]
    question = {"model": "colours", "image": in_base64(RED + bytes(MAX_BYTES))}

    predictions.receive(raw(signed(key, task_id, question, task=PREDICT), task_id, task=PREDICT))

    assert [code for code, _ in told] == ["bad_message"]


def submitted(secret, **content):
    """The job of a message, when it has ended."""
    task_id = uuid.uuid4()
    submissions.receive(raw(signed(secret, str(task_id), content), str(task_id)))
    with a_runner():
        return ended(Job.objects.get(pk=task_id))


def test_a_job_over_a_zip_in_job_storage(tmp_path, settings):
    folder = tmp_path / "lake"
    folder.mkdir()
    with zipfile.ZipFile(folder / "today.zip", "w") as archive:
        archive.writestr("red.png", RED)
        archive.writestr("more/green.jpg", GREEN)
    settings.JOB_FOLDERS = [folder]
    key, secret = a_key("predict")
    store = StoreSettings(kind=StoreKind.FOLDER, root=str(folder), tenants=[key.tenant])
    add_store(name="lake", settings=store, by=an_actor())

    job = submitted(secret, model="colours", input={"store": "lake", "path": "today.zip"}, format="zip")

    assert (job.status, job.failure) == ("done", "")
    assert [(row["name"], row["label"]) for row in results(job)] == [
        ("red.png", "red"),
        ("more/green.jpg", "green"),
    ]


def test_a_job_over_urls(internet):
    job = submitted(
        a_key("predict")[1], model="colours", rows=[{"image_url": URL}, {"image_url": f"{URL}?second"}]
    )

    assert (job.status, job.failure) == ("done", "")
    assert [row["label"] for row in results(job)] == ["red", "red"]
    assert len(internet.requests) == 2
