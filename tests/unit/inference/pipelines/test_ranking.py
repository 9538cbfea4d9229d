import numpy as np
import orjson
import pytest

from inference.pipelines.errors import BadTaskConfig, InvalidItem, TooManyItems, UnusableOutput
from inference.pipelines.ranking import Ranking
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature, TensorSpec

TABLE = (TensorSpec("features", "FP32", (None, 3)),)
NAMED = (
    TensorSpec("age", "FP32", (None, 1)),
    TensorSpec("price", "FP32", (None,)),
    TensorSpec("kind", "BYTES", (None, 1)),
)
SCORE = (TensorSpec("logit", "FP32", (None, 1)),)


def built(config=None, inputs=TABLE, outputs=SCORE):
    return Ranking(config or {}, {}, Signature(inputs, outputs))


def last(inputs):
    """The last feature is the logit."""
    return {"logit": inputs["features"][:, -1:]}


def sigmoid(value):
    return pytest.approx(1 / (1 + np.exp(-value)))


def test_candidates_come_in_the_order_of_their_scores_and_ties_in_theirs():
    (answer,) = built().answer(
        {"user": [1], "candidates": [[0, 2], [0, 5], [0, -3], [0, 5]]}, last, most_rows=8
    )

    assert answer.indices == [1, 3, 0, 2]
    assert answer.scores == [sigmoid(5), sigmoid(5), sigmoid(2), sigmoid(-3)]


def test_all_candidates_of_a_user_are_one_batch_without_those_of_others():
    batches = []

    def run(inputs):
        batches.append(inputs["features"].tolist())
        return last(inputs)

    body = {"users": [[1], [2]], "candidates": [[[3, 1], [4, 2]], [[5, 3]]]}
    answers = built().answer(body, run, most_rows=1)

    assert batches == [[[1, 3, 1], [1, 4, 2]], [[2, 5, 3]]]
    assert [answer.indices for answer in answers] == [[1, 0], [0]]


def test_the_best_alone():
    (answer,) = built({"top_k": 2}).answer(
        {"user": [1], "candidates": [[0, 2], [0, 5], [0, 3]]}, last, most_rows=8
    )

    assert answer.indices == [1, 2]


def test_features_by_name():
    pipeline = built({"defaults": {"kind": "any"}}, NAMED)
    body = {"user": {"age": 30}, "candidates": [{"price": 2, "kind": "tea"}, {"price": 1}]}

    inputs = pipeline.prepare(pipeline.encode(body).groups[0].tensors)

    assert {name: tensor.tolist() for name, tensor in inputs.items()} == {
        "age": [[30], [30]], "price": [2, 1], "kind": [["tea"], ["any"]],
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(None,), (None, 1)])
def test_scores_as_they_are(shape):
    pipeline = built({"function": "none"}, outputs=(TensorSpec("p", "FP32", shape),))

    (answer,) = pipeline.answer(
        {"user": [0], "candidates": [[0, 0.25], [0, 0.5]]},
        lambda inputs: {"p": inputs["features"][:, -1].reshape([-1, 1][: len(shape)])}, most_rows=4,
    )  # fmt: skip

    assert (answer.indices, answer.scores) == ([1, 0], [0.5, 0.25])


def test_of_two_probabilities_the_last_is_that_of_a_click():
    pipeline = built({"function": "none"}, outputs=(TensorSpec("p", "FP32", (None, 2)),))

    (answer,) = pipeline.answer(
        {"user": [0], "candidates": [[0, 0.25], [0, 0.5]]},
        lambda inputs: {"p": np.stack([1 - inputs["features"][:, -1], inputs["features"][:, -1]], axis=1)}, most_rows=4,
    )  # fmt: skip

    assert (answer.indices, answer.scores) == ([1, 0], [0.5, 0.25])


def test_a_users_features_are_read_once(monkeypatch):
    """A request with few bytes must not become lists of millions of values."""
    pipeline = built(inputs=(TensorSpec("features", "FP32", (None, 500)),))
    seen = []
    monkeypatch.setattr(
        pipeline._columns,
        "_array",
        lambda spec, values: seen.append(len(values)) or np.zeros((len(values), spec.shape[1]), np.float32),
    )

    pipeline.encode({"user": [1] * 499, "candidates": [[1]] * 1_000})

    assert seen == [1, 1_000]


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(UnusableOutput):
        built().answer(
            {"user": [1], "candidates": [[0, 1]]}, lambda _: {"logit": np.array([[np.nan]], np.float32)}
        )


def test_as_tensors():
    pipeline = built()
    tensors = prepare(pipeline.items, {"user": [[1], "[2]"], "candidates": [[[0, 2], [0, 3]], "[[0, 1]]"]})

    answers = pipeline.tensors_of(pipeline.answer(pipeline.body_of(tensors), last, most_rows=8))

    assert [orjson.loads(text) for text in answers["indices"]] == [[1, 0], [0]]


