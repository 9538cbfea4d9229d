"""Models whose outputs are not what their files declare: every task says so with an error of its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference.pipelines.entities import Entities
from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from inference.pipelines.pipeline import rows_of
from inference.pipelines.text_classification import TextClassification
from inference.tensors.signature import Signature, TensorSpec

LABELS = ["O", "B-PER", "I-PER"]
FILES = {"vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nann\nlee"}
INPUTS = tuple(TensorSpec(name, "INT64", (None, None)) for name in ("input_ids", "attention_mask"))
OUTPUT = TensorSpec("logits", "FP32", (), any_rank=True)
TASKS = {
    kind.task: kind({"labels": LABELS}, FILES, Signature(INPUTS, (OUTPUT,)))
    for kind in (TextClassification, Entities)
}
BODY = {"texts": ["Ann Lee", "Ann"]}  # four tokens and three; both in rows of eight
each_task = pytest.mark.parametrize("pipeline", TASKS.values(), ids=TASKS)
DTYPES = st.sampled_from(["f2", "f4", "f8", "i4", "i8", "u1", "?", "c8", "U3", "S3", "O", "M8[s]"])
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 8]), max_size=4).map(tuple)


def answer(pipeline, rows):
    return pipeline.decode(rows, pipeline.encode(BODY))


@each_task
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_outputs_are_read_or_refused(pipeline, data):
    def row():
        dtype, shape = np.dtype(data.draw(DTYPES)), data.draw(SHAPES)
        if dtype.kind == "O":
            return np.full(shape, None, object)
        if dtype.kind != "f":
            return data.draw(arrays.arrays(dtype, shape))
        elements = st.sampled_from(
            [0.0, 1.0, -5.0, np.finfo(dtype).max, np.finfo(dtype).min, np.inf, -np.inf, np.nan]
        )
        return data.draw(arrays.arrays(dtype, shape, elements=elements))

    rows = [data.draw(st.sampled_from([{}, {"logits": row()}])) for _ in BODY["texts"]]
    try:
        answers = answer(pipeline, rows)
    except (UnusableOutput, BadTaskConfig):
        return
    assert len(answers) == 2


@each_task
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_usual_shapes_with_any_numbers_are_read_or_refused(pipeline, data):
    shape = (2, 3) if pipeline.task == "text-classification" else (2, 8, 3)
    dtype = np.dtype(data.draw(st.sampled_from(["f2", "f4", "f8", "i8"])))
    elements = None
    if dtype.kind == "f":
        elements = st.floats(width=8 * dtype.itemsize)
    logits = data.draw(arrays.arrays(dtype, shape, elements=elements))

    try:
        answers = answer(pipeline, [{"logits": row} for row in logits])
    except UnusableOutput:
        assert not np.isfinite(logits).all()
    else:
        assert len(answers) == 2


WELL = {"text-classification": np.zeros(3), "entities": np.zeros((8, 3))}


@each_task
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda row: None, UnusableOutput),
        (lambda row: np.float32(1.0)[()], UnusableOutput),
        (lambda row: row[0], UnusableOutput),
        (lambda row: row[None], UnusableOutput),
        (lambda row: row[None, None], UnusableOutput),
        (lambda row: row[..., :2], BadTaskConfig),
        (lambda row: np.full(row.shape, "1.5", object), UnusableOutput),
        (lambda row: np.full(row.shape, np.nan), UnusableOutput),
    ],
    ids=["missing", "a number", "an axis less", "an axis more", "two more", "two labels", "texts", "NaN"],
)
def test_an_odd_row_beside_a_good_one(pipeline, change, error):
    well = WELL[pipeline.task]
    odd = change(well)

    with pytest.raises(error):
        answer(pipeline, [{"logits": well}, {} if odd is None else {"logits": np.asarray(odd)}])


def test_a_row_with_fewer_tokens_than_the_text():
    with pytest.raises(UnusableOutput, match="scores of 3 tokens for a row of 4"):
        answer(TASKS["entities"], [{"logits": np.zeros((3, 3))}] * 2)


@each_task
@pytest.mark.parametrize("tensor", [np.float32(1.0), np.zeros((1, 3)), np.zeros((0, 8, 3))], ids=str)
def test_outputs_without_a_row_for_each_row(pipeline, tensor):
    (group,) = pipeline.encode(BODY).groups

    with pytest.raises(UnusableOutput):
        rows_of([group], [{"logits": np.asarray(tensor)}])


@each_task
@pytest.mark.parametrize("outputs", [{}, {"logits": np.asarray(1.0)}, {"logits": np.zeros((0, 3))}], ids=str)
def test_odd_outputs_do_not_show_that_padding_is_harmless(pipeline, outputs):
    assert not pipeline.padding_is_harmless(lambda _: outputs)
