import math

import numpy as np
import pytest

from inference.pipelines.errors import BadTaskConfig, InvalidItem, TooManyItems, UnusableOutput
from inference.pipelines.pipeline import FilesBeside
from inference.pipelines.tables import TabularClassification, TabularRegression
from inference.tensors.prepare import prepare
from inference.tensors.samples import Sample
from inference.tensors.signature import Signature, TensorSpec

SCORES = (TensorSpec("label", "INT64", (None,)), TensorSpec("probabilities", "FP32", (None, 2)))
NUMBER = (TensorSpec("variable", "FP32", (None, 1)),)
OWN_INPUTS = (
    TensorSpec("age", "FP32", (None, 1)),
    TensorSpec("children", "INT64", (None, 1)),
    TensorSpec("city", "BYTES", (None, 1)),
)
TABLE = (TensorSpec("X", "FP32", (None, 3)),)
LABELS = {"labels": ["no", "yes"]}
ROW = {"age": 31, "children": 2, "city": "Bern"}


def classifier(config=None, inputs=OWN_INPUTS):
    return TabularClassification({**LABELS, **(config or {})}, {}, Signature(inputs, SCORES))


def regressor(config=None, inputs=TABLE, outputs=NUMBER):
    return TabularRegression(config or {}, {}, Signature(inputs, outputs))


def inputs_of(pipeline, body):
    return pipeline.prepare(pipeline.encode(body).groups[0].tensors)


def ages(inputs):
    """Says yes with a hundredth of the age."""
    yes = inputs["age"].reshape(-1) / 100
    return {"probabilities": np.stack([1 - yes, yes], axis=1)}


def test_labels_and_probabilities_have_names():
    (answer,) = classifier().answer({"row": ROW}, ages)

    assert (answer.label, answer.confidence) == ("no", pytest.approx(0.69))
    assert [(one.label, one.score) for one in answer.labels] == [
        ("no", pytest.approx(0.69)), ("yes", pytest.approx(0.31)),
    ]  # fmt: skip


def test_each_column_is_an_input_of_the_model():
    inputs = inputs_of(classifier(), {"rows": [ROW, {**ROW, "age": 9.5, "city": "Lugano"}]})

    assert {name: tensor.tolist() for name, tensor in inputs.items()} == {
        "age": [[31], [9.5]], "children": [[2], [2]], "city": [["Bern"], ["Lugano"]],
    }  # fmt: skip
    assert [tensor.dtype for tensor in inputs.values()] == [np.float32, np.int64, object]


def test_columns_are_a_table_of_the_only_input():
    inputs = inputs_of(regressor({"columns": ["a", "b", "c"]}), {"row": {"c": 3, "a": 1, "b": 2}})

    assert inputs["X"].tolist() == [[1, 2, 3]]
    assert inputs["X"].flags.c_contiguous


def test_rows_may_be_lists_in_the_order_of_the_columns():
    assert inputs_of(classifier(), {"row": [31, 2, "Bern"]})["age"].tolist() == [[31]]
    assert inputs_of(regressor(), {"row": [1, 2, 3]})["X"].tolist() == [[1, 2, 3]]


def test_a_column_may_hold_lists():
    inputs = (TensorSpec("history", "FP32", (None, 3)), TensorSpec("age", "FP32", (None,)))

    pipeline = regressor(inputs=inputs)

    assert inputs_of(pipeline, {"row": {"history": [1, 2, 3], "age": 4}})["history"].tolist() == [[1, 2, 3]]


