"""Users, candidates and rows of columns through Celery: questions that are answered at once, and jobs."""

import uuid

import pytest

from inference.doors.celery import submissions
from inference.jobs.models import Job
from inference.serving import runtime
from tests.support.factories import a_key
from tests.support.house import a_runner, ended, results
from tests.support.sending import an_order, raw, signed
from tests.support.user_models import MISSING, put_foods, put_offers, put_people

pytestmark = pytest.mark.django_db(transaction=True)
OFFERS = [{"topic": "art", "price": 3}, {"topic": "art", "price": 1}]


@pytest.fixture(autouse=True)
def served(transactional_db, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    put_foods(tmp_path)
    put_offers(tmp_path)
    put_people(tmp_path, **MISSING)
    runtime.start()
    yield
    runtime.stop()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ({"model": "foods", "user": "ann", "exclude": ["jam"], "top_k": 1}, {"items": ["egg"], "scores": [3.0]}),
        ({"model": "foods", "users": [5], "top_k": 1}, {"answers": [{"items": ["tea"], "scores": [5.0], "fallback": False}]}),
        ({"model": "offers", "user": {"likes": "art"}, "candidates": OFFERS}, {"indices": [1, 0]}),
        ({"model": "people", "row": {"age": None}}, {"label": "yes", "confidence": 0.75}),
        ({"model": "people", "inputs": {"age": [None], "city": ["Lugano"]}}, {"ok": True}),
    ],
    ids=["a user", "several users", "candidates", "a row", "tensors"],
)  # fmt: skip
def test_a_question_is_answered(ask, question, answer):
    got = ask(**question)

    assert got["ok"], got
    assert {name: got[name] for name in answer} == answer


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"model": "foods", "user": "zoe"}, "unknown_user"),
        ({"model": "foods", "user": "ann", "candidates": []}, "invalid_item"),
        ({"model": "offers", "user": {"likes": "art"}}, "invalid_item"),
        ({"model": "people", "row": {"town": ""}}, "invalid_item"),
    ],
    ids=["unknown user", "field of another task", "no candidates", "unknown column"],
)
def test_what_does_not_fit_is_refused(ask, question, code):
    refused = ask(**question)

    assert (refused["ok"], refused["code"]) == (False, code)


@pytest.mark.parametrize(
    ("order", "answers"),
    [
        ({"model": "foods", "rows": [{"user": "ben"}, {"user": 5, "exclude": ["tea"]}]}, [["items", "fig"], ["items", "jam"]]),
        ({"model": "offers", "rows": [{"user": {"likes": "art"}, "candidates": OFFERS}]}, [["indices", 1]]),
    ],
    ids=["users", "candidates"],
)  # fmt: skip
def test_a_job_of_rows(order, answers):
    task_id = uuid.uuid4()
    key = a_key("predict")[1]

    submissions.receive(raw(signed(key, str(task_id), an_order(**order)), str(task_id)))
    with a_runner():
        job = ended(Job.objects.get(pk=task_id))

    assert (job.status, job.failure) == ("done", "")
    assert [row[name][0] for row, (name, _) in zip(results(job), answers, strict=True)] == [
        best for _, best in answers
    ]
