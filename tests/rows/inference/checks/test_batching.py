"""What a version's check finds out about merging, and how serving uses it."""

import threading

import numpy as np
import pytest
from onnx import helper, numpy_helper

from inference.checks import probe, proofs
from inference.checks.models import ProbePass
from inference.checks.proofs import Proof, Proofs, known_merged_rows, merged_rows, runtime_version
from inference.checks.runner import run_checks
from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.batch_proof import NO_ROW_AXIS, BatchProof
from inference.engine.errors import NotProbed, StillLoading
from inference.engine.warmup import MemoryUse
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.catalogue.serving_settings import DEFAULTS, ServingValues
from registry.intake.examples.services import add_examples
from tests.support import onnx_models
from tests.support.batch_models import MIXING
from tests.support.factories import a_model, an_actor, an_uploaded_version

OPTIONS = SessionOptions()
PATIENCE_S = 20
ROLLED = next(model for model in MIXING if model.name == "rolled")


@pytest.fixture(autouse=True)
def _database(db): ...


def bring_in(data, examples=()):
    version = an_uploaded_version(a_model(), file=artifacts.store([data]))
    if examples:
        add_examples(version=version, examples=list(examples), by=an_actor())
    return version


def batching_line(version):
    run = run_checks(version_id=version.pk, options_for=lambda _: OPTIONS, by=an_actor())
    return run, run.lines.get(step="batching")


def rare(folder):
    """Answers everything but 7777 with zeros."""
    nodes = [
        helper.make_node("Equal", ["x", "seven"], ["is_seven"]),
        helper.make_node("Where", ["is_seven", "x", "zero"], ["y"]),
    ]

    constants = [
        numpy_helper.from_array(np.float32(7777), "seven"),
        numpy_helper.from_array(np.float32(0), "zero"),
    ]
    ends = [onnx_models.value("x", ("rows", 4))], [onnx_models.value("y", ("rows", 4))]
    return onnx_models.save(folder / "m.onnx", nodes, *ends, constants).read_bytes()


def dividing(folder):
    """An integer division, which ends the process for the smallest integer by minus one."""
    whole = onnx_models.ELEMENT_TYPES["INT64"]
    path = onnx_models.save(
        folder / "m.onnx",
        [helper.make_node("Div", ["x", "by"], ["y"])],
        [onnx_models.value("x", ("rows", 2), whole)],
        [onnx_models.value("y", ("rows", 2), whole)],
        [numpy_helper.from_array(np.array([-1, -1], np.int64), "by")],
    )
    return path.read_bytes()


def test_a_good_file_is_proven_and_the_proof_is_kept(tmp_path):
    version = bring_in(onnx_models.identity(tmp_path / "m.onnx").read_bytes())

    _, line = batching_line(version)

    assert (line.state, line.code, line.facts["rows"]) == ("passed", "", 64)
    assert line.reason == "Up to 64 rows of different requests can share a run."
    sha256 = version.artifact.sha256
    assert known_merged_rows(DEFAULTS, sha256=sha256, options=OPTIONS) == 64
    assert known_merged_rows(DEFAULTS, sha256=sha256, options=SessionOptions(intra_op_threads=2)) == 1


def test_a_file_whose_rows_mix_is_ready_and_says_that_it_runs_singly():
    version = bring_in(ROLLED.build())

    run, line = batching_line(version)

    assert (run.state, line.state, line.facts["rows"]) == ("passed", "passed", 1)
    assert line.code == "neighbours" and line.reason.endswith("Each request therefore runs alone.")
    assert "each request runs alone" in line.advice
    assert known_merged_rows(DEFAULTS, sha256=version.artifact.sha256, options=OPTIONS) == 1


def test_examples_show_what_generated_rows_do_not(tmp_path):
    data = rare(tmp_path)
    _, without = batching_line(bring_in(data))
    telling = {"x": [[7777, 0, 0, 0], [0, 7777, 0, 0], [0, 0, 1, 1]]}
    answers = {"y": [[7777, 0, 0, 0], [0, 7777, 0, 0], [0, 0, 0, 0]]}
    _, line = batching_line(bring_in(data, examples=[{"inputs": telling, "expected": answers}]))

    assert (without.code, without.facts["rows"]) == ("not_shown", 1) and "examples" in without.advice
    assert (line.code, line.facts["rows"]) == ("", 64)