def test_missing_values_get_the_default_of_their_column():
    pipeline = classifier({"defaults": {"age": None, "city": "unknown", "children": 0}})

    inputs = inputs_of(pipeline, {"rows": [{}, {"age": None, "children": 1}, {**ROW, "age": math.nan}]})

    assert np.isnan(inputs["age"][:3]).all()
    assert inputs["city"].ravel().tolist() == ["unknown", "unknown", "Bern"]
    assert inputs["children"].ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        ({"row": {"age": 1, "city": "Bern"}}, "row", "no 'children'"),
        ({"rows": [ROW, {**ROW, "age": None}]}, "rows[1]", "no 'age'"),
        ({"rows": [ROW, {**ROW, "ages": 1}]}, "rows[1]", "'ages', which is no column; did you mean 'age'"),
        (
            {"rows": [ROW, ROW, {**ROW, "age": "old"}]},
            "rows[2]",
            "'old' in the column 'age', which takes a number",
        ),
        (
            {"rows": [ROW, {**ROW, "children": 1.5}]},
            "rows[1]",
            "1.5 in the column 'children', which takes a whole number",
        ),
        ({"rows": [ROW, {**ROW, "city": 3}]}, "rows[1]", "3 in the column 'city', which takes a text"),
        ({"rows": [ROW, {**ROW, "age": [1]}]}, "rows[1]", "in the column 'age', which takes a number"),
        ({"rows": [ROW, {**ROW, "age": 1e300}]}, "rows[1]", "in the column 'age', which takes a number"),
        ({"rows": [ROW, [1, 2]]}, "rows[1]", "2 values"),
        ({"rows": [ROW, "Bern"]}, "rows[1]", "object"),
        ({"rows": []}, "rows", "at least one"),
        ({"row": ROW, "top_k": 0}, "top_k", "whole number"),
    ],
)
def test_what_does_not_fit_is_named(body, field, why):
    with pytest.raises(InvalidItem, match=why) as refused:
        classifier().encode(body)

    assert refused.value.field == field


def test_the_first_value_that_does_not_fit_is_found_among_many():
    rows = [{**ROW, "age": 1.5 if number < 777 else "old"} for number in range(1_000)]

    with pytest.raises(InvalidItem) as refused:
        classifier().encode({"rows": rows})

    assert refused.value.field == "rows[777]"


def test_too_many_columns_without_names():
    with pytest.raises(BadTaskConfig, match="10,001 columns"):
        regressor(inputs=(TensorSpec("X", "FP32", (None, 10_001)),))


def test_columns_of_different_lengths():
    with pytest.raises(InvalidItem, match="'age' has 1 rows, and 'city' has 2"):
        classifier().body_of({"age": np.zeros(1), "city": np.array(["a", "b"], object)})


def test_scores_that_are_no_probabilities_are_an_error():
    with pytest.raises(UnusableOutput, match="name the `function`"):
        classifier().answer({"row": ROW}, lambda _: {"probabilities": np.array([[3.0, -2]], np.float32)})


def test_answers_of_different_widths_are_an_error():
    pipeline = regressor(outputs=(TensorSpec("y", "FP32", (None, None)),))
    widths = iter([2, 3])

    with pytest.raises(UnusableOutput):
        pipeline.answer({"rows": [[1, 2, 3]] * 2}, lambda _: {"y": np.zeros((1, next(widths)), np.float32)})


def test_infinity_is_refused_even_where_values_may_be_missing():
    with pytest.raises(InvalidItem, match="infinite"):
        regressor({"columns": ["a", "b", "c"], "defaults": {"a": None}}).encode(
            {"row": {"a": math.inf, "b": 1, "c": 1}}
        )


def test_names_are_needed_for_objects():
    with pytest.raises(InvalidItem, match="have no names"):
        regressor().encode({"row": {"a": 1}})


def test_too_many_rows():
    with pytest.raises(TooManyItems):
        regressor().encode({"rows": [[1, 2, 3]] * 1_025})


def test_a_number_or_several():
    one = regressor().answer({"row": [1, 2, 3]}, lambda inputs: {"variable": inputs["X"][:, :1]})
    several = regressor(outputs=(TensorSpec("y", "FP32", (None, 2)),)).answer(
        {"row": [1, 2, 3]}, lambda inputs: {"y": inputs["X"][:, 1:]}
    )

    assert [one[0].value, several[0].value] == [1, [2, 3]]


@pytest.mark.parametrize("output", [np.array([[np.nan]], np.float32), np.array([["x"]], object)])
def test_what_is_no_number_is_an_error(output):
    with pytest.raises(UnusableOutput):
        regressor().answer({"row": [1, 2, 3]}, lambda _: {"variable": output})


