"""The forms alone: what each makes of a body, and of an answer."""

import numpy as np
import orjson
import pytest

from inference.doors.errors import NotAPrediction, UnfitForm
from inference.doors.rest.forms import form_of
from inference.serving.calls import Prediction
from inference.tensors.errors import InvalidInput
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature, TensorSpec
from tests.support.pipelines import plain


def _spec(name, shape, datatype="FP32", **more):
    return TensorSpec(name, datatype, shape, **more)


ROWS_OF_3 = Signature((_spec("x", (None, 3)),), (_spec("y", (None, 2)),))
ONE_AT_A_TIME = Signature((_spec("x", (1, 3)),), (_spec("y", (1, 2)),))
NO_ROWS = Signature((_spec("x", (3,)),), (_spec("y", (2,)),))
PAIR = Signature(
    (_spec("age", (None,)), _spec("name", (None,), "BYTES"), _spec("weight", (), optional=True)),
    (_spec("score", (None,)), _spec("label", (None,), "BYTES")),
)


def _prediction(signature, outputs, scores=None):
    pipeline = plain(signature, labels=("no", "yes") if scores else (), scores=scores)
    return Prediction("r-1", "m", 1, "a", 1, outputs, signature, pipeline)


def _answer(form, signature, outputs, scores=None):
    said = form.answer(_prediction(signature, outputs, scores))
    return orjson.loads(orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY, default=lambda v: v.tolist()))


@pytest.mark.parametrize(
    "body",
    [[1], "x", None, {}, {"lines": [1]}, {"inputs": {}, "instances": []}, {"features": [1], "data": [1]}],
    ids=["list", "text", "null", "empty", "other", "two", "two-originals"],
)
def test_a_body_has_exactly_one_form(body):
    with pytest.raises(NotAPrediction, match="`inputs`"):
        form_of(body)


def test_named_tensors_pass_as_they_are():
    form = form_of({"inputs": {"x": [[1, 2, 3]]}})

    assert form.inputs(ROWS_OF_3) == {"x": [[1, 2, 3]]}
    assert _answer(form, ROWS_OF_3, {"y": np.float32([[1, 2]])}) == {"outputs": {"y": [[1, 2]]}}


def test_rows_of_the_only_input():
    form = form_of({"instances": [[1, 2, 3], [4, 5, 6]]})

    assert prepare(ROWS_OF_3, form.inputs(ROWS_OF_3))["x"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert _answer(form, ROWS_OF_3, {"y": np.float32([[1, 2], [3, 4]])}) == {"predictions": [[1, 2], [3, 4]]}


def test_rows_with_names_become_tensors_and_back():
    form = form_of({"instances": [{"age": 3, "name": "a"}, {"age": 4, "name": "b"}]})
    outputs = {"score": np.float32([0.5, 0.25]), "label": np.array(["x", "y"], object)}

    assert form.inputs(PAIR) == {"age": [3, 4], "name": ["a", "b"]}
    assert _answer(form, PAIR, outputs) == {
        "predictions": [{"score": 0.5, "label": "x"}, {"score": 0.25, "label": "y"}]
    }


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"age": 1, "name": "a"}, {"age": 2}], "Instance 1 lacks 'name'"),
        ([{"age": 1}, {"age": 2, "name": "a"}], "Instance 1 has 'name'"),
        ([{"age": 1}, 2], "Instance 1 is not an object"),
    ],
    ids=["lacks", "has-more", "mixed"],
)
def test_rows_that_differ_are_named(rows, says):
    with pytest.raises(InvalidInput, match=says):
        form_of({"instances": rows}).inputs(PAIR)


@pytest.mark.parametrize("rows", [[], {}, 7, "text"], ids=str)
def test_instances_are_a_list_of_rows(rows):
    with pytest.raises(NotAPrediction):
        form_of({"instances": rows}).inputs(ROWS_OF_3)


def test_outputs_without_a_row_each_cannot_be_dealt_out():
    form = form_of({"instances": [[1, 2, 3]]})

    with pytest.raises(UnfitForm, match="'y'"):
        _answer(form, ROWS_OF_3, {"y": np.float32(3)})


@pytest.mark.parametrize(
    ("signature", "shape"),
    [(ROWS_OF_3, (1, 3)), (ONE_AT_A_TIME, (1, 3)), (NO_ROWS, (3,))],
    ids=["rows", "one-row", "no-rows"],
)
def test_features_are_one_row(signature, shape):
    form = form_of({"features": [1, 2, 3]})

    assert prepare(signature, form.inputs(signature))["x"].shape == shape


def test_prediction_is_the_only_outputs_row():
    form = form_of({"features": [1, 2, 3]})

    assert _answer(form, ROWS_OF_3, {"y": np.float32([[1, 2]])}) == {"prediction": [1, 2]}
    assert _answer(form, NO_ROWS, {"y": np.float32([1, 2])}) == {"prediction": [1, 2]}
    assert _answer(form, NO_ROWS, {"y": np.float32([1])}) == {"prediction": [1]}
    assert _answer(form, NO_ROWS, {"y": np.float32(1)}) == {"prediction": [1]}


@pytest.mark.parametrize("name", ["features", "data"])
def test_forms_without_names_need_one_input_and_one_output(name):
    two_inputs = Signature((*ROWS_OF_3.inputs, _spec("z", (None, 1))), ROWS_OF_3.outputs)

    with pytest.raises(UnfitForm, match="score, label"):
        form_of({name: [1]}).inputs(PAIR)
    with pytest.raises(UnfitForm, match="x, z"):
        form_of({name: [1]}).inputs(two_inputs)
    with pytest.raises(NotAPrediction):
        form_of({name: 1}).inputs(ROWS_OF_3)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ("probabilities", {"prediction": 1, "confidence": 0.75}),
        (None, {"prediction": 0.25, "confidence": 0}),
    ],
    ids=["classification", "no-classification"],
)
def test_data_is_answered_with_one_number(scores, expected):
    said = _answer(form_of({"data": [1, 2, 3]}), ROWS_OF_3, {"y": np.float32([[0.25, 0.75]])}, scores)

    assert said == expected


def test_texts_are_not_one_number():
    texts = Signature(ROWS_OF_3.inputs, (_spec("y", (None, 1), "BYTES"),))

    with pytest.raises(UnfitForm, match="send `features`"):
        form_of({"data": [1, 2, 3]}).inputs(texts)
    assert form_of({"features": [1, 2, 3]}).inputs(texts) == {"x": [[1, 2, 3]]}


def test_features_never_carry_a_confidence():
    said = _answer(form_of({"features": [1, 2, 3]}), ROWS_OF_3, {"y": np.float32([[1, 0]])}, "probabilities")

    assert said == {"prediction": [1, 0]}
