"""The warm-up ladder: every rung is run, a failing one fails the load, the profile tells each one's cost."""

import pytest

from inference.engine.backends import SessionOptions
from inference.engine.errors import WarmUpFailed
from inference.engine.fake import FakeModel, FakeSession
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.signature import Signature, TensorSpec
from inference.engine.tensors import prepare
from inference.engine.warmup import ladder, warm_up
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
    assert session.runs == [rows for rows in (1, 2, 4, 6) for _ in range(3)]
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


def test_a_given_example_is_repeated_to_each_size(tmp_path):
    session = OnnxBackend().load(onnx_models.identity(tmp_path / "m.onnx"), SessionOptions())
    example = prepare(session.signature, {"x": [[1, 2, 3, 4]]})

    assert list(warm_up(session, max_batch=4, example=example)) == [1, 2, 4]


def test_dynamic_axes_beyond_the_first_take_the_given_size(tmp_path):
    session = OnnxBackend().load(
        onnx_models.identity(tmp_path / "m.onnx", "INT64", ("rows", "length")), SessionOptions()
    )
    seen = []
    run = session.run
    session.run = lambda inputs, **options: seen.append(inputs["x"].shape) or run(inputs, **options)

    warm_up(session, max_batch=2, dynamic=16)

    assert set(seen) == {(1, 16), (2, 16)}
