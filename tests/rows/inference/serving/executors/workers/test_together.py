"""Two processes' worth of executors, one worker's consumer, and an engine whose runs the tests can hold."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
import redis
import uvloop
from celery import Celery
from django.conf import settings
from django.db import connection

from inference.engine import errors as engine
from inference.engine import loop as loop_module
from inference.engine.combiner import Priority
from inference.engine.fake import NOT_A_NUMBER, POISON, FakeBackend, FakeModel
from inference.engine.loop import EngineLoop, complete
from inference.serving import runtime as runtime_module
from inference.serving.executors.workers import broker, lane
from inference.serving.executors.workers.consumer import BatchConsumer, run_one
from inference.serving.executors.workers.executor import WorkersExecutor, read_pools
from inference.serving.executors.workers.messages import RUN_BATCH, BatchRequest, message_bytes, read_reply
from inference.serving.executors.workers.packing import pack
from inference.serving.executors.workers.session import WorkersLink
from inference.serving.routes import read_table
from inference.serving.runtime import Runtime
from inference.tensors import errors
from registry.catalogue import artifacts
from registry.catalogue.services import change_serving
from tests.support.batchers import a_request
from tests.support.engines import an_engine, holding, silence
from tests.support.factories import a_model, a_split, a_version, an_actor
from tests.support.processes import wait_until
from tests.support.proofs import record_proof

pytestmark = [pytest.mark.service, pytest.mark.django_db(transaction=True)]
PATIENCE_S = 20
AT_ONCE = 8
ROW = {"x": [[1.0, 2.0, 3.0, 4.0]]}


@pytest.fixture
def version():
    made = a_version(a_model("twice"), file=artifacts.store([b"twice"]))
    record_proof(made.artifact.sha256)
    a_split(made.model, 100)
    return made


@pytest.fixture
def model():
    return FakeModel()


@pytest.fixture
def worker(redis_server, version, model, monkeypatch):
    """A worker's runtime and its threads for batches, in this process."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    runtime = Runtime(FakeBackend({version.artifact.sha256: model}))
    runtime.start()
    monkeypatch.setattr(runtime_module, "_runtime", runtime)
    consumer = BatchConsumer(redis_server.url, runtime, pool="infer", at_once=AT_ONCE).start()
    yield runtime
    consumer.stop(PATIENCE_S)
    runtime.stop()


@pytest.fixture
def executors(redis_server, monkeypatch):
    """Two processes that ask."""
    monkeypatch.setattr(lane, "_BLOCK_S", 0.1)  # they look more often whether to stop
    posts = [WorkersLink(redis_server.url, EngineLoop.in_thread(uvloop.new_event_loop)) for _ in range(2)]
    for post in posts:
        wait_until(lambda post=post: post.lane.is_up, within_s=PATIENCE_S, what="the lane is up")
    made = [WorkersExecutor(post) for post in posts]
    yield made
    for executor in made:
        executor.close(timeout_s=PATIENCE_S)


def ask(executor, runtime, inputs=ROW, within_s=PATIENCE_S, **more):
    target = runtime.find("twice", None).choose()
    try:
        return complete(executor.infer(target, a_request(inputs, within_s=within_s, **more)))
    finally:
        connection.close()  # most callers are threads of the test's own


def hold_the_first(model):
    """Keep the first run in the session until the second event."""
    held, release = threading.Event(), threading.Event()

    def on_run(rows):
        if not held.is_set():
            held.set()
            assert release.wait(PATIENCE_S)

    model.on_run = on_run
    return held, release


def told_to_merge(executors, version, rows=64):
    """Workers have reported up to how many rows of several requests they run together."""
    an_engine(holding(version, merged_rows=rows), kind="worker", pool="infer")
    for executor in executors:
        executor.look_after()


def test_answer_is_the_one_that_the_engine_gives(worker, executors):
    there = ask(executors[0], worker)
    here = complete(worker.infer(worker.find("twice", None).choose(), a_request(ROW)))

    np.testing.assert_array_equal(there.outputs["y"], here.outputs["y"])
    assert there.outputs["y"].dtype == here.outputs["y"].dtype


