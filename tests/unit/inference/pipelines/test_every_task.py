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
SIGNATURES = {
    "text-classification": Signature(TOKENS, (TensorSpec("logits", "FP32", (None, 3)),)),
    "entities": Signature(TOKENS, (TensorSpec("logits", "FP32", (None, None, 3)),)),
    "image-classification": Signature(PICTURES, (TensorSpec("logits", "FP32", (None, 3)),)),
    "object-detection": Signature(PICTURES, (TensorSpec("logits", "FP32", (None, 7, 5)),)),
}
MORE = {"object-detection": {"box_layout": "yolov8"}}
each_task = pytest.mark.parametrize("kind", TASKS.values(), ids=TASKS)
each_item_task = pytest.mark.parametrize("kind", ITEM_TASKS, ids=lambda kind: kind.task)


def built(kind):
    files = {"tokenizer.json": a_tokenizer("word_piece").encode()}
    return kind({"labels": LABELS, **MORE.get(kind.task, {})}, files, SIGNATURES[kind.task])


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
        kind.check_config({"labels": LABELS, "scores": "logits", "lables": [], **MORE.get(kind.task, {})}, ())

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

    assert list(kind.example()) == [kind.one]
    assert kind.several == f"{kind.one}s"
    assert [spec.name for spec in pipeline.items.inputs] == [kind.one]
    assert pipeline.items.has_row_axis
    assert kind.options.items() <= ITEM_OPTIONS.items() and kind.one not in ITEM_OPTIONS


@each_item_task
def test_items_as_tensors_are_the_same_request(kind):
    pipeline = built(kind)
    (item,) = kind.example().values()
    tensors = prepare(pipeline.items, {kind.one: [item, item]}, online=True)

    (group,) = pipeline.encode(pipeline.body_of(tensors)).groups
    (alone,) = pipeline.encode({kind.one: item}).groups

    for name, rows in group.tensors.items():
        assert rows[0].tolist() == rows[1].tolist() == alone.tensors[name][0].tolist()


@each_item_task
def test_answers_as_tensors_have_the_shapes_that_are_described(kind):
    pipeline = built(kind)
    (item,) = kind.example().values()

    body = {**pipeline.body_of({kind.one: np.array([item, item], object)})}
    tensors = pipeline.tensors_of(pipeline.answer(body, run_of(pipeline), most_rows=2))

    assert list(tensors) == [spec.name for spec in pipeline.items.outputs]
    for spec in pipeline.items.outputs:
        assert (tensors[spec.name].dtype, tensors[spec.name].ndim) == (spec.dtype, len(spec.shape))
        assert len(tensors[spec.name]) == 2


@each_item_task
def test_samples_are_different_items_that_can_be_asked_about(kind):
    pipeline = built(kind)
    samples = list(kind.samples())

    assert len(set(samples)) == len(samples) >= 12
    assert len(pipeline.answer({kind.several: samples}, run_of(pipeline), most_rows=4)) == len(samples)


@each_item_task
def test_tensors_of_the_model_are_told_from_items(kind):
    pipeline = built(kind)
    own = {spec.name: np.zeros((1, 1), spec.dtype) for spec in pipeline.signature.inputs}

    assert pipeline.signature_for(own) is None
    for signature in pipeline.item_signatures:
        (spec,) = signature.inputs
        value = np.zeros([size or 1 for size in spec.shape], spec.dtype)
        assert pipeline.signature_for({spec.name: value}) is signature


@each_item_task
def test_the_hash_is_of_the_task(kind):
    assert len(built(kind).digest) == 16
    assert len({built(one).digest for one in ITEM_TASKS}) == len(ITEM_TASKS)
