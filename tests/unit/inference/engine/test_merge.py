import numpy as np
import pytest

from inference.engine.merge import RowRules
from inference.tensors.signature import Signature, TensorSpec

WITH_THRESHOLD = Signature(
    (TensorSpec("x", "FP32", (None, 4)), TensorSpec("threshold", "FP32", (), optional=True)),
    (TensorSpec("y", "FP32", (None, 4)),),
)
ROWS = np.zeros((3, 4), np.float32)


def test_requests_of_equal_shape_share_a_key():
    rules = RowRules(WITH_THRESHOLD, merges=True)

    assert rules.shape_of({"x": ROWS}, None) == rules.shape_of({"x": ROWS + 1}, None)
    assert rules.shape_of({"x": ROWS}, None)[1] == 3


@pytest.mark.parametrize("shape", [(), (1,), (3,), (7, 2)], ids=str)
def test_request_that_overrides_an_optional_input_runs_alone(shape):
    """Its value has no row axis, and it must not become its neighbours' value."""
    rules = RowRules(WITH_THRESHOLD, merges=True)
    given = {"x": ROWS, "threshold": np.ones(shape, np.float32)}

    (key, rows, nbytes), (other, _, _) = rules.shape_of(given, None), rules.shape_of(given, None)

    assert key != other
    assert rows == 3
    assert nbytes == ROWS.nbytes + given["threshold"].nbytes


def test_a_query_beside_its_documents_runs_alone():
    rules = RowRules(WITH_THRESHOLD, merges=True)
    given = {"x": ROWS, "query": ROWS[:1]}

    (key, rows, _), (other, _, _) = rules.shape_of(given, None), rules.shape_of(given, None)

    assert key != other
    assert rows == 3