def test_large_tensors_are_packed_read_and_run_from_threads_and_answered_alike(
    worker, executors, monkeypatch, version
):
    told_to_merge(executors, version)
    monkeypatch.setattr(loop_module, "_LARGE_BYTES", 0)

    with ThreadPoolExecutor(9) as callers:
        asked = [callers.submit(ask, executors[0], worker, {"x": [[float(at)] * 4]}) for at in range(1, 10)]
        answers = [caller.result(PATIENCE_S).outputs["y"][0, 0] for caller in asked]

    assert answers == [2.0 * at for at in range(1, 10)]


def test_nan_goes_to_the_workers_as_soon_as_the_settings_say_so(worker, executors, version):
    row = {"x": [[float("nan"), 1.0, None, 0.0]]}
    with pytest.raises(errors.WrongDtype, match="allow_non_finite"):
        ask(executors[0], worker, row)

    change_serving(version=version, changes={"allow_non_finite": True}, reason="x", by=an_actor())
    worker.refresh()

    assert ask(executors[0], worker, row).outputs["y"][0, 1] == 2.0


def test_a_worker_believes_who_asks_it_about_nan(worker, executors, version):
    """Its own settings may be a moment older, and then it would refuse what the web process has taken."""
    answer = ask(executors[0], worker, {"x": [[float("nan"), 1.0, 1.0, 0.0]]}, allow_non_finite=True)

    assert answer.outputs["y"][0, 1] == 2.0
    assert answer.non_finite


def test_nothing_shares_a_message_that_no_worker_says_it_may_merge(worker, executors, version):
    target = worker.find("twice", None).choose()
    told_to_merge(executors[:1], version)
    an_engine(holding(version, merged_rows=1), kind="worker", pool="infer")
    executors[1].look_after()

    assert executors[0].merged_rows(target) == 64
    assert executors[1].merged_rows(target) == 1


def test_merging_ends_within_a_look(worker, executors, version):
    target = worker.find("twice", None).choose()
    told_to_merge(executors, version)
    ask(executors[0], worker)
    batcher = executors[0]._batcher(executors[0]._version(target), Priority.LIVE)
    assert batcher._rules.merges

    an_engine(holding(version, merged_rows=1), kind="worker", pool="infer")
    executors[0].look_after()

    assert not batcher._rules.merges


def test_flag_of_numbers_that_are_not_finite_is_kept(worker, executors):
    assert ask(executors[0], worker, {"x": [[NOT_A_NUMBER, 0, 0, 0]]}).non_finite
    assert not ask(executors[0], worker).non_finite


def test_requests_of_several_processes_run_as_one(worker, executors, model, version):
    """While a run is held, what each process may send waits together, and all else goes in few messages."""

    def at_worker():
        return worker.executor.meters()[version.pk].depth

    told_to_merge(executors, version)
    held, release = hold_the_first(model)
    with ThreadPoolExecutor(17) as callers:
        asked = [callers.submit(ask, executors[0], worker)]
        assert held.wait(PATIENCE_S)
        for executor in executors:
            executor._batcher(executor._version(worker.find("twice", None).choose()), Priority.LIVE).resize(2)
        for count, executor in enumerate((executors[0], executors[1], executors[1]), start=1):
            asked.append(callers.submit(ask, executor, worker))
            wait_until(lambda count=count: at_worker() == count, within_s=PATIENCE_S, what="message is there")
        asked += [callers.submit(ask, executors[index % 2], worker) for index in range(13)]
        wait_until(lambda: _waiting(executors) == 13, within_s=PATIENCE_S, what="all have asked")
        release.set()
        answers = [caller.result(PATIENCE_S) for caller in asked]

    meters = worker.executor.meters()[version.pk]
    messages = sum(executor.meters()[version.pk].batches for executor in executors)
    assert len(answers) == 17
    assert meters.rows == 17
    assert messages < 17
    assert meters.batches <= messages - 2  # the three that waited at the worker were one run


def _waiting(executors):
    return sum(meters.depth for executor in executors for meters in executor.meters().values())


