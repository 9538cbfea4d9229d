"""The facade: publish, swap, on demand, count, stop."""

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.batch_runs import BatchConfig
from inference.engine.combiner import QueueLimits
from inference.engine.engine import Engine, EnginePlan
from inference.engine.errors import EngineStopped, NotLoaded, SlotLost, WarmUpFailed
from inference.engine.fake import HANG, FakeBackend, FakeModel, FakeSession
from inference.engine.pool import LoadOrder
from inference.tensors.errors import WrongDimension, WrongDtype
from tests.support.batchers import a_request
from tests.support.together import in_threads

OPTIONS = SessionOptions()
PATIENCE_S = 20.0


class Factor(FakeSession):
    """Multiplies by the number in the file's name, and forgets everything when closed."""

    def __init__(self, factor):
        super().__init__(FakeModel())
        self.factor = factor

    def run(self, inputs, outputs=None, *, soft_limit_s=None):
        assert not self.is_closed
        return {"y": inputs["x"] * np.float32(self.factor)}


class Backend(FakeBackend):
    def load(self, path, options):
        super().load(path, options)
        return Factor(int(path.name)) if path.name.isdigit() else FakeSession(FakeModel(max_rows=0))


@pytest.fixture
def engine():
    engine = Engine(Backend(), budget_bytes=1 << 40)
    yield engine
    engine.close(timeout_s=PATIENCE_S)


@pytest.fixture
def loaded(engine):
    """An engine whose version `m` multiplies by three."""
    engine.load("m", plan("3"), timeout_s=PATIENCE_S)
    return engine


def plan(name, **batching):
    fact = ProbeFact("sha", "fake-1", "FakeExecutionProvider", OPTIONS.digest)
    return EnginePlan(LoadOrder(Path(name), OPTIONS, fact, max_batch=4), 4, BatchConfig(**batching))


def ask(engine, key="m", value=1.0, plan=None, **more):
    request = a_request({"x": np.full((1, 4), value, np.float32)}, **more)
    return engine.infer_from_thread(key, request, plan=plan).outputs["y"][0, 0]


def test_a_published_version_answers(loaded):
    assert ask(loaded, value=2.0) == 6.0
    assert [held.key for held in loaded.versions()] == ["m"]
    assert loaded.signature("m").inputs[0].name == "x"
    assert loaded.health()["m"].is_ok


def test_inputs_are_checked_before_they_meet_others(loaded):
    with pytest.raises(WrongDimension):
        loaded.infer_from_thread("m", a_request({"x": np.zeros((1, 5), np.float32)}))


def test_a_missing_version_is_loaded_on_demand_or_refused(engine):
    with pytest.raises(NotLoaded):
        ask(engine)

    assert ask(engine, plan=plan("5")) == 5.0
    assert engine.stats()["m"].ended == {"ok": 1}


def test_a_version_that_fails_to_warm_up_leaves_the_old_one_serving(loaded):
    with pytest.raises(WarmUpFailed):
        loaded.load("m", plan("broken"), timeout_s=PATIENCE_S)

    assert ask(loaded) == 3.0


def test_many_swaps_under_load_fail_nothing_and_mix_nothing(engine):
    engine.load("m", plan("1"), timeout_s=PATIENCE_S)
    stop, seen = threading.Event(), set()

    def work(number):
        if number == 0:
            for factor in range(2, 42):
                engine.load("m", plan(str(factor)), timeout_s=PATIENCE_S)
            stop.set()
        while not stop.is_set():
            seen.add(float(ask(engine)))

    assert in_threads(5, work) == []
    assert seen <= set(range(1, 42))
    assert ask(engine) == 41.0
    assert [held.key for held in engine.versions()] == ["m"]


def test_new_serving_settings_need_no_reload_and_lose_no_count(engine):
    first = plan("3")
    engine.load("m", first, timeout_s=PATIENCE_S)
    ask(engine)

    engine.load("m", replace(first, target_p99_s=0.05), timeout_s=PATIENCE_S)
    ask(engine)

    assert len(engine._pool._backend.loads) == 1
    assert engine.stats()["m"].ended == {"ok": 2}
    assert engine.stats()["m"].footprint_bytes == 1 << 20


NAN = float("nan")


