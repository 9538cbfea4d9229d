"""The way to the workers and back, with real messages and replies, and a worker that does what the test says."""

import asyncio
import base64
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import redis
import uvloop
from django.conf import settings

from inference.engine import errors as engine
from inference.engine.combiner import Priority
from inference.engine.loop import EngineLoop
from inference.errors import Loading, WorkersUnreachable
from inference.serving.executors.workers import broker, lane
from inference.serving.executors.workers.messages import (
    MAX_INLINE_BYTES,
    RUN_BATCH,
    BatchRequest,
    refusal_bytes,
    reply_bytes,
)
from inference.serving.executors.workers.packing import unpack
from inference.serving.executors.workers.session import ResendBudget, WorkersLink, WorkersSession
from inference.tensors import errors
from inference.tensors.signature import Signature, TensorSpec
from tests.support.batchers import shared_loop
from tests.support.processes import ROOT, clean_environment, wait_until

pytestmark = pytest.mark.service
PATIENCE_S = 10
STOCK_APP = "tests.unit.inference.serving.executors.workers.stock_celery"
SIGNATURE = Signature((TensorSpec("x", "FP32", (None, 2)),), (TensorSpec("y", "FP32", (None, 2)),))
ROWS = {"x": np.array([[1, 2], [3, 4]], np.float32)}


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url, socket_timeout=60) as client:
        client.flushall()
        yield client


@pytest.fixture
def open_post(redis_server, client, monkeypatch):
    monkeypatch.setattr(lane, "_BLOCK_S", 0.1)  # it looks more often whether to stop
    posts = []

    def build(budget=None):
        posts.append(WorkersLink(redis_server.url, shared_loop(), budget=budget))
        wait_until(lambda: posts[-1].lane.is_up, within_s=PATIENCE_S, what="the lane is up")
        return posts[-1]

    yield build
    for post in posts:
        post.close()


def session_on(post, pool="infer"):
    return WorkersSession(post, SIGNATURE, version_id=7, pool=pool, priority=Priority.LIVE)


class Asking:
    """One batch that a session asks for, on the loop."""

    def __init__(self, session, inputs=ROWS, *, within_s=PATIENCE_S, outputs=None):
        self.outputs = self.error = None
        asked = session.ask(inputs, outputs, ends_at=time.monotonic() + within_s)
        self._asked = asyncio.run_coroutine_threadsafe(asked, shared_loop().asyncio)

    def end(self):
        try:
            self.outputs = self._asked.result(PATIENCE_S)
        except errors.InferenceError as error:
            self.error = error
        return self


class Worker:
    """Takes messages as they lie in Redis, and answers when it is told to."""

    def __init__(self, client, pool="infer"):
        self.client, self.queue = client, broker.key(f"pool.{pool}")
        self.raw = b""

    def take(self) -> BatchRequest:
        found = self.client.brpop([self.queue], timeout=PATIENCE_S)
        assert found is not None, "no message"
        self.raw = found[1]
        message = json.loads(self.raw)
        assert message["headers"]["task"] == RUN_BATCH
        args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        assert args == []
        return BatchRequest.from_kwargs(kwargs)

    def reply(self, ask, outputs=None):
        outputs = {"y": unpack(ask.tensors).tensors["x"] * 2} if outputs is None else outputs
        self.client.rpush(ask.lane, reply_bytes(ask, "worker-1", outputs, 0.001))

    def refuse(self, ask, error):
        self.client.rpush(ask.lane, refusal_bytes(ask, "worker-1", error))


@pytest.fixture
def worker(client):
    return Worker(client)


def test_batch_goes_to_the_pool_and_its_answer_comes_back(open_post, worker):
    asking = Asking(session_on(open_post()), outputs=["y"])

    ask = worker.take()
    worker.reply(ask)

    np.testing.assert_array_equal(asking.end().outputs["y"], ROWS["x"] * 2)
    assert len(worker.raw) < 2048  # small tensors travel in a small message
    assert (ask.attempt, ask.version_id, ask.outputs, ask.data_key) == (1, 7, ("y",), None)