def test_bad_request_fails_alone(worker, executors, model):
    held, release = hold_the_first(model)
    with ThreadPoolExecutor(5) as callers:
        first = callers.submit(ask, executors[0], worker)
        assert held.wait(PATIENCE_S)
        bad = callers.submit(ask, executors[0], worker, {"x": [[POISON, 0, 0, 0]]})
        good = [callers.submit(ask, executors[0], worker) for _ in range(3)]
        wait_until(lambda: _waiting(executors) == 4, within_s=PATIENCE_S, what="all have asked")
        release.set()

        assert [caller.result(PATIENCE_S).outputs["y"][0, 0] for caller in (first, *good)] == [2.0] * 4
        with pytest.raises(engine.RunFailed):
            bad.result(PATIENCE_S)


def test_wrong_input_is_refused_before_anything_is_sent(worker, executors):
    with pytest.raises(errors.WrongDimension):
        ask(executors[0], worker, {"x": [[1.0]]})


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def batch(client, version):
    """A batch for the worker, with five seconds left by Redis's clock."""
    seconds, microseconds = client.time()
    return BatchRequest(
        batch=uuid4(), attempt=1, lane=f"lane:{uuid4().hex}", version_id=version.pk,
        deadline=seconds + microseconds / 1e6 + 5, priority=Priority.LIVE, outputs=None,
        tensors=pack({"x": np.ones((1, 4), np.float32)}), data_key=None,
    )  # fmt: skip


@pytest.fixture
def answer(redis_server, worker):
    """Run a batch as the task of a worker that was given the pool's queue as well."""
    return lambda told: worker.loop.wait_for(run_one(redis_server.url, worker, told))


@pytest.fixture
def runs(model):
    """How many rows each run of the engine has had."""
    runs = []
    model.on_run = runs.append
    return runs


def test_expired_batch_is_not_run(answer, client, batch, runs):
    answer(replace(batch, deadline=batch.deadline - 5.001).to_kwargs())

    assert (runs, client.llen(batch.lane)) == ([], 0)


def test_deadline_is_redis_time_whatever_the_hosts_clocks_say(answer, client, batch, runs, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 4e9)

    answer(batch.to_kwargs())

    assert (runs, client.llen(batch.lane)) == ([1], 1)


def test_batch_whose_tensors_have_gone_is_not_run(answer, client, batch, runs):
    answer(replace(batch, tensors=None, data_key="batch:gone").to_kwargs())

    assert (runs, client.llen(batch.lane)) == ([], 0)


def test_reply_goes_by_itself_and_takes_the_tensors_along(answer, client, batch):
    client.set("batch:here", batch.tensors)

    answer(replace(batch, tensors=None, data_key="batch:here").to_kwargs())

    assert read_reply(client.lindex(batch.lane, 0)).error is None
    assert 0 < client.ttl(batch.lane) <= 60
    assert not client.exists("batch:here")


@pytest.mark.parametrize(
    ("odd", "error"),
    [({"version_id": 2**31 - 1}, engine.NotLoaded), ({"tensors": b"RHT1" + b"\xff" * 50}, engine.RunFailed)],
    ids=["unknown version", "hostile tensors"],
)
def test_what_the_worker_cannot_answer_is_an_error_and_not_the_end(answer, client, batch, odd, error):
    answer(replace(batch, **odd).to_kwargs())

    assert isinstance(read_reply(client.lindex(batch.lane, 0)).error, error)


UNREADABLE = {
    "nothing": {},
    "no id": {"batch": "x"},
    "tensors are no base64": {"tensors": "?"},
    "deadline is a text": {"deadline": "soon"},
    "unknown priority": {"priority": 9},
    "version is a list": {"version": [1]},
}


@pytest.mark.parametrize("odd", UNREADABLE.values(), ids=UNREADABLE)
def test_message_that_is_no_batch_is_dropped(answer, client, batch, odd):
    answer({**batch.to_kwargs(), **odd} if odd else {})

    assert not client.keys("lane:*")


def put(client, *messages):
    client.lpush(broker.key("pool.infer"), *messages)


def another(batch):
    return replace(batch, batch=uuid4())


def test_message_of_a_stock_celery_producer_is_run(redis_server, client, batch, worker):
    stock = Celery("another application", broker=redis_server.url, set_as_current=False)
    stock.conf.broker_transport_options = {"global_keyprefix": settings.REDIS_KEY_PREFIX}

    with stock.connection_for_write() as connection:
        stock.send_task(RUN_BATCH, kwargs=batch.to_kwargs(), queue="pool.infer", connection=connection)

    found = client.blpop([batch.lane], timeout=PATIENCE_S)
    np.testing.assert_array_equal(read_reply(found[1]).outputs["y"], np.full((1, 4), 2, np.float32))


