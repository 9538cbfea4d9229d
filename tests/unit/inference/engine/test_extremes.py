"""Which values a file is run on that no sample holds."""

import numpy as np
import pytest

from inference.engine.backends import SessionOptions
from inference.engine.errors import RunFailed
from inference.engine.extremes import MOST_RUNS, combinations, try_extremes
from inference.engine.fake import FakeModel, FakeSession
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.samples import NOTHING_SAID
from inference.tensors.signature import Signature, TensorSpec
from tests.support.onnx_models import sum_and_difference

LEAST, MOST = -(2**63), 2**63 - 1


def taking(*datatypes, **more):
    return Signature(
        tuple(TensorSpec(f"x{place}", kind, (None,), **more) for place, kind in enumerate(datatypes)), ()
    )


def test_one_input_takes_each_extreme_once():
    tried = [list(values.values()) for values in combinations(taking("INT64"))]

    assert tried == [[-1], [0], [LEAST], [MOST]]


def test_unsigned_ones_have_no_minus_one():
    assert [list(values.values()) for values in combinations(taking("UINT8"))] == [[0], [255]]


def test_few_inputs_are_combined_and_all_alike_come_first():
    tried = [tuple(values.values()) for values in combinations(taking("INT64", "INT64"))]

    assert tried[:4] == [(-1, -1), (0, 0), (LEAST, LEAST), (MOST, MOST)]
    assert (len(tried), len(set(tried))) == (16, 16)
    assert (LEAST, -1) in tried


def test_of_many_inputs_each_goes_by_itself():
    tried = list(combinations(taking(*["INT32"] * 5)))

    assert len(tried) == 4 + 5 * 4
    assert {"x3": -(2**31)} in tried


@pytest.mark.parametrize(
    "signature", [taking("FP32"), taking("BYTES", "BOOL"), taking("INT64", optional=True)]
)
def test_other_inputs_are_left_as_they_are(signature):
    assert list(combinations(signature)) == []


@pytest.fixture
def session():
    signature = Signature(
        (TensorSpec("x", "FP32", (None, 2)), TensorSpec("n", "INT64", (1,))),
        (TensorSpec("y", "FP32", (None, 2)),),
    )
    made = FakeSession(FakeModel(signature=signature))
    made.given = []
    real = made.run

    def run(inputs, outputs=None, *, soft_limit_s=None):
        made.given.append((inputs["x"].tolist(), inputs["n"].tolist(), soft_limit_s))
        return real(inputs, outputs, soft_limit_s=soft_limit_s)

    made.run = run
    return made


def test_what_is_run_is_told_before_and_the_rest_is_as_in_the_sample(session):
    told = []

    assert try_extremes(session, NOTHING_SAID, tell=told.append, clock=lambda: 0.0) == 4

    assert told[:2] == ["'n' = -1", "'n' = 0"]
    assert session.given[0] == ([[0.0, 0.0]], [-1], 3.0)


def test_refusals_and_a_lack_of_memory_count_for_nothing(session):
    errors = iter([RunFailed(), MemoryError(), RunFailed(), MemoryError()])

    def fail(rows):
        raise next(errors)

    session.model.on_run = fail

    assert try_extremes(session, NOTHING_SAID, tell=lambda _: None) == 4


def test_it_ends_in_time_and_after_so_many_runs(session):
    now = [0.0]

    def spend(rows):
        now[0] += 2.0

    session.model.on_run = spend
    assert try_extremes(session, NOTHING_SAID, tell=lambda _: None, clock=lambda: now[0]) == 2

    many = FakeSession(FakeModel(signature=taking(*["INT8"] * 40)))
    assert try_extremes(many, NOTHING_SAID, tell=lambda _: None, clock=lambda: 0.0) == MOST_RUNS


def test_a_real_file_of_decimals_is_run_on_nothing_more(tmp_path):
    session = OnnxBackend().load(sum_and_difference(tmp_path / "m.onnx"), SessionOptions())

    assert try_extremes(session, NOTHING_SAID, tell=lambda _: None) == 0
    assert np.isfinite(
        session.run({"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 2), np.float32)})["sum"]
    ).all()
