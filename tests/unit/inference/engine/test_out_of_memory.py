"""A device that is full: smaller batches, then a fresh session, then a fresh process."""

import threading
from pathlib import Path

import numpy as np
import pytest

from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.batch_runs import BatchConfig
from inference.engine.combiner import QueueLimits
from inference.engine.engine import Engine, EnginePlan
from inference.engine.errors import LoadFailed, NotLoaded, OutOfMemory
from inference.engine.fake import MEMORY_HOG, FakeBackend, FakeModel, FakeSession
from inference.engine.latency import FixedPace
from inference.engine.pool import LoadOrder
from tests.support.batchers import a_batcher, a_request
from tests.support.processes import wait_until
from tests.support.together import in_threads

PATIENCE_S = 20.0
OPTIONS = SessionOptions()


def row(value=1.0):
    return {"x": np.full((1, 4), value, np.float32)}


def a_plan(name="model"):
    fact = ProbeFact("sha", "fake-1", "FakeExecutionProvider", OPTIONS.digest)
    return EnginePlan(
        LoadOrder(Path(name), OPTIONS, fact, max_batch=8), 8, BatchConfig(QueueLimits(max_waiting_rows=4096))
    )


def answered_together(batcher, session, values):
    """Ask for all values at once: one run is held until the others wait behind it."""
    held, go_on = threading.Event(), threading.Event()

    def hold(rows):
        held.set()
        assert go_on.wait(PATIENCE_S)

    session.model.on_run = hold
    answers = {}

    def ask(number):
        if number == 0:
            batcher.infer_from_thread(row(), a_request(row()))
        elif number == 1:
            assert held.wait(PATIENCE_S)
            wait_until(lambda: batcher.stats().depth == len(values), within_s=PATIENCE_S, what="all waiting")
            session.model.on_run = lambda rows: None
            go_on.set()
        else:
            assert held.wait(PATIENCE_S)
            value = values[number - 2]
            try:
                answers[number] = batcher.infer_from_thread(row(value), a_request(row(value))).outputs["y"][
                    0, 0
                ]
            except OutOfMemory as error:
                answers[number] = type(error)

    assert in_threads(len(values) + 2, ask) == []
    return [answers[number] for number in sorted(answers)]


def test_a_batch_that_finds_no_memory_is_halved_and_so_are_those_after_it():
    session = FakeSession(FakeModel(memory_rows=4))
    batcher = a_batcher(session, BatchConfig(merges=True), pace=FixedPace(8))

    assert answered_together(batcher, session, [float(n) for n in range(8)]) == [2.0 * n for n in range(8)]
    assert session.runs == [1, 8, 4, 4]

    session.runs.clear()
    answered_together(batcher, session, [1.0] * 8)
    assert session.runs == [1, 4, 4]


def test_after_a_while_larger_batches_are_tried_again():
    session = FakeSession(FakeModel(memory_rows=4))
    batcher = a_batcher(session, BatchConfig(merges=True), pace=FixedPace(8))
    answered_together(batcher, session, [1.0] * 8)

    session.model.memory_rows = None
    for _ in range(400):
        batcher.infer_from_thread(row(), a_request(row()))
    session.runs.clear()
    answered_together(batcher, session, [1.0] * 8)

    assert session.runs == [1, 8]


def test_a_request_that_is_too_large_by_itself_fails_alone():
    session = FakeSession(FakeModel())
    batcher = a_batcher(session, BatchConfig(merges=True), pace=FixedPace(8))

    answers = answered_together(batcher, session, [1.0, 2.0, MEMORY_HOG, 4.0])

    assert answers == [2.0, 4.0, OutOfMemory, 8.0]
    assert session.runs.count(4) == 1


@pytest.fixture
def replaced():
    """The versions for whose sake the process is to be replaced."""
    return []


@pytest.fixture
def breaking(replaced):
    """An engine with a session that is out of memory for good once a single row was."""
    backend = FakeBackend({"model": FakeModel(breaks_when_out_of_memory=True)})
    engine = Engine(backend, budget_bytes=1 << 40, on_hard_limit=replaced.append)
    engine.backend = backend
    engine.load("m", a_plan(), timeout_s=PATIENCE_S)
    yield engine
    engine.close(timeout_s=PATIENCE_S)


def ask(engine, value=1.0):
    """As an executor asks: a version that is not there at the moment is waited for."""
    request = a_request(row(value))
    try:
        return engine.infer_from_thread("m", request).outputs["y"][0, 0]
    except NotLoaded:
        return engine.infer_from_thread("m", request, plan=a_plan()).outputs["y"][0, 0]


def test_a_broken_session_is_loaded_again_and_no_other_request_is_lost(breaking, replaced):
    hungry, errors = 100, []

    def work(number):
        for turn in range(1000):
            if turn % 100 == 10 * number:
                with pytest.raises(OutOfMemory):
                    ask(breaking, MEMORY_HOG)
                errors.append(number)
            else:
                value = float(number * 1000 + turn)
                value += value in (555.0, 666.0, 777.0, 888.0, 999.0)
                assert ask(breaking, value) == 2 * value

    assert in_threads(10, work) == []
    assert len(errors) == hungry
    assert len(breaking.backend.loads) > 1
    assert ask(breaking) == 2.0
    assert [held.key for held in breaking.versions()] == ["m"]
    assert replaced == []


def test_without_that_a_broken_session_answers_no_one(breaking, monkeypatch):
    monkeypatch.setattr(Engine, "_reload", lambda *_: None)

    for value in (MEMORY_HOG, 1.0, 2.0):
        with pytest.raises(OutOfMemory):
            ask(breaking, value)


def test_if_it_cannot_be_loaded_again_the_process_is_replaced(breaking, replaced):
    breaking.backend.models["model"].fails_to_load = True

    with pytest.raises(OutOfMemory):
        ask(breaking, MEMORY_HOG)

    with pytest.raises(LoadFailed):  # waits for the attempt that is under way, or makes one
        ask(breaking)
    wait_until(lambda: replaced == ["m"], within_s=PATIENCE_S, what="the process given up")