NO_MESSAGES = {
    "no JSON": b"\x80\x04?",
    "a list": b"[1, 2]",
    "nothing in it": b"{}",
    "no body": b'{"headers": {"task": "inference.run_batch"}, "properties": {"body_encoding": "base64"}}',
    "body is no base64": b'{"headers": {"task": "x"}, "body": "?", "properties": {"body_encoding": "base64"}}',
    "body is no list": b'{"headers": {"task": "x"}, "body": "MQ==", "properties": {"body_encoding": "base64"}}',
    "body is of another length": b'{"headers": {}, "body": "[1, 2]", "properties": {"body_encoding": ""}}',
    "keyword arguments are a list": b'{"headers": {"task": "inference.run_batch"}, "body": "[[], [], {}]",'
    b' "properties": {"body_encoding": ""}}',
    "another task": b'{"headers": {"task": "x"}, "body": "[[], {}, {}]", "properties": {"body_encoding": ""}}',
}


@pytest.mark.parametrize("odd", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_message_that_cannot_be_read_ends_nothing(client, batch, worker, odd):
    put(client, *[odd] * (AT_ONCE + 1), message_bytes(batch, "infer"))

    assert client.blpop([batch.lane], timeout=PATIENCE_S)


class Consumer:
    """One that a test stops by itself, with a run that the test holds."""

    def __init__(self, url, runtime, model, at_once):
        self.held, self.release = hold_the_first(model)
        self.consumer = BatchConsumer(url, runtime, pool="slow", at_once=at_once).start()


@pytest.fixture
def consuming(redis_server, worker, model):
    made = []

    def start(at_once=AT_ONCE):
        made.append(Consumer(redis_server.url, worker, model, at_once))
        return made[-1]

    yield start
    for one in made:
        one.release.set()
        one.consumer.stop(PATIENCE_S)


def put_and_hold(client, batch, one, count):
    """Send batches of which the first is held, so that none of them ends; return how many are left in the queue."""
    queue = broker.key("pool.slow")
    client.lpush(queue, message_bytes(batch, "slow"))
    assert one.held.wait(PATIENCE_S)
    client.lpush(queue, *(message_bytes(another(batch), "slow") for _ in range(count - 1)))
    return lambda: client.llen(queue)


@pytest.mark.parametrize(
    ("at_once", "left"), [(AT_ONCE, 12), (100, 0)], ids=["as many as it has room for", "control"]
)
def test_messages_are_taken_only_where_there_is_room(consuming, client, batch, at_once, left):
    one = consuming(at_once)
    queue_length = put_and_hold(client, batch, one, 20)

    wait_until(lambda: queue_length() <= left, within_s=PATIENCE_S, what="the consumer is full")
    wait_until(lambda: len(one.consumer._running) == 20 - left, within_s=PATIENCE_S, what="they are taken")
    assert queue_length() == left

    one.release.set()
    wait_until(lambda: client.llen(batch.lane) == 20, within_s=PATIENCE_S, what="all are answered")


def test_stop_finishes_what_was_taken_and_takes_nothing_more(consuming, client, batch):
    one = consuming(at_once=5)
    queue_length = put_and_hold(client, batch, one, 7)
    wait_until(lambda: queue_length() == 2, within_s=PATIENCE_S, what="five are taken")

    stopping = threading.Thread(target=one.consumer.stop, args=(PATIENCE_S,))
    stopping.start()
    assert one.consumer._thread.stopping.wait(PATIENCE_S)
    one.release.set()
    stopping.join(PATIENCE_S)

    assert (client.llen(batch.lane), queue_length()) == (5, 2)


def test_what_workers_report_says_who_can_answer(version):
    workers = an_engine(version, kind="worker", pool="infer")
    target = read_table().find("twice").choose()
    elsewhere = replace(target, pool="gpu")

    assert read_pools().is_warm(target)
    assert read_pools().obstacle(target) is None
    assert "No worker in the pool gpu" in read_pools().obstacle(elsewhere).reason

    silence(workers)
    assert "No worker in the pool infer" in read_pools().obstacle(target).reason
