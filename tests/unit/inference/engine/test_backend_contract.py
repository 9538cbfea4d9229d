"""What every backend owes the engine, asked of the fake and of ONNX Runtime alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inference.engine.backends import Backend, SessionOptions
from inference.engine.errors import LoadFailed, RunTimedOut
from inference.engine.fake import HANG, ROWS, FakeBackend, FakeModel
from inference.engine.onnx_backend import OnnxBackend
from inference.tensors.prepare import prepare
from inference.tensors.samples import sample_inputs
from tests.support import onnx_models
from tests.support.together import in_threads

OPTIONS = SessionOptions()


@dataclass
class Kind:
    """A backend and the files that a contract needs of it: `doubling` answers y = 2x to rows of four."""

    backend: Backend
    doubling: Path
    broken: Path
    hanging: Path
    hang: Callable[[], dict]


def fake(folder):
    models = {"broken": FakeModel(fails_to_load=True)}
    row = np.full((1, 4), HANG, np.float32)
    return Kind(FakeBackend(models), folder / "ok", folder / "broken", folder / "ok", lambda: {"x": row})


def onnx(folder):
    (folder / "broken").write_bytes(b"not a model")
    doubling = onnx_models.scaled(folder / "ok", 2.0)
    endless = onnx_models.endless(folder / "endless")
    return Kind(
        OnnxBackend(), doubling, folder / "broken", endless, lambda: {"x": np.zeros((1, 4), np.float32)}
    )


@pytest.fixture(params=[fake, onnx], ids=["fake", "onnx"])
def kind(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def session(kind):
    session = kind.backend.load(kind.doubling, OPTIONS)
    yield session
    session.close()


def rows(count, start=1):
    return {"x": np.arange(start, start + 4 * count, dtype=np.float32).reshape(count, 4)}


def test_a_session_tells_its_signature_provider_and_footprint(session):
    assert session.signature.inputs[0] == ROWS.inputs[0]
    assert session.signature.outputs == ROWS.outputs
    assert session.signature.has_row_axis
    assert session.provider.endswith("ExecutionProvider")
    assert session.footprint_bytes() > 0


@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_rows_in_are_rows_out_in_order(session, count):
    inputs = rows(count)

    answer = session.run(inputs)

    assert list(answer) == ["y"]
    assert answer["y"].dtype == np.float32
    assert answer["y"].tolist() == (2 * inputs["x"]).tolist()


def test_outputs_can_be_chosen(session):
    assert list(session.run(rows(1), ["y"])) == ["y"]


def test_runs_its_own_example_and_prepared_lists(session):
    session.run(sample_inputs(session.signature, rows=3))

    assert session.run(prepare(session.signature, {"x": [[1, 2, 3, 4]]}))["y"].tolist() == [[2, 4, 6, 8]]


def test_inputs_stay_as_they_were_and_answers_are_their_own(session):
    inputs = rows(2)
    first = session.run(inputs)["y"]
    first_values = first.tolist()

    session.run(rows(2, start=100))

    assert inputs["x"].tolist() == rows(2)["x"].tolist()
    assert first.tolist() == first_values
    assert not np.shares_memory(first, inputs["x"])


def test_a_hanging_run_is_ended_at_the_soft_limit(kind):
    session = kind.backend.load(kind.hanging, OPTIONS)

    with pytest.raises(RunTimedOut):
        session.run(kind.hang(), soft_limit_s=0.05)


def test_a_file_that_cannot_be_loaded_is_refused_in_a_sentence(kind):
    with pytest.raises(LoadFailed, match=r"\.$"):
        kind.backend.load(kind.broken, OPTIONS)


def test_several_threads_run_at_once_and_get_their_own_answers(session):
    wrong = []

    def work(number):
        inputs = rows(3, start=number * 1000)
        for _ in range(50):
            if session.run(inputs)["y"].tolist() != (2 * inputs["x"]).tolist():
                wrong.append(number)

    assert in_threads(8, work) == []
    assert wrong == []


def test_two_sessions_of_one_file_are_independent(kind):
    first, second = kind.backend.load(kind.doubling, OPTIONS), kind.backend.load(kind.doubling, OPTIONS)

    first.close()

    assert second.run(rows(1))["y"].tolist() == (2 * rows(1)["x"]).tolist()