@pytest.fixture
def stock_worker(redis_server, client):
    """Celery's own worker with Celery's own consumer, and a task that hands on what it is called with."""
    environ = clean_environment()
    environ.update(STOCK_BROKER=redis_server.url, STOCK_PREFIX=settings.REDIS_KEY_PREFIX)
    command = [sys.executable, "-m", "celery", "-A", STOCK_APP, "worker"]
    process = subprocess.Popen(
        [*command, "--pool=solo", "--queues=pool.infer", "--without-gossip", "--without-mingle"],
        env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()


def test_stock_celery_worker_runs_the_message(open_post, worker, client, stock_worker):
    asking = Asking(session_on(open_post()), outputs=["y"], within_s=90)

    found = client.blpop(["heard"], timeout=40)
    args, kwargs = json.loads(found[1])
    worker.reply(BatchRequest.from_kwargs(kwargs))

    np.testing.assert_array_equal(asking.end().outputs["y"], ROWS["x"] * 2)
    assert args == []


def test_large_tensors_travel_beside_the_message_and_go_by_themselves(open_post, worker, client):
    image = {"x": np.ones((1, MAX_INLINE_BYTES), np.float32)}
    asking = Asking(session_on(open_post()), image, within_s=5)

    ask = worker.take()
    left_ms = client.pttl(ask.data_key)
    kept = unpack(client.get(ask.data_key)).tensors["x"]
    worker.reply(ask, {"y": kept})
    asking.end()

    assert len(worker.raw) < 2048
    assert 0 < left_ms <= 5000
    np.testing.assert_array_equal(kept, image["x"])


def test_message_stays_small_whatever_is_asked(open_post, worker):
    """Base64 in base64: 1.8 times what is not kept aside, and the names."""
    most = {"x": np.ones((1, (MAX_INLINE_BYTES - 200) // 4), np.float32)}
    asking = Asking(session_on(open_post()), most)

    ask = worker.take()
    worker.reply(ask, {"y": ROWS["x"]})
    asking.end()

    assert ask.data_key is None
    assert len(worker.raw) < 2 * MAX_INLINE_BYTES


def test_lost_batch_is_sent_once_more_and_answered(open_post, worker):
    post = open_post()
    asking = Asking(session_on(post), within_s=6)

    lost, again = worker.take(), worker.take()
    worker.reply(again)

    assert asking.end().outputs is not None
    assert (lost.batch, lost.attempt, again.attempt, post.resent) == (again.batch, 1, 2, 1)


def test_without_a_second_try_the_lost_batch_is_an_error(open_post, worker, client):
    asking = Asking(session_on(open_post(ResendBudget(share=0, each_s=0, most=0))), within_s=3)

    worker.take()

    assert isinstance(asking.end().error, engine.SlotLost)
    assert client.llen(worker.queue) == 0


def test_first_answer_wins_and_the_late_one_is_dropped(open_post, worker):
    post = open_post()
    asking = Asking(session_on(post), within_s=6)
    slow, again = worker.take(), worker.take()

    worker.reply(slow, {"y": ROWS["x"] * 10})
    outputs = asking.end().outputs
    worker.reply(again, {"y": ROWS["x"] * 20})
    wait_until(lambda: post.lane.dropped == 1, within_s=PATIENCE_S, what="the second answer is dropped")

    np.testing.assert_array_equal(outputs["y"], ROWS["x"] * 10)


def test_answer_to_another_batch_and_noise_are_dropped(open_post, worker, client):
    post = open_post()
    asking = Asking(session_on(post))
    ask = worker.take()

    worker.reply(replace(ask, batch=type(ask.batch)(int=1)), {"y": ROWS["x"] * 9})
    client.rpush(ask.lane, b"", b"x", b"?" * 40)
    wait_until(lambda: post.lane.dropped == 4, within_s=PATIENCE_S, what="all four are dropped")
    worker.reply(ask)

    np.testing.assert_array_equal(asking.end().outputs["y"], ROWS["x"] * 2)


def test_answer_that_cannot_be_read_is_an_error(open_post, worker, client):
    asking = Asking(session_on(open_post()))

    ask = worker.take()
    client.rpush(ask.lane, ask.batch.bytes + b"no tensors")

    assert isinstance(asking.end().error, engine.RunFailed)


RAISED = {
    "run failed": (engine.RunFailed("Node Add failed."), engine.RunFailed),
    "timed out": (engine.RunTimedOut(), engine.RunTimedOut),
    "overloaded": (engine.Overloaded(), engine.Overloaded),
    "loading": (Loading("Version 2 is being loaded."), engine.StillLoading),
    "not probed": (engine.NotProbed("refused"), engine.NotProbed),
    "unforeseen": (ZeroDivisionError("/etc/secret"), engine.RunFailed),
}


@pytest.mark.parametrize(("error", "kind"), RAISED.values(), ids=RAISED)
def test_errors_come_back_as_what_they_were(open_post, worker, error, kind):
    asking = Asking(session_on(open_post()))

    worker.refuse(worker.take(), error)

    assert type(asking.end().error) is kind
    assert "/etc" not in str(asking.error)


def test_invalid_input_keeps_its_fields(open_post, worker):
    asking = Asking(session_on(open_post()))

    worker.refuse(worker.take(), errors.WrongRank("no", field="x", expected="2", got="3"))

    error = asking.end().error
    assert (type(error), error.field, error.expected, error.got) == (errors.WrongRank, "x", "2", "3")


def test_worker_that_is_leaving_hands_the_batch_to_another(open_post, worker):
    asking = Asking(session_on(open_post()), within_s=60)

    worker.refuse(worker.take(), engine.EngineStopped())
    worker.reply(worker.take())

    assert asking.end().outputs is not None


def test_large_tensors_that_a_leaving_worker_removed_are_there_for_the_next(open_post, worker, client):
    asking = Asking(session_on(open_post()), {"x": np.ones((1, MAX_INLINE_BYTES), np.float32)}, within_s=60)

    ask = worker.take()
    client.unlink(ask.data_key)
    worker.refuse(ask, engine.EngineStopped())
    again = worker.take()
    kept = client.get(again.data_key)
    worker.reply(again, {"y": ROWS["x"]})

    assert asking.end().outputs is not None
    assert kept is not None


def test_process_that_has_just_begun_waits_for_its_first_connection(redis_server, client, worker):
    """Its callers come as soon as its loop runs; the lane is connecting then."""
    loop = EngineLoop(uvloop.new_event_loop())
    post = WorkersLink(redis_server.url, loop)
    asked = asyncio.run_coroutine_threadsafe(
        session_on(post).ask(ROWS, None, ends_at=time.monotonic() + PATIENCE_S), loop.asyncio
    )
    running = threading.Thread(target=loop.asyncio.run_forever)

    running.start()
    worker.reply(worker.take())

    np.testing.assert_array_equal(asked.result(PATIENCE_S)["y"], ROWS["x"] * 2)
    post.close()
    loop.asyncio.call_soon_threadsafe(loop.asyncio.stop)
    running.join()
    loop.asyncio.close()


def test_batches_of_one_turn_leave_together(open_post, worker, client):
    """And each reply finds its own."""
    session = session_on(open_post())
    inputs = [{"x": np.full((1, 2), number, np.float32)} for number in range(30)]

    askings = [Asking(session, each) for each in inputs]
    asks = [worker.take() for _ in askings]
    client.rpush(
        asks[0].lane,
        *(reply_bytes(ask, "w", {"y": unpack(ask.tensors).tensors["x"]}, 0.0) for ask in asks[::-1]),
    )

    for asking, each in zip(askings, inputs, strict=True):
        np.testing.assert_array_equal(asking.end().outputs["y"], each["x"])


def test_redis_that_takes_no_message_refuses_the_batch(open_post, worker, client):
    post = open_post()
    client.set(worker.queue, "no list")

    assert isinstance(Asking(session_on(post)).end().error, WorkersUnreachable)


def test_workers_of_another_pool_never_get_it(open_post, client):
    asking = Asking(session_on(open_post(), pool="gpu"))

    assert client.llen(broker.key("pool.infer")) == 0
    worker = Worker(client, "gpu")
    worker.reply(worker.take())
    asking.end()
    assert client.llen(broker.key("pool.infer")) == 0


def test_without_redis_it_is_refused_at_once_and_goes_on_when_redis_is_back(open_post, redis_server, client):
    post = open_post()
    redis_server.kill()
    wait_until(lambda: not post.lane.is_up, within_s=PATIENCE_S, what="the lane is down")

    began = time.monotonic()
    refused = Asking(session_on(post), within_s=20).end().error
    took_s = time.monotonic() - began

    redis_server.start()
    wait_until(lambda: post.lane.is_up, within_s=PATIENCE_S, what="the lane is up again")
    asking = Asking(session_on(post))
    worker = Worker(client)
    worker.reply(worker.take())
    assert asking.end().outputs is not None
    assert isinstance(refused, WorkersUnreachable)
    assert took_s < 10  # of the twenty that it might have waited


def test_redis_that_lost_everything_in_between_costs_one_more_try(open_post, redis_server, client):
    post = open_post()
    asking = Asking(session_on(post), within_s=9)
    wait_until(
        lambda: client.llen(broker.key("pool.infer")), within_s=PATIENCE_S, what="the message is there"
    )

    redis_server.kill()
    redis_server.start()
    worker = Worker(client)
    worker.reply(worker.take())

    assert asking.end().outputs is not None
    assert post.resent == 1


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_budget_allows_a_tenth_and_a_few_besides():
    budget = ResendBudget(share=0.1, each_s=1, most=5, clock=(clock := Clock()))

    assert [budget.spend() for _ in range(7)] == [True] * 5 + [False] * 2
    for _ in range(30):
        budget.earn()
    assert [budget.spend() for _ in range(5)] == [True] * 3 + [False] * 2
    clock.now = 2.0
    assert [budget.spend() for _ in range(4)] == [True] * 2 + [False] * 2


def test_when_every_batch_seems_lost_few_are_sent_twice(open_post, client):
    post = open_post(ResendBudget(share=0.1, each_s=0, most=2))
    askings = [Asking(session_on(post), within_s=3) for _ in range(20)]

    errors = [type(asking.end().error) for asking in askings]

    assert post.resent == 2
    assert client.llen(broker.key("pool.infer")) == 22
    assert errors.count(engine.SlotLost) == 18