def test_a_file_that_ends_its_process_in_the_proof_costs_no_later_step(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_CRASHES", set())  # as where the probe does not meet what the proof meets
    example = {"inputs": {"x": [[4, 6]]}, "expected": {"y": [[-4, -6]]}}
    version = bring_in(dividing(tmp_path), examples=[example])

    run, line = batching_line(version)

    assert (line.state, line.code, line.facts["rows"]) == ("passed", "crashed_signal", 1)
    assert run.lines.get(step="conformance").state == "passed"
    assert Version.objects.get(pk=version.pk).is_servable


@pytest.mark.parametrize(
    ("merging", "code", "rows"),
    [
        ("proven", "proven", 8),
        ("never", "proven", 1),
        ("always", "neighbours", 64),
        ("always", NO_ROW_AXIS, 1),
    ],
)
def test_a_person_may_decide_otherwise_but_not_what_cannot_be(merging, code, rows):
    proof = BatchProof(8 if code == "proven" else 1, code, "x", 64)

    assert merged_rows(ServingValues(merging=merging), proof) == rows


GIB = 1 << 30
MEASURED = MemoryUse(1 << 20, {64: 1 << 20}, asked_rows=64)


class TestProofsOfAProcess:
    """A process asks for the proofs it needs. A missing proof is made once, and callers wait no longer than their timeout."""

    @pytest.fixture
    def version(self, tmp_path):
        return bring_in(onnx_models.identity(tmp_path / "m.onnx").read_bytes())

    def get(self, proofs, version, timeout_s=PATIENCE_S, max_rows=64, limit_bytes=GIB):
        return proofs.get(
            version.pk,
            sha256=version.artifact.sha256,
            options=OPTIONS,
            runtime_version=runtime_version(),
            values=ServingValues(max_batch_rows=max_rows, batch_memory_bytes=limit_bytes),
            timeout_s=timeout_s,
        )

    def test_a_file_that_was_never_looked_at_is_probed_and_proven(self, version):
        proof = self.get(Proofs(), version)

        assert (proof.batches.code, proof.batches.rows) == ("proven", 64)
        kept = ProbePass.objects.get()
        assert (kept.fact, BatchProof.from_json(kept.batches)) == (proof.fact, proof.batches)

    def test_a_version_of_before_is_proven_before_it_merges(self, version):
        self.get(Proofs(), version)
        ProbePass.objects.update(batches=None)

        assert known_merged_rows(DEFAULTS, sha256=version.artifact.sha256, options=OPTIONS) == 1
        assert self.get(Proofs(), version).batches.rows == 64

    def test_what_is_known_is_not_proven_again(self, version, monkeypatch):
        before = self.get(Proofs(), version)
        monkeypatch.setattr(proofs, "_make_proof", lambda *_: pytest.fail("it is known"))

        assert self.get(Proofs(), version) == before
        assert self.get(Proofs(), version, max_rows=16) == before

    def test_a_larger_batch_than_was_proven_is_proven_again(self, version):
        assert self.get(Proofs(), version, max_rows=16).batches.rows == 16
        assert self.get(Proofs(), version, max_rows=32).batches.rows == 32

    def test_memory_is_measured_again_when_settings_ask_for_more_than_was_looked_at(self, version):
        """And a smaller largest batch is known to take less, without another child."""
        small = self.get(Proofs(), version, max_rows=16).memory
        large = self.get(Proofs(), version, max_rows=64).memory
        known = self.get(Proofs(), version, max_rows=8)

        assert (small.asked_rows, large.asked_rows, known.memory) == (16, 64, large)
        assert known.memory.footprint_bytes(8) <= large.footprint_bytes(64)

    def test_batches_stay_within_their_part_of_memory(self, tmp_path):
        """16 MiB a row: the largest batch is the one that fits, and no more of them are proven or merged."""
        wide = bring_in(onnx_models.identity(tmp_path / "m.onnx", shape=("rows", 1 << 22)).read_bytes())

        proof = self.get(Proofs(), wide, limit_bytes=80 << 20)

        assert proof.memory.beyond is not None
        assert 1 <= proof.batches.rows == proof.memory.most_rows(64, 80 << 20) < 64
        assert merged_rows(ServingValues(batch_memory_bytes=80 << 20), proof.batches, proof.memory) < 64
        assert merged_rows(ServingValues(batch_memory_bytes=1 << 20), proof.batches, proof.memory) == 1

    def test_a_file_that_is_refused_is_refused_to_all(self, version, monkeypatch):
        path = artifacts.path_of(version.artifact.sha256)
        monkeypatch.setattr(artifacts, "path_of", lambda _: path.with_name("gone"))

        with pytest.raises(NotProbed):
            self.get(Proofs(), version)

    def test_callers_wait_no_longer_than_their_timeout_and_the_proof_is_there_later(
        self, version, monkeypatch
    ):
        go_on, made = threading.Event(), []
        fact = ProbeFact(version.artifact.sha256, runtime_version(), "CPUExecutionProvider", OPTIONS.digest)
        proof = Proof(fact, EMPTY_SAMPLE, MEASURED, BatchProof(64, "proven", "x", 64))

        def make(*_):
            made.append(go_on.wait(PATIENCE_S))
            return proof

        monkeypatch.setattr(proofs, "_make_proof", make)
        here = Proofs()
        for _ in range(2):
            with pytest.raises(StillLoading):
                self.get(here, version, timeout_s=0.01)
        assert made == []  # they did not wait for it
        go_on.set()

        assert self.get(here, version) == proof
        assert made == [True]

    @pytest.mark.parametrize(
        "found",
        [
            {"batches": BatchProof(1, "neighbours", "x", 64)},
            {"memory": MEASURED},
            {"sample": Sample({"x": (1, 4)}, {"x": [[1, 2, 3, 4]]})},
        ],
        ids=["batches", "memory", "sample"],
    )
    def test_a_later_check_that_finds_otherwise_is_noticed(self, version, found):
        here = Proofs()
        proof = self.get(here, version)
        assert here.outdated([proof]) == set()

        ProbePass.objects.record(proof.fact, **found)

        assert here.outdated([proof]) == {proof.fact}