def test_nan_is_taken_as_the_newest_settings_say(engine):
    strict = plan("3")
    engine.load("m", strict, timeout_s=PATIENCE_S)
    with pytest.raises(WrongDtype, match="allow_non_finite"):
        ask(engine, value=NAN)

    engine.load("m", replace(strict, allow_non_finite=True), timeout_s=PATIENCE_S)
    assert np.isnan(ask(engine, value=NAN))

    engine.load("m", strict, timeout_s=PATIENCE_S)
    with pytest.raises(WrongDtype):
        ask(engine, value=NAN)
    assert len(engine._pool._backend.loads) == 1


def test_nan_is_taken_by_a_version_that_is_loaded_on_demand(engine):
    strict = plan("3")

    assert np.isnan(ask(engine, value=NAN, plan=replace(strict, allow_non_finite=True)))
    with pytest.raises(WrongDtype):
        ask(engine, value=NAN, plan=strict)


def test_a_caller_with_a_rule_of_its_own_is_not_asked_for_the_settings(loaded):
    assert np.isnan(ask(loaded, value=NAN, allow_non_finite=True))


def test_a_slow_version_gets_a_lease_that_its_own_runs_cannot_lose():
    quick, slow = plan("3").batching_on({1: 0.001}), plan("3").batching_on({1: 0.5, 4: 2.0})

    assert quick == BatchConfig(merges=True)
    assert slow.limits.lease_s == 10.0
    assert slow.hard_limit_s == 30.0


def test_unloading_keeps_the_counts_and_frees_the_session(loaded):
    ask(loaded)

    assert loaded.unload("m", timeout_s=PATIENCE_S) is True
    assert loaded.unload("m", timeout_s=PATIENCE_S) is False

    assert loaded.versions() == ()
    stats = loaded.stats()["m"]
    assert (stats.ended, stats.footprint_bytes) == ({"ok": 1}, 0)


def on_loop(engine, coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, engine.loop.asyncio).result(PATIENCE_S)


def test_tasks_of_the_loop_are_answered_too(loaded):
    async def ask_all():
        x = [{"x": np.full((1, 4), value, np.float32)} for value in (1.0, 2.0)]
        published = [loaded.infer("m", a_request(one)) for one in x]
        on_demand = loaded.infer("other", a_request(x[0]), plan=plan("5"))
        return await asyncio.gather(*published, on_demand)

    assert [answer.outputs["y"][0, 0] for answer in on_loop(loaded, ask_all())] == [3.0, 6.0, 5.0]
    with pytest.raises(NotLoaded):
        on_loop(loaded, loaded.infer("nobody", a_request({"x": [[1.0]]})))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads have no priority of their own here")
def test_long_runs_let_the_loop_and_those_who_answer_go_first(engine, monkeypatch):
    engine.load("m", plan("3"), timeout_s=PATIENCE_S)
    own, seen = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), []
    session = engine._published["m"].batcher.session
    monkeypatch.setattr(
        session.model,
        "on_run",
        lambda rows: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())),
    )
    monkeypatch.setattr(session, "run", lambda *a, **k: FakeSession.run(session, *a, **k))

    ask(engine)

    assert seen == [max(own, 5)]


def test_a_run_that_never_ends_is_reported_by_key(monkeypatch):
    monkeypatch.setattr("inference.engine.watchdog._LOOK_EVERY_S", 0.005)
    told, model, keys = threading.Event(), FakeModel(honours_soft_limit=False), []
    engine = Engine(
        FakeBackend({"slow": model}),
        budget_bytes=1 << 40,
        on_hard_limit=lambda key: (keys.append(key), told.set()),
    )
    hasty = BatchConfig(QueueLimits(lease_s=0.01), hard_limit_s=0.05)
    engine.load("m", replace(plan("slow"), batching=hasty), timeout_s=PATIENCE_S)
    asking = threading.Thread(target=ask_and_lose, args=[engine], daemon=True)
    asking.start()

    assert told.wait(PATIENCE_S)

    assert keys == ["m"]
    model.released.set()
    asking.join(PATIENCE_S)
    engine.close(timeout_s=PATIENCE_S)


def ask_and_lose(engine):
    with pytest.raises(SlotLost):
        ask(engine, value=HANG)


def test_a_drained_engine_refuses_everything(loaded):
    assert loaded.drain(timeout_s=PATIENCE_S) is True

    with pytest.raises(EngineStopped):
        ask(loaded)
    with pytest.raises(EngineStopped):
        ask(loaded, "other", plan=plan("4"))
