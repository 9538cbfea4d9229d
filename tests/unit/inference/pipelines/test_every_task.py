"""What every registered task promises to those who know only its base class."""

import numpy as np
import pytest

from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.pipeline import FilesBeside, ItemPipeline
from inference.pipelines.tasks import ITEM_OPTIONS, ITEM_TASKS, TASKS
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature, TensorSpec
from tests.support.tokenizers_of_tests import a_tokenizer

LABELS = ["O", "B-PER", "I-PER"]
TOKENS = tuple(TensorSpec(name, "INT64", (None, None)) for name in ("input_ids", "attention_mask"))
PICTURES = (TensorSpec("pixels", "FP32", (None, 3, 32, 32)),)
COLUMNS = (TensorSpec("age", "FP32", (None, 1)), TensorSpec("city", "BYTES", (None, 1)))
ONE_SCORE = (TensorSpec("score", "FP32", (None, 1)),)
SIGNATURES = {
    "text-classification": Signature(TOKENS, (TensorSpec("logits", "FP32", (None, 3)),)),
    "entities": Signature(TOKENS, (TensorSpec("logits", "FP32", (None, None, 3)),)),
    "image-classification": Signature(PICTURES, (TensorSpec("logits", "FP32", (None, 3)),)),
    "object-detection": Signature(PICTURES, (TensorSpec("logits", "FP32", (None, 7, 5)),)),
    "tabular-classification": Signature(COLUMNS, (TensorSpec("logits", "FP32", (None, 3)),)),
    "tabular-regression": Signature(COLUMNS, ONE_SCORE),
    "recommendation": Signature(
        (TensorSpec("user", "INT64", (None,)),), (TensorSpec("scores", "FP32", (None, 15)),)
    ),
    "ranking": Signature(COLUMNS, ONE_SCORE),
}
UNLABELLED = {"tabular-regression", "recommendation", "ranking"}
IDS = "".join(f"id {number}\n" for number in range(15)).encode()
MORE = {"object-detection": {"box_layout": "yolov8"}}
each_task = pytest.mark.parametrize("kind", TASKS.values(), ids=TASKS)
each_item_task = pytest.mark.parametrize("kind", ITEM_TASKS, ids=lambda kind: kind.task)


def config_of(kind):
    return {**({} if kind.task in UNLABELLED else {"labels": LABELS}), **MORE.get(kind.task, {})}


def built(kind):
    files = {"tokenizer.json": a_tokenizer("word_piece").encode(), "users.txt": IDS, "items.txt": IDS}
    return kind(config_of(kind), files, SIGNATURES[kind.task])


def two_of(pipeline):
    """The tensors of two items, each the example."""
    row = pipeline.row_of(pipeline.example)
    return prepare(pipeline.items, {name: [value, value] for name, value in row.items()}, online=True)


def run_of(pipeline):
    """Zeros for every row, in the shape that the signature has."""
    (output,) = pipeline.signature.outputs

    def run(inputs):
        rows = next(iter(inputs.values())).shape[:2]
        sizes = [rows[axis] if size is None else size for axis, size in enumerate(output.shape)]
        return {output.name: np.zeros(sizes, np.float32)}

    return run


@each_task
def test_misspelt_fields_are_refused(kind):
    with pytest.raises(BadTaskConfig) as refused:
        kind.check_config({**config_of(kind), "scores": "logits", "lables": []}, ("users.txt", "items.txt"))

    assert refused.value.field in {"lables", "labels", "scores"}


@each_task
def test_nothing_is_filled_in_from_nothing(kind):
    assert kind.prefill(FilesBeside()) == {}


@each_task
def test_golden_rows_name_their_metrics(kind):
    assert kind.golden.metrics
    assert (kind.golden.check is None) is not issubclass(kind, ItemPipeline)


@each_item_task
def test_names(kind):
    pipeline = built(kind)

    assert pipeline.example.keys() <= {kind.one, *kind.companions}
    assert kind.several == f"{kind.one}s"
    assert pipeline.row_of(pipeline.example).keys() <= {spec.name for spec in pipeline.items.inputs}
    assert pipeline.items.has_row_axis
    assert kind.options.items() <= ITEM_OPTIONS.items() and set(kind.companions) <= set(kind.options)
    assert kind.one not in ITEM_OPTIONS


@each_item_task
def test_items_as_tensors_are_the_same_request(kind):
    pipeline = built(kind)

    groups = pipeline.encode(pipeline.body_of(two_of(pipeline))).groups
    (alone,) = pipeline.encode(pipeline.example).groups

    for name, rows in alone.tensors.items():
        assert [row for group in groups for row in group.tensors[name].tolist()] == rows.tolist() * 2


@each_item_task
def test_answers_as_tensors_have_the_shapes_that_are_described(kind):
    pipeline = built(kind)

    body = pipeline.body_of(two_of(pipeline))
    tensors = pipeline.tensors_of(pipeline.answer(body, run_of(pipeline), most_rows=2))

    assert list(tensors) == [spec.name for spec in pipeline.items.outputs]
    for spec in pipeline.items.outputs:
        assert (tensors[spec.name].dtype, tensors[spec.name].ndim) == (spec.dtype, len(spec.shape))
        assert len(tensors[spec.name]) == 2


@each_item_task
def test_bodies_of_one_item_are_joined(kind):
    pipeline = built(kind)

    one, other = pipeline.answer(kind.joined_body([pipeline.example] * 2), run_of(pipeline), most_rows=4)

    assert [one] == [other] == pipeline.answer(pipeline.example, run_of(pipeline), most_rows=4)


@each_item_task
def test_samples_are_different_items_that_can_be_asked_about(kind):
    pipeline = built(kind)
    samples = pipeline.samples()
    if samples is None:
        return

    assert len(set(samples[kind.several])) == len(samples[kind.several]) >= 12
    assert len(pipeline.answer(samples, run_of(pipeline), most_rows=4)) == len(samples[kind.several])


@each_item_task
def test_tensors_of_the_model_are_told_from_items(kind):
    pipeline = built(kind)
    own = {spec.name: np.zeros((1, 1), spec.dtype) for spec in pipeline.signature.inputs}
    are_columns = own.keys() == {spec.name for spec in pipeline.items.inputs}

    assert (pipeline.signature_for(own) is None) is not are_columns
    for signature in pipeline.item_signatures:
        tensors = {
            spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in signature.inputs
        }
        assert pipeline.signature_for(tensors) is signature


@each_item_task
def test_the_hash_is_of_the_task(kind):
    assert len(built(kind).digest) == 16
    assert len({built(one).digest for one in ITEM_TASKS}) == len(ITEM_TASKS)
