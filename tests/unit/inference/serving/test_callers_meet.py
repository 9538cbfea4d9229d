"""Whoever else is asking: each request gets the answer that the bare runtime gives to it alone.

The corpus is `batch_models`. With the proof off (every free first axis taken for rows), the same test finds wrong answers.
"""

import hashlib
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.batch_proof import prove_batches
from inference.engine.batch_runs import BatchConfig
from inference.engine.combiner import QueueLimits
from inference.engine.engine import Engine, EnginePlan
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.onnx_file import operators
from inference.engine.pool import LoadOrder
from tests.support.batch_models import MIXING, SEPARATE, BatchModel, Graph, as_file
from tests.support.batchers import a_request
from tests.support.processes import wait_until
from tests.support.wrong_answers import CALLERS, requests, wrong_answers

REQUESTS = 200
PATIENCE_S = 60
MOST_ROWS = 64
OPTIONS = SessionOptions()
PATIENT = BatchConfig(QueueLimits(lease_s=PATIENCE_S))  # a busy machine must lose nobody's batch
MISSED = {"new_items"}  # the proof does not see that these mix, so the audit must


def _queries_and_documents():
    graph = Graph()
    takes = {"query": (np.float32, ("queries", 4)), "document": (np.float32, ("documents", 4))}
    score = graph("MatMul", "query", graph("Transpose", "document", perm=[1, 0]))
    return as_file(graph.finish(takes, {"score": (np.float32, ("queries", "documents"))}, [score]))


def _some_of_each(rng, rows):
    query, document = rng.random((rows, 4), np.float32), rng.random((int(rng.integers(1, 6)), 4), np.float32)
    return {"query": query, "document": document}


QUERIES_AND_DOCUMENTS = BatchModel("queries_and_documents", _queries_and_documents, _some_of_each)


@dataclass
class Meeting:
    """One model in an engine, and what its callers get."""

    path: object
    model: object
    proof_is_on: bool = True
    wrong: int = 0
    rows: int = 0
    sampled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self):
        data = self.model.build()
        self.path.write_bytes(data)
        self.backend = OnnxBackend()
        self.bare = self.backend.load(self.path, OPTIONS)
        merged = MOST_ROWS
        if self.proof_is_on:
            proof = prove_batches(self.bare, operators(data), max_rows=MOST_ROWS, time_limit_s=PATIENCE_S)
            merged = proof.rows
        runtime, sha256 = self.backend.runtime_version(), hashlib.sha256(data).hexdigest()
        order = LoadOrder(self.path, OPTIONS, ProbeFact(sha256, runtime, self.bare.provider, OPTIONS.digest))
        self.merged_rows = merged
        self.engine = Engine(self.backend, budget_bytes=8 << 30, on_sample=self.sampled.set)
        self.engine.load("m", EnginePlan(order, merged, batching=PATIENT), timeout_s=PATIENCE_S)

    def requests(self, count, seed=0):
        return list(requests(self.model, self.bare, count, seed))

    def ask(self, asked):
        self.wrong += wrong_answers(
            asked,
            lambda inputs: self.engine.infer_from_thread("m", a_request(inputs, within_s=PATIENCE_S)).outputs,
        )
        self.rows += sum(len(next(iter(inputs.values()))) for inputs, _ in asked)

    def hold_next_run(self, *, until_known):
        """Let the next run begin only when so many requests are in it or wait behind it."""
        batcher = self.engine._published["m"].batcher
        batcher._may_use_loop = False  # which has to take in those who wait
        session = batcher.session
        run = session.run

        def held(*arguments, **options):
            session.run = run
            wait_until(
                lambda: len(batcher._combiner.running[0].tickets) + batcher._combiner.waiting >= until_known,
                within_s=PATIENCE_S,
                what="all have asked",
            )
            return run(*arguments, **options)

        session.run = held


@pytest.fixture
def meet(tmp_path):
    made = []

    def meeting(model, **more):
        made.append(Meeting(tmp_path / f"{len(made)}.onnx", model, **more))
        return made[-1]

    yield meeting
    for one in made:
        one.engine.close(timeout_s=PATIENCE_S)


@pytest.mark.parametrize("model", [m for m in MIXING if m.name not in MISSED], ids=lambda model: model.name)
def test_models_whose_rows_mix_answer_everybody_rightly(meet, model):
    meeting = meet(model)

    meeting.ask(meeting.requests(REQUESTS))

    assert meeting.wrong == 0


@pytest.mark.parametrize("model", [m for m in MIXING if m.name in MISSED], ids=lambda model: model.name)
def test_what_the_proof_misses_the_audit_ends(meet, model):
    meeting = meet(model)
    over = threading.Event()

    def audit():
        while not over.is_set():
            if meeting.sampled.wait(0.1):
                meeting.sampled.clear()
            for _ in meeting.engine.audit_merging(timeout_s=PATIENCE_S):
                return

    auditor = threading.Thread(target=audit)
    auditor.start()
    try:
        seed = 0
        while auditor.is_alive() and meeting.rows < 50_000:
            seed += 1
            meeting.ask(meeting.requests(REQUESTS, seed))
        assert meeting.rows < 50_000
    finally:
        over.set()
        auditor.join(PATIENCE_S)
    wrong = meeting.wrong
    meeting.ask(meeting.requests(REQUESTS, seed + 1))
    assert meeting.wrong == wrong


def test_with_the_proof_off_callers_get_wrong_answers(meet):
    """The negative control: most of the models answer somebody wrongly."""
    meetings = []
    for model in MIXING:
        try:
            meetings.append(meet(model, proof_is_on=False))
        except Exception:  # noqa: BLE001  some do not even warm up with several rows
            continue
        meetings[-1].ask(meetings[-1].requests(100))

    assert sum(meeting.wrong > 0 for meeting in meetings) > len(MIXING) / 2


@pytest.mark.parametrize("model", SEPARATE, ids=lambda model: model.name)
def test_models_whose_rows_do_not_mix_share_runs(meet, model):
    """All callers ask while the first run is held, so that they meet however fast the model is."""
    meeting = meet(model)
    meeting.hold_next_run(until_known=CALLERS)

    meeting.ask(meeting.requests(CALLERS))

    meters = meeting.engine.stats()["m"]
    assert meeting.merged_rows == MOST_ROWS
    assert meters.rows / meters.batches >= 4
    meeting.ask(meeting.requests(REQUESTS))
    assert meeting.wrong == 0


def test_inputs_whose_first_axes_count_different_things_run_as_sent(meet):
    """Two queries beside five documents; others ask with other numbers meanwhile."""
    meeting = meet(QUERIES_AND_DOCUMENTS)
    asked = meeting.requests(REQUESTS)
    shapes = {(len(inputs["query"]), len(inputs["document"])) for inputs, _ in asked}

    meeting.ask(asked)

    assert meeting.wrong == 0 and len(shapes) > 4
    assert meeting.merged_rows == 1
