"""Questions through Celery: answers lie where the sender's own Celery looks for them."""

import json
import time
import uuid

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as NoAnswer
from django.db import OperationalError

from inference.doors.celery import predictions, replies
from inference.doors.celery.models import RefusedOrder
from inference.doors.celery.predictions import PREDICT, receive
from inference.jobs.models import Job
from registry.access import services as access
from registry.access.models import ApiKey
from tests.rows.inference.doors.fake_serving import FakeServing
from tests.support.errors import told_errors
from tests.support.factories import a_key, an_actor
from tests.support.sending import SUBMIT, raw, signed

# Celery itself calls it.
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:Call to deprecated setex")]
QUESTION = {"model": "scores", "instances": [[1.0, 2.0]]}
LARGE = {"model": "scores", "instances": [[1.0, 2.0]] * 8_000}


@pytest.fixture(scope="module")
def redis_url(redis_server):
    return redis_server.url


@pytest.fixture(autouse=True)
def results(settings, redis_url, monkeypatch):
    settings.REDIS_URL = redis_url
    predictions._result_app.cache_clear()
    monkeypatch.setattr(replies, "_budget", replies._RejectionBudget())
    shop = Celery("shop", backend=redis_url, set_as_current=False)
    yield shop
    for app in (shop, predictions._result_app()):
        app.backend.result_consumer.stop()
        app.backend.result_consumer._pubsub = (
            None  # a result that goes later would connect again, to unsubscribe
        )
        app.backend.client.connection_pool.disconnect()
    predictions._result_app.cache_clear()


@pytest.fixture
def serving(monkeypatch):
    serving = FakeServing()
    serving.install(monkeypatch)
    return serving


@pytest.fixture
def key():
    return a_key("predict")[1]


@pytest.fixture
def ask(results, serving):
    def ask(key_text, question=QUESTION, task_id=None, **more):
        task_id = str(task_id or uuid.uuid4())
        receive(raw(signed(key_text, task_id, question, task=PREDICT, **more), task_id, task=PREDICT))
        return results.AsyncResult(task_id)

    return ask


def refusal(result):
    answer = result.get(timeout=1)
    assert answer["ok"] is False and answer["failure"]
    return answer["code"]


def test_an_answer(ask, key, serving, redis_url):
    answer = ask(key).get(timeout=1)

    assert answer == {"ok": True, "predictions": [[1.0, 2.0, 3.0]], "model": "scores", "version": 1, "arm": "A",
                      "split": 7, "request_id": "rid-1", "preprocessing": answer["preprocessing"]}  # fmt: skip
    assert not RefusedOrder.objects.exists() and not Job.objects.exists()


def test_it_goes_by_itself(ask, key, results):
    result = ask(key)
    client = results.backend.client
    assert 0 < client.ttl(f"celery-task-meta-{result.id}") <= predictions.RESULT_KEPT_S


def test_what_is_asked_for_reaches_serving(ask, key, serving):
    ask(key, {**QUESTION, "version": 1, "routing_key": "ada", "within_s": 30}, sent_at=time.time() - 10).get(
        timeout=1
    )

    (call,) = serving.calls
    assert (call.request.version, call.request.alias, call.routing_key) == (1, None, "ada")
    assert 15 < call.within_s <= 20


REFUSED = [
    ({"model": "nobody"}, "unknown_model"),
    ({"model": 1}, "bad_body"),
    ({"model": None}, "bad_body"),
    ({"version": "1"}, "bad_body"),
    ({"version": True}, "bad_body"),
    ({"within_s": 61}, "bad_deadline"),
    ({"within_s": 0}, "bad_deadline"),
    ({"within_s": "1"}, "bad_deadline"),
    ({"routing_key": ""}, "bad_routing_key"),
    ({"routing_key": ["a"]}, "bad_routing_key"),
    ({"verison": 1}, "unknown_field"),
    ({"outputs": ["y"]}, "unknown_field"),
]


@pytest.mark.parametrize(("change", "code"), REFUSED, ids=str)
def test_what_cannot_be_answered(ask, key, serving, change, code):
    assert refusal(ask(key, {**QUESTION, **change})) == code
    assert not serving.calls


