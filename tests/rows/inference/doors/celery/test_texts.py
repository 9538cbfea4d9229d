"""Texts through Celery: a question that is answered at once, and a job."""

import uuid

import pytest

from inference.doors.celery import submissions
from inference.jobs.models import Job
from inference.serving import runtime
from tests.support.factories import a_key
from tests.support.house import a_runner, ended, results
from tests.support.sending import an_order, raw, signed
from tests.support.text_models import put_names, put_tone

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    put_tone(tmp_path)
    put_names(tmp_path)
    runtime.start()
    yield
    runtime.stop()


def test_a_text_is_answered_with_its_label(ask):
    answer = ask(model="tone", text="good", top_k=1, routing_key="ada")

    assert (answer["ok"], answer["label"], answer["model"]) == (True, "positive", "tone")
    assert len(answer["labels"]) == 1


def test_several_texts_are_answered_in_their_order(ask):
    assert [one["label"] for one in ask(model="tone", texts=["bad", "good"])["answers"]] == [
        "negative",
        "positive",
    ]
    (entities,) = ask(model="names", texts=["ann lee"], offset_unit="byte")["answers"]
    assert [(one["label"], one["start"], one["end"]) for one in entities["entities"]] == [("PER", 0, 7)]


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"model": "tone", "text": 5}, "invalid_text"),
        ({"model": "tone", "text": "good", "offset_unit": "byte"}, "invalid_item"),
        ({"model": "tone", "text": "good", "txet": "bad"}, "unknown_field"),
        ({"text": "good"}, "bad_body"),
        ({"model": "names", "texts": ["ann lee " * 4_000]}, "body_too_large"),
    ],
    ids=["no text", "field of another task", "unknown field", "no model", "a long answer"],
)
def test_what_does_not_fit_is_refused(ask, question, code):
    refused = ask(**question)

    assert (refused["ok"], refused["code"]) == (False, code)


def test_a_job_of_texts(monkeypatch):
    task_id = uuid.uuid4()
    key = a_key("predict")[1]
    order = an_order(
        model="tone",
        rows=[{"comment": "good"}, {"comment": "bad"}],
        contract={"columns": {"text": "comment"}},
    )

    submissions.receive(raw(signed(key, str(task_id), order), str(task_id)))
    with a_runner():
        job = ended(Job.objects.get(pk=task_id))

    assert (job.status, job.failure) == ("done", "")
    assert [row["label"] for row in results(job)] == ["positive", "negative"]
