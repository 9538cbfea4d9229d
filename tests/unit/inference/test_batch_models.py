"""The models of `batch_models` are what they claim to be, by ONNX Runtime alone."""

import numpy as np
import pytest

from inference.engine.backends import SessionOptions
from inference.engine.onnx_backend import OnnxBackend
from registry.intake.file_scan import scan_file
from tests.support.batch_models import MIXING, SEPARATE

SIZES = (1, 2, 3, 7, 33, 64)
MIXING_SIZES = (2, 3, 8, 24, 48)
TRIES = 20  # the rarest trigger is in one of 100 rows


def named(models):
    return [pytest.param(model, id=model.name) for model in models]


@pytest.fixture
def load(tmp_path):
    sessions = []

    def load(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model.build())
        scan_file(path)
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


def test_names_and_counts():
    names = [model.name for model in (*MIXING, *SEPARATE)]

    assert (len(MIXING), len(SEPARATE)) == (40, 20)
    assert len(set(names)) == len(names)
    assert sum(model.sometimes for model in MIXING) == 10
    assert all(model.note for model in MIXING if model.sometimes)
    assert not any(model.sometimes for model in SEPARATE)


@pytest.mark.parametrize("model", named(MIXING))
def test_rows_mix(model, load):
    session = load(model)
    rng = np.random.default_rng(1)
    tries = (same_apart_as_together(session, model.inputs(rng, rows)) for rows in MIXING_SIZES * TRIES)

    assert session.signature.has_row_axis
    assert not all(tries)


@pytest.mark.parametrize("model", named(model for model in MIXING if not model.sometimes))
def test_rows_mix_in_every_batch(model, load):
    session = load(model)
    rng = np.random.default_rng(2)

    assert not any(same_apart_as_together(session, model.inputs(rng, rows)) for rows in (24, 48))


@pytest.mark.parametrize("model", named(SEPARATE))
def test_rows_do_not_mix(model, load):
    session = load(model)
    rng = np.random.default_rng(3)

    assert session.signature.has_row_axis
    for rows in SIZES:
        assert same_apart_as_together(session, model.inputs(rng, rows)), rows


@pytest.mark.parametrize("model", named((*MIXING, *SEPARATE)))
def test_every_build_gives_the_same_small_file(model):
    assert model.build() == model.build()
    assert len(model.build()) < 256 << 10
