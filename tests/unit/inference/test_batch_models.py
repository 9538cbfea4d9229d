"""The models of `batch_models` are what they claim to be, by ONNX Runtime alone."""

from functools import partial

import numpy as np
import pytest

from inference.engine.backends import SessionOptions
from inference.engine.onnx_backend import OnnxBackend
from registry.intake.gate import check_file
from tests.support.batch_models import MIXING, SEPARATE

SIZES = (1, 2, 3, 7, 33, 64)
MIXING_SIZES = (2, 3, 8, 24, 48)
TRIES = 20  # the rarest trigger is in one of 100 rows


each_of = partial(pytest.mark.parametrize, "model", ids=lambda model: model.name)


@pytest.fixture
def load(tmp_path):
    sessions = []

    def load(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model.build())
        check_file(path)
        sessions.append(OnnxBackend().load(path, SessionOptions()))
        return sessions[-1]

    yield load
    for session in sessions:
        session.close()


def run_apart(session, inputs):
    """Run row after row, and put the answers together."""
    rows = len(next(iter(inputs.values())))
    answers = [
        session.run({name: array[row : row + 1] for name, array in inputs.items()}) for row in range(rows)
    ]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def is_same(apart, together):
    """Compare each row by its own largest value; whole numbers, flags and texts exactly."""
    if apart.shape != together.shape:
        return False
    if apart.dtype.kind != "f":
        return np.array_equal(apart, together)
    flat = (len(apart), -1)
    a, b = apart.reshape(flat).astype(np.float64), together.reshape(flat).astype(np.float64)
    return bool(np.all(np.abs(a - b) <= 1e-4 * np.abs(a).max(1, keepdims=True) + 1e-6))


def same_apart_as_together(session, inputs):
    together, apart = session.run(inputs), run_apart(session, inputs)
    return all(is_same(apart[name], together[name]) for name in apart)


@each_of([model for model in MIXING if model.sometimes])
def test_rows_mix_in_some_batches(model, load):
    session = load(model)
    rng = np.random.default_rng(1)
    tries = (same_apart_as_together(session, model.inputs(rng, rows)) for rows in MIXING_SIZES * TRIES)

    assert model.note and session.signature.has_row_axis
    assert not all(tries)


@each_of([model for model in MIXING if not model.sometimes])
def test_rows_mix_in_every_batch(model, load):
    session = load(model)
    rng = np.random.default_rng(2)

    assert session.signature.has_row_axis
    assert not any(same_apart_as_together(session, model.inputs(rng, rows)) for rows in (24, 48))


@each_of(SEPARATE)
def test_rows_do_not_mix(model, load):
    session = load(model)
    rng = np.random.default_rng(3)

    assert session.signature.has_row_axis
    for rows in SIZES:
        assert same_apart_as_together(session, model.inputs(rng, rows)), rows