CANDIDATES = [[0, 1], [0, 2]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user": [1]}, "candidates"),
        ({"user": [1], "candidates": []}, "candidates"),
        ({"user": [1], "candidates": {}}, "candidates"),
        ({"user": [1], "candidates": [[0, 1], [0]]}, "candidates[1]"),
        ({"user": [1], "candidates": [[0, 1], [0, "x"]]}, "candidates[1]"),
        ({"user": [1, 2], "candidates": CANDIDATES}, "candidates[0]"),
        ({"user": {"a": 1}, "candidates": CANDIDATES}, "user"),
        ({"user": "x", "candidates": CANDIDATES}, "user"),
        ({"user": ["x"], "candidates": CANDIDATES}, "user"),
        ({"users": [[1], ["x"]], "candidates": [CANDIDATES, CANDIDATES]}, "users[1]"),
        ({"users": [[1], [2]], "candidates": [CANDIDATES]}, "candidates"),
        ({"users": [[1], [2]], "candidates": [CANDIDATES, []]}, "candidates[1]"),
        ({"users": [[1], [2]], "candidates": [CANDIDATES, [[0, 1], [1]]]}, "candidates[1]"),
        ({"user": [1], "candidates": CANDIDATES, "top_k": 0}, "top_k"),
        ({"users": [], "candidates": []}, "users"),
    ],
)
def test_what_is_no_request(body, field):
    with pytest.raises(InvalidItem) as refused:
        built().encode(body)

    assert refused.value.field == field


def test_a_feature_belongs_to_the_user_or_to_the_candidate():
    with pytest.raises(InvalidItem, match="has 'age', which the user has, too"):
        built(inputs=NAMED).encode({"user": {"age": 3}, "candidates": [{"age": 3, "price": 1, "kind": "x"}]})


def test_too_many_candidates():
    with pytest.raises(TooManyItems):
        built().encode({"user": [1], "candidates": CANDIDATES * 5_001})


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (lambda: built({"columns": ["a"]}), "columns"),
        (lambda: built(outputs=(TensorSpec("y", "FP32", (None, 3)),)), "output"),
        (lambda: built(outputs=(*SCORE, TensorSpec("z", "FP32", (None,)))), "output"),
        (lambda: built({"top_k": 0}), "top_k"),
        (lambda: built(outputs=(TensorSpec("p", "FP32", (None, 2)),)), "function"),
        (lambda: built({"function": "relu"}), "function"),
        (lambda: built({"other": 0}), "other"),
    ],
)
def test_wrong_configurations_name_the_field(made, field):
    with pytest.raises(BadTaskConfig) as refused:
        made()

    assert refused.value.field == field


def test_the_hash_is_of_all_that_changes_answers():
    digests = {
        built().digest,
        built({"top_k": 2}).digest,
        built({"function": "none"}).digest,
        built({"columns": ["a", "b", "c"]}).digest,
    }

    assert len(digests) == 4


WIDE = (TensorSpec("features", "FP32", (None, 9_000)),)


def test_a_users_features_count_for_each_candidate():
    """A short body could become many rows of them, so they are counted before any is made."""
    pipeline = built(inputs=WIDE)
    body = {"user": [0] * 8_999, "candidates": [[1]] * 222}

    (group,) = pipeline.encode(body).groups
    with pytest.raises(TooManyItems, match="at most 2,000,000 values"):
        pipeline.encode({**body, "candidates": [[1]] * 223})

    assert pipeline.count_rows(body) * pipeline.row_bytes >= 10 * sum(
        rows.nbytes for rows in group.tensors.values()
    )


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"user": [1], "candidates": CANDIDATES}, 2),
        ({"users": [[1], [2]], "candidates": [CANDIDATES, [[3]]]}, 3),
        ({"users": [[1]], "candidates": [[[1]] * 20_000]}, 10_000),
        ({"users": [[1]], "candidates": "none"}, 0),
        ({"user": [1], "candidates": None}, 0),
        ({"users": [[1]], "candidates": [5, [[1]]]}, 1),
    ],
)
def test_rows_are_counted_before_they_are_read(body, rows):
    assert built().count_rows(body) == rows


def test_a_missing_feature_may_be_not_a_number():
    pipeline = built({"defaults": {"age": None}}, NAMED)

    inputs = pipeline.prepare(
        pipeline.encode({"user": {}, "candidates": [{"price": 1, "kind": ""}]}).groups[0].tensors
    )

    assert np.isnan(inputs["age"]).all()
    assert pipeline.takes_missing
    assert not built({"defaults": {"age": 40}}, NAMED).takes_missing
