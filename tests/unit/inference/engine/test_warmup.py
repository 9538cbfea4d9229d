"""The warm-up ladder: every rung is run, a failing one fails the load, the profile tells each one's cost."""

import json
from dataclasses import replace

import pytest
from onnx import helper

from inference.engine.backends import SessionOptions
from inference.engine.errors import RunFailed, WarmUpFailed
from inference.engine.fake import FakeModel, FakeSession
from inference.engine.memory import resident_bytes
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.warmup import MemoryUse, ladder, measured_warm_up, warm_up
from inference.tensors.samples import Sample, sample_inputs
from inference.tensors.signature import Signature, TensorSpec
from tests.support import onnx_models

FIXED = Signature(inputs=(TensorSpec("x", "FP32", (1, 4)),), outputs=(TensorSpec("y", "FP32", (1, 4)),))


@pytest.mark.parametrize(
    ("max_batch", "rungs"),
    [(0, (1,)), (1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (20, (1, 2, 4, 8, 16, 20))],
)
def test_rungs_are_powers_of_two_and_the_largest_batch(max_batch, rungs):
    assert ladder(max_batch) == rungs


def test_every_rung_is_run_and_costed():
    session = FakeSession(FakeModel())

    profile = warm_up(session, max_batch=6, repeats=2)

    assert list(profile) == [1, 2, 4, 6]
    assert session.runs == [
        *[rows for rows in (1, 2, 4, 6) for _ in range(3)],
        1,
        6,
    ]  # shrunk, then the largest again
    assert all(seconds >= 0 for seconds in profile.values())


def test_a_session_that_cannot_batch_has_one_rung():
    session = FakeSession(FakeModel(signature=FIXED))

    assert list(warm_up(session, max_batch=32)) == [1]
    assert set(session.runs) == {1}


def test_a_failing_rung_fails_the_whole_and_names_its_size():
    with pytest.raises(WarmUpFailed, match="warm-up run of 4 rows failed"):
        warm_up(FakeSession(FakeModel(max_rows=3)), max_batch=8)


def test_only_the_ladder_would_have_found_it():
    """Negative control: a warm-up with single rows passes what fails with four."""
    assert warm_up(FakeSession(FakeModel(max_rows=3)), max_batch=1)


def test_an_endless_model_is_ended_at_the_runs_limit(tmp_path):
    session = OnnxBackend().load(onnx_models.endless(tmp_path / "m.onnx"), SessionOptions())

    with pytest.raises(WarmUpFailed, match="longer than its limit"):
        warm_up(session, soft_limit_s=0.05)


def test_rows_have_the_sizes_and_values_of_the_sample(tmp_path):
    session = OnnxBackend().load(
        onnx_models.identity(tmp_path / "m.onnx", "INT64", ("rows", "length")), SessionOptions()
    )
    seen = []
    run = session.run
    session.run = lambda inputs, **options: seen.append(inputs["x"].tolist()) or run(inputs, **options)

    warm_up(session, max_batch=2, sample=Sample({"x": (1, 3)}, {"x": [[7, 8, 9]]}))

    assert [rows for rows in ([[7, 8, 9]], [[7, 8, 9]] * 2) if rows not in seen] == []
    assert {len(rows[0]) for rows in seen} == {3}


class TestMeasured:
    """What a check measures in a process that does nothing else."""

    def measured(self, needs, *, limit=8, max_batch=16, **model):
        """`needs` rows to bytes, seen after a run of so many rows; a shrunk session holds nothing."""
        session = FakeSession(FakeModel(footprint=100, **model))
        return measured_warm_up(
            session,
            max_batch=max_batch,
            limit_bytes=limit,
            repeats=1,
            measure=lambda: needs(session.runs[-1]) if session.runs else 0,
        )

    def test_it_climbs_to_the_largest_batch_that_fits(self):
        profile, memory = self.measured(lambda rows: rows, limit=8)

        assert list(profile) == [1, 2, 4, 8]
        assert memory == MemoryUse(
            100, {1: 1, 2: 2, 4: 4, 8: 8}, asked_rows=16, beyond=(16, 16), row_bytes=16
        )
        assert memory.footprint_bytes(8) == 108

    def test_one_row_runs_whatever_it_takes(self):
        profile, memory = self.measured(lambda rows: 50 * rows, limit=8)

        assert list(profile) == [1]
        assert (memory.most_rows(64, 8), memory.footprint_bytes(1)) == (1, 150)

    def test_a_batch_that_fails_bounds_the_others(self):
        _, memory = self.measured(lambda rows: 0, max_rows=4)

        assert memory.most_rows(64, 8) == 4
        assert memory.failure.startswith("8 rows in one run: The fake takes 4 rows at once")

    def test_one_row_that_fails_is_an_error(self):
        with pytest.raises(RunFailed):
            self.measured(lambda rows: 0, max_rows=0)

    def test_a_session_that_takes_no_rows_has_one_rung(self):
        profile, memory = self.measured(lambda rows: 0, signature=FIXED)

        assert list(profile) == [1]
        assert memory.most_rows(64, 8) == 1

    def test_an_arena_that_was_shrunk_shows_each_batch_by_itself(self, tmp_path):
        """The control is in the same run: what all rungs leave behind is more than the largest one takes."""
        width = 1 << 18
        path = onnx_models.save(
            tmp_path / "m.onnx",
            [
                helper.make_node("Exp", ["x"], ["a"]),
                helper.make_node("Neg", ["a"], ["b"]),
                helper.make_node("Add", ["a", "b"], ["y"]),
            ],
            [onnx_models.value("x", ("rows", width))],
            [onnx_models.value("y", ("rows", width))],
        )  # fmt: skip
        session = OnnxBackend().load(path, SessionOptions(graph_level="disabled"))

        _, memory = measured_warm_up(session, max_batch=32, limit_bytes=1 << 40, repeats=1)
        for rows in (1, 2, 4, 8, 16, 32):
            session.run(sample_inputs(session.signature, rows=rows))
        unshrunk = resident_bytes()
        session.shrink(sample_inputs(session.signature))

        assert list(memory.by_rows) == [1, 2, 4, 8, 16, 32]
        assert resident_bytes() < unshrunk - (16 << 20)


MEASURED = MemoryUse(100, {1: 1, 2: 2, 4: 4, 8: 8}, asked_rows=16, beyond=(16, 20), row_bytes=16)


@pytest.mark.parametrize(
    ("rows", "limit", "most"), [(64, 8, 8), (64, 3, 2), (64, 0, 1), (4, 100, 4), (3, 100, 3), (1, 8, 1)]
)
def test_the_largest_batch_follows_settings_without_another_run(rows, limit, most):
    assert MEASURED.most_rows(rows, limit) == most


@pytest.mark.parametrize(("rows", "needed"), [(1, 101), (3, 104), (8, 108), (9, 108)])
def test_a_smaller_batch_takes_less(rows, needed):
    assert MEASURED.footprint_bytes(rows) == needed


@pytest.mark.parametrize(
    ("memory", "rows", "limit", "covers"),
    [
        (MEASURED, 64, 19, True),  # 16 rows would still be too much
        (MEASURED, 64, 20, False),  # they would fit by now
        (MEASURED, 16, 20, True),
        (replace(MEASURED, beyond=None), 16, 1, True),
        (replace(MEASURED, beyond=None), 17, 1, False),
        (replace(MEASURED, beyond=None, failure="9 rows"), 64, 100, True),
    ],
)
def test_it_is_known_when_more_has_to_be_measured(memory, rows, limit, covers):
    assert memory.covers(rows, limit) == covers


def test_memory_use_survives_json():
    for memory in (MEASURED, replace(MEASURED, beyond=None, failure="x")):
        assert MemoryUse.from_json(json.loads(json.dumps(memory.to_json()))) == memory
