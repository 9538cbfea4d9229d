"""The tasks whose callers send and receive the model's own tensors."""

import numpy as np
import pytest

from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from inference.pipelines.pipeline import FilesBeside
from inference.pipelines.plain import PlainClassification, PlainTensors
from inference.tensors.signature import Signature, TensorSpec

GOOD = {"labels": ["cat", "dog"], "scores": "logits"}
INPUTS = (TensorSpec("x", "FP32", (None, 4)),)


def signature(*outputs):
    return Signature(INPUTS, outputs)


SCORES = TensorSpec("scores", "FP32", (None, 2))


def test_tensors_need_no_configuration():
    PlainTensors.check_config({}, ())

    assert PlainTensors({}, {}, signature(SCORES)).digest == ""


@pytest.mark.parametrize(
    ("pipeline", "config", "field"),
    [
        (PlainTensors, {"labels": ["a"]}, "labels"),
        (PlainClassification, {}, "labels"),
        (PlainClassification, {"labels": ["cat"]}, "scores"),
        (PlainClassification, {**GOOD, "scores": "votes"}, "scores"),
        (PlainClassification, {**GOOD, "scores": ["logits"]}, "scores"),
        (PlainClassification, {**GOOD, "labels": []}, "labels"),
        (PlainClassification, {**GOOD, "labels": "cat"}, "labels"),
        (PlainClassification, {**GOOD, "labels": ["cat", 2]}, "labels[1]"),
        (PlainClassification, {**GOOD, "labels": ["cat", ""]}, "labels[1]"),
        (PlainClassification, {**GOOD, "labels": ["x" * 201]}, "labels[0]"),
        (PlainClassification, {**GOOD, "labels": ["cat", "cat"]}, "labels"),
        (PlainClassification, {**GOOD, "threshold": 0.5}, "threshold"),
    ],
)
def test_the_field_that_is_wrong_is_named(pipeline, config, field):
    with pytest.raises(BadTaskConfig) as caught:
        pipeline.check_config(config, ())

    assert caught.value.field == field


def test_labels_of_a_zipmap_come_with_their_kind_of_scores():
    assert PlainClassification.prefill(FilesBeside(labels=("no", "yes"))) == {
        "labels": ["no", "yes"],
        "scores": "probabilities",
    }
    assert PlainClassification.prefill(FilesBeside({"config.json": b"{}"})) == {}


def test_the_first_output_with_a_number_for_each_label_holds_the_scores():
    label = TensorSpec("label", "BYTES", (None,))

    assert PlainClassification(GOOD, {}, signature(label, SCORES)).output == "scores"
    with pytest.raises(BadTaskConfig) as caught:
        PlainClassification({**GOOD, "labels": ["a", "b", "c"]}, {}, signature(label, SCORES))
    assert caught.value.field == "labels"


def test_the_hash_depends_on_all_that_changes_answers():
    digests = {
        PlainClassification(config, {}, signature(spec)).digest
        for config, spec in (
            (GOOD, SCORES),
            ({**GOOD, "labels": ["dog", "cat"]}, SCORES),
            ({**GOOD, "scores": "probabilities"}, SCORES),
            (GOOD, TensorSpec("other", "FP32", (None, 2))),
        )
    }

    assert len(digests) == 4


@pytest.mark.parametrize(
    ("scores", "row", "expected"),
    [
        ("logits", [0.0, 0.0], (0, 0.5)),
        ("logits", [0.0, np.log(3)], (1, 0.75)),
        ("logits", [1000.0, 0.0], (0, 1.0)),
        ("logits", [7.0], (0, 1.0)),
        ("probabilities", [0.2, 0.8], (1, 0.8)),
        ("probabilities", [[0.2, 0.8]], (1, 0.8)),
    ],
    ids=["even", "logits", "large", "one-class", "probabilities", "row-axis"],
)
def test_one_number_for_a_classification_is_the_likeliest_class_and_how_likely_it_is(scores, row, expected):
    pipeline = PlainClassification({**GOOD, "scores": scores}, {}, signature(SCORES))

    assert pipeline.one_number(np.array(row)) == pytest.approx(expected)


@pytest.mark.parametrize("row", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, -np.inf]], ids=str)
def test_scores_that_are_not_finite_make_no_confidence(row):
    assert np.isnan(PlainClassification(GOOD, {}, signature(SCORES)).one_number(np.array(row)).confidence)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.float16([0.25, 4]), 0.25),
        (np.int64([[2**53 + 1]]), 2**53 + 1),
        (np.bool_([True]), 1),
    ],
    ids=["no-axis", "first-of-several", "large-whole-number", "yes-or-no"],
)
def test_one_number_without_classes_is_the_first_one(row, expected):
    one = PlainTensors({}, {}, signature(SCORES)).one_number(np.asarray(row))

    assert (one, type(one.prediction)) == ((expected, 0.0), type(expected))


@pytest.mark.parametrize("kind", [PlainTensors, PlainClassification])
def test_an_empty_row_has_no_number(kind):
    pipeline = kind(GOOD if kind is PlainClassification else {}, {}, signature(SCORES))

    with pytest.raises(UnusableOutput, match="empty tensor"):
        pipeline.one_number(np.empty((1, 0)))