def test_each_request_is_counted_once(ask, key, serving):
    ask(key).get(timeout=1)
    for change in ({"version": "1"}, {"within_s": 61}, {"verison": 1}, {"instances": [[1]]}):
        refusal(ask(key, {**QUESTION, **change}))
    expired = refusal(ask(key, {**QUESTION, "within_s": 1}, sent_at=time.time() - 10))
    for question in ({**QUESTION, "model": "nobody"}, {**QUESTION, "model": 1}):
        refusal(ask(key, question))
    refusal(ask(a_key("registry.read")[1]))

    codes = {("", "bad_body"): 1, ("", "bad_deadline"): 1, ("", "unknown_field"): 1, ("", expired): 1}
    assert serving.counted() == (1, {**codes, ("A", "wrong_dimension"): 1})


def test_a_message_that_will_be_read_again_is_not_counted(ask, key, serving):
    serving.error = OperationalError("gone")
    with pytest.raises(OperationalError):
        ask(key)
    assert serving.counted() == (0, {})

    serving.error = None
    ask(key).get(timeout=1)
    assert serving.counted() == (1, {})


@pytest.mark.parametrize(
    "body", [{}, {"instances": [[1]]}, {"instances": "x"}, {"instances": [[1, 2]], "inputs": {}}]
)
def test_bodies_that_do_not_fit(ask, key, body):
    assert refusal(ask(key, {"model": "scores", **body}))


def test_every_error_is_told_by_its_code(ask, key, serving):
    for kind in told_errors():
        serving.error = kind()
        assert refusal(ask(key)) == kind.code


class TestWhoMay:
    def test_a_key_without_the_right(self, ask, serving):
        assert refusal(ask(a_key("registry.read")[1])) == "not_allowed"
        assert not serving.calls

    def test_a_key_that_was_revoked(self, ask, key, serving):
        access.revoke_key(key=ApiKey.objects.get(), by=an_actor())
        assert refusal(ask(key)) == "key_ended"
        assert not serving.calls

    def test_the_keys_limits_count(self, ask, serving):
        from registry.access.limits import CallerLimits

        text = a_key("predict", limits=CallerLimits(rate_per_minute=1))[1]
        answers = [ask(text).get(timeout=1) for _ in range(3)]
        assert [answer.get("code") for answer in answers[1:]] == ["too_many_requests"] * 2

    @pytest.mark.parametrize("sent_at", [-6, 400])
    def test_what_nobody_waits_for_is_not_run(self, ask, key, serving, sent_at):
        assert refusal(ask(key, sent_at=time.time() + sent_at)) == "stale_message"
        assert not serving.calls


STRANGERS = {
    "changed question": ({}, {"model": "echo"}),
    "order": ({"task": SUBMIT}, {}),
    "large question": ({"question": LARGE}, {}),
}


@pytest.mark.parametrize(("sent", "change"), STRANGERS.values(), ids=STRANGERS)
def test_strangers_get_no_answer(results, serving, key, sent, change):
    """Who may choose the id would choose whose answer it overwrites."""
    task_id, how = uuid.uuid4(), {"question": QUESTION, "task": PREDICT, **sent}
    envelope = signed(key, task_id, how["question"], task=how["task"]) | change

    receive(raw(envelope, task_id, task=PREDICT))

    with pytest.raises(NoAnswer):
        results.AsyncResult(str(task_id)).get(timeout=0.2)
    assert RefusedOrder.objects.get().code
    assert not Job.objects.exists()


def test_the_large_question_is_too_large():
    assert len(json.dumps(LARGE)) > predictions.MAX_BYTES


def test_an_answer_that_is_there_stays(ask, key, serving, results):
    first = ask(key)
    kept = first.get(timeout=1)
    again = ask(key, {"model": "scores", "instances": [[5.0, 5.0]]}, task_id=first.id)
    assert again.get(timeout=1) == kept


def test_a_large_answer(ask, key):
    # Three numbers for each two, and none of them short.
    question = {"model": "scores", "instances": [[0.12345678, 0.2]] * 3_000}
    assert len(json.dumps(question)) < predictions.MAX_BYTES
    assert refusal(ask(key, question)) == "body_too_large"
