import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.rows import Contract, FileFormat, Missing, read_items
from inference.tensors.signature import Signature, TensorSpec
from tests.unit.inference.rows.tools import (
    ONE,
    SCORE,
    TWO,
    WIDE,
    bad_of,
    read_all,
    rows_of,
    signature_of,
    values_of,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def lines(*rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def read(data, contract=None, signature=ONE, **sizes):
    return read_all(data, FileFormat.JSONL, contract, signature, **sizes)


@given(values=st.lists(VALUES, max_size=10), size=st.integers(1, 4), batch=st.integers(1, 4))
def test_every_value_arrives_as_python_s_reader_has_it(values, size, batch):
    data = lines(*({"x": 1, "keep": value} for value in values))

    batches = read(data, Contract(passthrough=("keep",)), rows_per_chunk=size, batch_rows=batch)

    found = [value for one in batches for value in one.passthrough["keep"]]
    assert found == json.loads(json.dumps(values))
    assert rows_of(batches) == list(range(1, len(values) + 1))


LINE = st.sampled_from(['{"x":1}', '{"x":"a"}', "[1]", "{", '{"y":1}', '{"x":null}', "1", "\x00"])


@given(rows=st.lists(LINE, max_size=12))
def test_bad_lines_are_exactly_the_others(rows):
    batches = read(lines(*rows), Contract(columns={"x": "x"}))

    good = [number for number, row in enumerate(rows, 1) if row == '{"x":1}']
    assert rows_of(batches) == good
    assert [row for row, _ in bad_of(batches)] == sorted({*range(1, len(rows) + 1)} - {*good})


def test_nested_lists_become_tensors_and_features_stand_for_the_only_input():
    rows = [{"features": [[1, 2], [3, 4]]}, {"features": [[5, 6], [7, 8]]}]

    (batch,) = read(lines(*rows), signature=signature_of("FP32", None, 2, 2))

    assert batch.tensors["x"].tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


def test_reasons_name_what_is_wrong():
    rows = [
        {"features": [1, 2, 3], "id": "a"},
        {"features": [1, 2], "id": "b"},
        {"features": [1, "2", 3], "id": "c"},
        {"id": "d"},
        {"features": [1, 2, 3]},
        {"features": [1, 2, 3], "id": None},
        {"features": [1, 2, 3], "id": {"no": 1}},
        {"features": [1, [2], 3], "id": 9},
    ]

    batches = read(lines(*rows), Contract(id="id"), WIDE, batch_rows=10, rows_per_chunk=10)

    reasons = {error.row: (error.id, error.reason) for batch in batches for error in batch.bad}
    assert rows_of(batches) == [1]
    assert "size 2 on axis 1" in reasons[2][1]
    assert "text" in reasons[3][1]
    assert reasons[4] == ("d", "The row has no 'features'.")
    assert reasons[5] == (None, "The row has no 'id'.")
    assert reasons[6][1] == "The id is empty; it must be text or a whole number."
    assert reasons[7][0] is None
    assert reasons[8][0] == 9


def test_rows_of_unlike_lengths_come_in_batches_of_their_own_in_order():
    rows = [{"ids": ids, "text": "a"} for ids in ([1, 2], [3, 4], [5], [6, 7])]

    batches = read(lines(*rows), signature=TWO, rows_per_chunk=10, batch_rows=10)

    assert [batch.tensors["ids"].tolist() for batch in batches] == [[[1, 2], [3, 4]], [[5]], [[6, 7]]]
    assert rows_of(batches) == [1, 2, 3, 4]


def test_columns_of_single_values_fill_a_vector():
    contract = Contract(columns={"features": ("a", "b", "c")})

    batches = read(lines({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": [2], "c": 3}), contract, WIDE)

    assert values_of(batches, "features") == [[1, 2, 3]]
    assert [row for row, _ in bad_of(batches)] == [2]


def test_single_values_fill_an_axis_of_one():
    assert values_of(read(lines({"x": 1}, {"x": 2}), signature=signature_of("FP32", None, 1))) == [[1], [2]]
    assert values_of(read(lines({"x": [1]}), signature=signature_of("FP32", None, 1))) == [[1]]


def test_null_is_nan_only_where_the_contract_says_so():
    data = lines({"features": [1, None, 3]})

    (batch,) = read(data, Contract(missing=Missing.NAN), WIDE)

    assert np.isnan(batch.tensors["features"][0, 1])
    assert rows_of(read(data, signature=WIDE)) == []


@pytest.mark.parametrize(
    ("signature", "tensors"),
    [
        (signature_of("FP32", 1, 2), [[[1, 2]], [[3, 4]]]),
        (signature_of("FP32", 2), [[1, 2], [3, 4]]),
        (signature_of("FP32", any_rank=True), [[[1, 2]], [[3, 4]]]),
    ],
    ids=["one row", "no rows", "of any rank"],
)
def test_models_without_a_row_axis_take_whole_tensors_one_at_a_time(signature, tensors):
    batches = read(lines({"x": [1, 2]}, {"x": [3, 4]}), signature=signature)

    assert [batch.tensors["x"].tolist() for batch in batches] == tensors


def test_objects_of_a_request_are_read_like_lines():
    items = [{"features": [1, 2, 3], "id": "a"}, {"features": [1, 2]}, 7, {"features": [4, 5, 6], "id": 4}]
    contract = Contract(id="id")

    inline = list(read_items(items, contract, WIDE, 10))
    from_file = read(lines(*items), contract, WIDE, rows_per_chunk=10, batch_rows=10)

    assert rows_of(inline) == rows_of(from_file) == [1, 4]
    assert bad_of(inline) == bad_of(from_file)
    assert list(inline[0].ids) == ["a", 4]


def test_a_batch_can_be_cut_and_thinned():
    (batch,) = read(lines(*({"x": place} for place in range(5))), rows_per_chunk=10, batch_rows=10)

    head, tail = batch.split_at(2)
    thin = batch.without(dict.fromkeys([1, 3], "it would not run"))

    assert (list(head.rows), list(tail.rows)) == ([1, 2], [3, 4, 5])
    assert tail.tensors["x"].tolist() == [2, 3, 4]
    assert (list(thin.rows), thin.tensors["x"].tolist()) == ([1, 3, 5], [0, 2, 4])
    assert bad_of([thin]) == [(2, "it would not run"), (4, "it would not run")]


def test_inputs_of_which_one_is_missing_name_it():
    signature = Signature((TensorSpec("a", "FP32", (None,)), TensorSpec("b", "FP32", (None,))), (SCORE,))

    assert bad_of(read(lines({"a": 1}), signature=signature)) == [(1, "The row has no 'b'.")]
