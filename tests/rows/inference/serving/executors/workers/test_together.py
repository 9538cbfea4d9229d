"""Two processes' worth of executors, one worker's consumer, and an engine whose runs the tests can hold."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from django.db import connection

from inference.engine import errors as engine
from inference.engine.combiner import Priority
from inference.engine.fake import NOT_A_NUMBER, POISON, FakeBackend, FakeModel
from inference.engine.loop import complete
from inference.serving import runtime as runtime_module
from inference.serving.executors.workers import broker, lane, pools
from inference.serving.executors.workers.answering import Answering
from inference.serving.executors.workers.consumer import BatchConsumer
from inference.serving.executors.workers.executor import ThroughWorkers
from inference.serving.executors.workers.messages import Ask, read_reply
from inference.serving.executors.workers.packing import pack
from inference.serving.executors.workers.session import Post
from inference.serving.routes import read_table
from inference.serving.runtime import Runtime
from registry.catalogue import artifacts
from registry.catalogue.services import change_serving
from tests.support.batchers import a_request
from tests.support.engines import an_engine, holding, silence
from tests.support.factories import a_model, a_split, a_version, an_actor
from tests.support.processes import wait_until
from tests.support.proofs import record_proof

pytestmark = [pytest.mark.service, pytest.mark.django_db(transaction=True)]
PATIENCE_S = 20
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
    with broker.redis_client(redis_server.url) as client:
        client.flushall()
    runtime = Runtime(FakeBackend({version.artifact.sha256: model}))
    runtime.start()
    monkeypatch.setattr(runtime_module, "_runtime", runtime)
    consumer = BatchConsumer(redis_server.url, pool="infer", threads=8).start()
    yield runtime
    consumer.stop(PATIENCE_S)
    runtime.stop()


@pytest.fixture
def executors(redis_server, monkeypatch):
    """Two processes that ask."""
    monkeypatch.setattr(lane, "_BLOCK_S", 0.1)  # they look more often whether to stop
    posts = [Post(redis_server.url) for _ in range(2)]
    for post in posts:
        wait_until(lambda post=post: post.lane.is_up, within_s=PATIENCE_S, what="the lane is up")
    made = [ThroughWorkers(post) for post in posts]
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


def test_nan_goes_to_the_workers_as_soon_as_the_settings_say_so(worker, executors, version):
    row = {"x": [[float("nan"), 1.0, None, 0.0]]}
    with pytest.raises(engine.WrongDtype, match="allow_non_finite"):
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
        return worker.meters()[version.pk].depth

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

    meters = worker.meters()[version.pk]
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
    with pytest.raises(engine.WrongDimension):
        ask(executors[0], worker, {"x": [[1.0]]})


@pytest.fixture
def client(redis_server):
    with broker.redis_client(redis_server.url) as client:
        yield client


@pytest.fixture
def batch(client, version):
    """A batch for the worker, with five seconds left by Redis's clock."""
    seconds, microseconds = client.time()
    return Ask(
        batch=uuid4(), attempt=1, lane=f"lane:{uuid4().hex}", version_id=version.pk,
        deadline=seconds + microseconds / 1e6 + 5, priority=Priority.LIVE, outputs=None,
        tensors=pack({"x": np.ones((1, 4), np.float32)}), data_key=None,
    )  # fmt: skip


@pytest.fixture
def answering(redis_server, worker):
    return Answering(redis_server.url)


def test_expired_batch_is_not_run(answering, client, batch, model):
    runs = []
    model.on_run = runs.append

    answering.answer(replace(batch, deadline=batch.deadline - 5.001).to_kwargs())

    assert (runs, client.llen(batch.lane), answering.expired) == ([], 0, 1)


def test_deadline_is_redis_time_whatever_the_hosts_clocks_say(answering, client, batch, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 4e9)

    answering.answer(batch.to_kwargs())

    assert client.llen(batch.lane) == 1


def test_batch_whose_tensors_have_gone_is_not_run(answering, client, batch):
    answering.answer(replace(batch, tensors=None, data_key="batch:gone").to_kwargs())

    assert (client.llen(batch.lane), answering.expired) == (0, 1)


def test_reply_goes_by_itself_and_takes_the_tensors_along(answering, client, batch):
    client.set("batch:here", batch.tensors)

    answering.answer(replace(batch, tensors=None, data_key="batch:here").to_kwargs())

    assert read_reply(client.lindex(batch.lane, 0)).error is None
    assert 0 < client.ttl(batch.lane) <= 60
    assert not client.exists("batch:here")


@pytest.mark.parametrize(
    ("odd", "error"),
    [({"version_id": 2**31 - 1}, engine.NotLoaded), ({"tensors": b"RHT1" + b"\xff" * 50}, engine.RunFailed)],
    ids=["unknown version", "hostile tensors"],
)
def test_what_the_worker_cannot_answer_is_an_error_and_not_the_end(answering, client, batch, odd, error):
    answering.answer(replace(batch, **odd).to_kwargs())

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
def test_message_that_is_no_batch_is_dropped(answering, client, batch, odd):
    answering.answer({**batch.to_kwargs(), **odd} if odd else {})

    assert not client.keys("lane:*")


def test_what_workers_report_says_who_can_answer(version):
    workers = an_engine(version, kind="worker", pool="infer")
    target = read_table().find("twice").choose()
    elsewhere = replace(target, pool="gpu")

    assert pools.look().is_warm(target)
    assert pools.look().why_not(target) is None
    assert "No worker of the pool gpu" in pools.look().why_not(elsewhere).reason

    silence(workers)
    assert "No worker of the pool infer" in pools.look().why_not(target).reason
