"""Items of all kinds through workers: the web process encodes them, a worker holds the model, messages carry rows."""

import pytest
import redis
import uvloop
from django.test import Client

from inference.engine.loop import EngineLoop
from inference.serving import runtime as runtime_module
from inference.serving.executors.workers.consumer import BatchConsumer
from inference.serving.executors.workers.executor import WorkersExecutor
from inference.serving.executors.workers.session import WorkersLink
from inference.serving.models import HeldVersion
from inference.serving.runtime import Runtime
from inference.serving.stewards.process import ProcessRole
from tests.support.factories import a_key
from tests.support.live_models import put_example
from tests.support.picture_models import a_picture, in_base64, put_patches
from tests.support.processes import wait_until
from tests.support.user_models import MISSING, put_foods, put_offers, put_people

pytestmark = [pytest.mark.service, pytest.mark.django_db(transaction=True)]
PATIENCE_S = 60


@pytest.fixture
def ask(redis_server, monkeypatch, tmp_path):
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    put_example("names")
    put_patches(tmp_path)
    put_foods(tmp_path)
    put_offers(tmp_path)
    put_people(tmp_path, **MISSING)
    worker = Runtime(role=ProcessRole("worker", "serves", "infer", 8))
    worker.start()
    wait_until(
        lambda: HeldVersion.objects.filter(state="warm").count() == 5,
        within_s=PATIENCE_S,
        what="all are warm",
    )
    consumer = BatchConsumer(redis_server.url, worker, pool="infer", at_once=8).start()
    link = WorkersLink(redis_server.url, EngineLoop.in_thread(uvloop.new_event_loop))
    wait_until(lambda: link.lane.is_up, within_s=PATIENCE_S, what="the lane is up")
    front = Runtime(executor=lambda **_: WorkersExecutor(link))
    front.executor.look_after()
    front.start()
    monkeypatch.setattr(runtime_module, "_runtime", front)
    _, key = a_key("predict")

    def ask(body, model="names"):
        headers = {"Authorization": f"Bearer {key}"}
        address = f"/api/v1/models/{model}/predict"
        return Client().post(address, body, content_type="application/json", headers=headers).json()

    yield ask
    front.stop()
    consumer.stop(PATIENCE_S)
    worker.stop()


def test_texts_of_all_lengths_are_answered_in_their_order(ask):
    texts = ["Ada Lovelace lives in London.", "No name at all here.", "Mr Smith went to Paris. " * 80]

    answers = ask({"texts": texts})["answers"]

    found = [[(one["label"], one["text"]) for one in answer["entities"]] for answer in answers]
    assert found[0] == [("PER", "Ada Lovelace"), ("LOC", "London")]
    assert found[1] == []
    assert len(found[2]) == 160
    for text, answer in zip(texts, answers, strict=True):
        assert all(text[one["start"] : one["end"]] == one["text"] for one in answer["entities"])


def test_pictures_get_their_boxes(ask):
    pictures = [a_picture((0, 0, 0), size=(64, 64), blue=(16, 32, 32, 48)), a_picture((0, 0, 0))]

    answers = ask({"images": [in_base64(picture) for picture in pictures]}, model="patches")["answers"]

    assert [[(one["label"], one["box"]) for one in answer["objects"]] for answer in answers] == [
        [("blue", {"x1": 16.0, "y1": 32.0, "x2": 32.0, "y2": 48.0})],
        [],
    ]


def test_users_get_items(ask):
    answers = ask({"users": ["ann", 5], "exclude": [["jam"], []], "top_k": 2}, model="foods")["answers"]

    assert [answer["items"] for answer in answers] == [["egg", "ham"], ["tea", "jam"]]
    assert ask({"user": "zoe"}, model="foods")["code"] == "unknown_user"


def test_a_thousand_candidates_are_one_run_of_a_worker(ask):
    prices = [at * 7 % 1_021 / 1_000 for at in range(1_000)]

    answer = ask(
        {"user": {"likes": ""}, "candidates": [{"topic": "art", "price": price} for price in prices]},
        model="offers",
    )

    assert answer["indices"] == sorted(range(1_000), key=prices.__getitem__)


def test_missing_values_reach_the_model(ask):
    assert ask({"row": {"age": None, "city": "Lugano"}}, model="people")["confidence"] == 0.875
