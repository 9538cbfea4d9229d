import pytest

from inference.rows import Contract, OnRowError, RowError
from inference.rows.contract import MAX_ERROR_LIMIT
from inference.rows.errors import BadContract, TooManyBadRows
from inference.rows.layout import FileColumns, lay_out
from inference.tensors.signature import Signature, TensorSpec
from tests.unit.inference.rows.tools import ONE, SCORE, TWO, WIDE, signature_of

GIVEN = {
    "columns": {"features": ["a", "b", "c"], "other": "d"},
    "id": "key",
    "passthrough": ["when"],
    "on_row_error": "skip",
    "error_limit": 5,
    "missing": "nan",
}


def test_a_contract_survives_its_json():
    contract = Contract.from_json(GIVEN)

    assert contract.to_json() == GIVEN
    assert Contract.from_json(contract.to_json()) == contract
    assert Contract.from_json(None) == Contract.from_json({}) == Contract()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "row_contract"),
        ({"column": {}}, "column"),
        ({"columns": ["a"]}, "columns"),
        ({"columns": {"x": 1}}, "columns.x"),
        ({"columns": {"x": []}}, "columns.x"),
        ({"columns": {"x": ""}}, "columns.x"),
        ({"columns": {"": "a"}}, "columns"),
        ({"columns": {"x": ["a", 2]}}, "columns.x[1]"),
        ({"columns": {"x": ["a", "a"]}}, "columns.x"),
        ({"columns": {"x": ["a"] * 10_001}}, "columns.x"),
        ({"columns": {str(place): "a" for place in range(101)}}, "columns"),
        ({"id": ""}, "id"),
        ({"id": ["a"]}, "id"),
        ({"id": "a" * 201}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"passthrough": "a"}, "passthrough"),
        ({"passthrough": ["a", None]}, "passthrough[1]"),
        ({"id": "a", "passthrough": ["a"]}, "passthrough"),
        ({"on_row_error": "ignore"}, "on_row_error"),
        ({"on_row_error": ["skip"]}, "on_row_error"),
        ({"error_limit": -1}, "error_limit"),
        ({"error_limit": True}, "error_limit"),
        ({"error_limit": MAX_ERROR_LIMIT + 1}, "error_limit"),
        ({"error_limit": "5"}, "error_limit"),
        ({"missing": None}, "missing"),
    ],
)
def test_what_is_wrong_is_named(data, field):
    with pytest.raises(BadContract) as caught:
        Contract.from_json(data)

    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


def test_errors_are_allowed_up_to_the_limit_where_rows_are_skipped():
    skip = Contract(on_row_error=OnRowError.SKIP, error_limit=2)

    skip.check_errors(2)
    Contract().check_errors(0)
    with pytest.raises(TooManyBadRows, match=r"More than 2 rows.*Row 7: x"):
        skip.check_errors(3, RowError(7, None, "x"))
    with pytest.raises(TooManyBadRows, match="fail at the first one"):
        Contract(error_limit=2).check_errors(1)


FILE = FileColumns(("key", "a", "b", "c", "note"))


LISTS = frozenset({"features"})
REST = FileColumns(("features", "more"), open_ended=True, lists=LISTS)
FOUND = {
    "in order": (Contract(columns={"x": ("c", "a")}), signature_of("FP32", None, 2), FILE, ("c", "a")),
    "one": (Contract(columns={"x": "b"}), ONE, FILE, ("b",)),
    "by name": (Contract(), ONE, FileColumns(("x", "y")), ("x",)),
    "list": (Contract(), WIDE, FileColumns(("features",), lists=LISTS), ("features",)),
    "rest": (Contract(), ONE, REST, ("features",)),
}


@pytest.mark.parametrize(("contract", "signature", "have", "columns"), FOUND.values(), ids=FOUND)
def test_columns_are_found(contract, signature, have, columns):
    assert lay_out(contract, signature, have).inputs[0].columns == columns


@pytest.mark.parametrize(
    ("contract", "signature", "field"),
    [
        (Contract(columns={"y": "a"}), ONE, "columns"),
        (Contract(columns={"x": "z"}), ONE, "columns.x"),
        (Contract(columns={"x": ("a", "b")}), ONE, "columns.x"),
        (Contract(columns={"features": ("a", "b")}), WIDE, "columns.features"),
        (Contract(passthrough=("c",)), WIDE, "columns.features"),
        (Contract(), ONE, "columns.x"),
        (Contract(columns={"x": "a"}, id="z"), ONE, "id"),
        (Contract(columns={"x": "a"}, passthrough=("note", "z")), ONE, "passthrough"),
        (Contract(columns={"x": "a"}, passthrough=("row",)), ONE, "id"),
        (Contract(columns={"x": "a"}, id="score"), ONE, "id"),
        (Contract(), TWO, "columns.ids"),
        (Contract(columns={"x": ("a", "b", "c")}), signature_of("FP32", None, 2, None), "columns.x"),
    ],
)
def test_what_does_not_fit_the_file_is_named(contract, signature, field):
    with pytest.raises(BadContract) as caught:
        lay_out(contract, signature, FILE)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("signature", "have"),
    [
        (WIDE, FileColumns(("a", "b", "c"))),
        (ONE, FileColumns(("a",))),
        (WIDE, FileColumns(("a", "b", "c"), open_ended=True)),
        (TWO, FileColumns(("a", "b"))),
    ],
    ids=["as many as a row has numbers", "one for one", "JSON", "two for two"],
)
def test_columns_that_match_nothing_are_not_taken_by_their_place(signature, have):
    with pytest.raises(BadContract) as caught:
        lay_out(Contract(), signature, have)

    assert all(repr(name) in str(caught.value) for name in have.names)
    assert all(repr(spec.name) in str(caught.value) for spec in signature.inputs)


def test_optional_inputs_are_read_only_where_they_are_named():
    signature = Signature(
        (TensorSpec("x", "FP32", (None,)), TensorSpec("w", "FP32", (None,), optional=True)), (SCORE,)
    )
    have = FileColumns(("x", "w"))

    assert [item.spec.name for item in lay_out(Contract(), signature, have).inputs] == ["x"]
    both = lay_out(Contract(columns={"w": "w"}), signature, have)
    assert [item.spec.name for item in both.inputs] == ["x", "w"]
