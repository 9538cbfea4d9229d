"""The tasks whose callers send and receive the model's own tensors."""

import numpy as np
import pytest

from inference.pipelines.errors import BadTaskConfig
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
        ("logits", [0.0, 0.0], 0.5),
        ("logits", [1000.0, 0.0], 1.0),
        ("probabilities", [0.2, 0.8], 0.8),
        ("logits", [], None),
    ],
    ids=["even", "large", "probabilities", "empty"],
)
def test_the_confidence_is_that_of_the_best_label(scores, row, expected):
    pipeline = PlainClassification({**GOOD, "scores": scores}, {}, signature(SCORES))

    assert pipeline.confidence(np.array(row)) == (None if expected is None else pytest.approx(expected))