def test_as_tensors():
    pipeline = classifier({"defaults": {"age": None}})
    tensors = prepare(
        pipeline.items, {"children": [1, 2], "city": ["a", "b"], "age": [math.nan, 4]}, allow_non_finite=True
    )

    body = pipeline.body_of(tensors)
    answers = pipeline.tensors_of(
        pipeline.answer(body, lambda inputs: {"probabilities": np.eye(2, dtype=np.float32)}, most_rows=2)
    )

    assert pipeline.takes_missing
    assert [spec.optional for spec in pipeline.items.inputs] == [True, False, False]
    assert answers["label"].tolist() == ["no", "yes"]
    assert answers["scores"].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (lambda: regressor({"columns": ["a", "b"]}), "columns"),
        (lambda: regressor({"columns": ["a", "b", "a"]}), "columns"),
        (lambda: regressor({"columns": ["a", "b", "c"], "defaults": {"d": 1}}), "defaults"),
        (lambda: regressor({"columns": ["a", "b", "c"], "defaults": {"a": "x"}}), "defaults"),
        (lambda: regressor({"columns": ["a", "b", "c"], "defaults": {"a": [1]}}), "defaults.a"),
        (lambda: regressor({"columns": ["a", "b", "c"], "defaults": [1]}), "defaults"),
        (lambda: classifier({"columns": ["a", "b", "c"]}), "columns"),
        (lambda: classifier({"defaults": {"children": None}}), "defaults"),
        (lambda: classifier({"defaults": {"city": None}}), "defaults"),
        (lambda: classifier({"labels": ["a", "b", "c"]}), "labels"),
        (lambda: classifier({"labels": []}), "labels"),
        (lambda: classifier({"other": 1}), "other"),
        (lambda: regressor(inputs=(TensorSpec("x", "FP32", (1, 3)),)), "inputs"),
        (lambda: regressor(inputs=(TensorSpec("x", "FP32", (), any_rank=True),)), "inputs"),
        (lambda: regressor(outputs=(*NUMBER, *SCORES)), "output"),
        (lambda: regressor({"output": "z"}), "output"),
    ],
)
def test_wrong_configurations_name_the_field(made, field):
    with pytest.raises(BadTaskConfig) as refused:
        made()

    assert refused.value.field == field


def test_labels_of_a_zipmap_are_filled_in():
    assert TabularClassification.prefill(FilesBeside(labels=("no", "yes"))) == LABELS


def test_the_example_is_a_row_on_which_the_model_has_run():
    sample = Sample({"city": (1, 1)}, {"city": [["Basel"]], "children": [[3]]})

    assert classifier().example == {
        "row": {"age": 0.5, "children": 0, "city": classifier().example["row"]["city"]}
    }
    assert TabularClassification.example_of(LABELS, {}, Signature(OWN_INPUTS, SCORES), sample) == {
        "row": {"age": 0.5, "children": 3, "city": "Basel"}
    }


def test_the_hash_is_of_all_that_changes_answers():
    names = {"columns": ["a", "b", "c"]}
    digests = {
        regressor().digest, regressor(names).digest, regressor({"columns": ["b", "a", "c"]}).digest,
        regressor({**names, "defaults": {"a": 1}}).digest,
    }  # fmt: skip

    assert len(digests) == 4


def test_too_many_values():
    """Rows without values would get defaults for all columns, so the columns are counted."""
    names = [f"column {number}" for number in range(5_000)]
    pipeline = regressor(
        {"columns": names, "defaults": dict.fromkeys(names, 0.5)},
        inputs=(TensorSpec("X", "FP32", (None, 5_000)),),
    )

    (group,) = pipeline.encode({"rows": [{}] * 400}).groups
    with pytest.raises(TooManyItems, match="at most 2,000,000 values"):
        pipeline.encode({"rows": [{}] * 401})

    assert 400 * pipeline.row_bytes >= 10 * group.tensors["X"].nbytes


def test_missing_values_of_tensors_get_their_defaults_or_are_named():
    pipeline = classifier({"defaults": {"age": 40, "city": "Bern"}})
    columns = {"age": [math.nan, 3], "children": [1, 2], "city": [None, "Basel"]}
    tensors = prepare(pipeline.items, columns, allow_non_finite=pipeline.takes_missing)

    inputs = inputs_of(pipeline, pipeline.body_of(tensors))

    assert (inputs["age"].ravel().tolist(), inputs["city"].ravel().tolist()) == ([40, 3], ["Bern", "Basel"])
    of_some = classifier({"defaults": {"city": "Bern"}})
    with pytest.raises(InvalidItem, match="no 'age'") as refused:
        of_some.encode(of_some.body_of(tensors))
    assert refused.value.place == 0
