"""What callers send, against what a model takes: every datatype, every way not to fit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference.tensors.errors import (
    InvalidInput,
    MissingTensor,
    UnknownOutput,
    UnknownTensor,
    WrongDimension,
    WrongDtype,
    WrongRank,
)
from inference.tensors.prepare import check_outputs, prepare
from inference.tensors.signature import DTYPES, Signature, TensorSpec

INTEGERS = [name for name, dtype in DTYPES.items() if dtype.kind in "iu"]
FLOATS = [name for name, dtype in DTYPES.items() if dtype.kind == "f"]
NUMBERS = INTEGERS + FLOATS


def one(datatype="FP32", shape=(None, 2), **more):
    return Signature(inputs=(TensorSpec("x", datatype, shape, **more),), outputs=())


def given_x(value, datatype="FP32", shape=(None, 2), **options):
    return prepare(one(datatype, shape), {"x": value}, **options)["x"]


@pytest.mark.parametrize("datatype", DTYPES)
def test_nested_lists_and_arrays_of_every_datatype_arrive_unchanged(datatype):
    plain = {"BOOL": [[True, False]], "BYTES": [["a", "é\0"]]}.get(datatype, [[0, 1]])
    array = np.array(plain, DTYPES[datatype])

    from_list, from_array = given_x(plain, datatype), given_x(array, datatype)

    assert from_list.dtype == from_array.dtype == DTYPES[datatype]
    assert from_list.tolist() == from_array.tolist() == plain


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "BYTES"])
def test_an_array_that_fits_is_not_copied(datatype):
    array = np.zeros((3, 2), DTYPES[datatype])

    assert given_x(array, datatype) is array


@given(data=st.data(), datatype=st.sampled_from(INTEGERS), source=st.sampled_from(INTEGERS))
def test_integers_are_cast_exactly_when_they_fit(data, datatype, source):
    values = data.draw(hnp.arrays(DTYPES[source], (1, 2)))
    limits = np.iinfo(DTYPES[datatype])
    fits = all(limits.min <= value <= limits.max for value in values.ravel().tolist())

    for sent in (values, values.tolist(), values.astype(object), list(values)):
        if fits:
            assert given_x(sent, datatype).tolist() == values.tolist()
        else:
            with pytest.raises(WrongDtype):
                given_x(sent, datatype)


@pytest.mark.parametrize("datatype", ["INT8", "UINT16", "INT32"])
def test_floats_reach_an_integer_model_up_to_its_largest(datatype):
    limits = np.iinfo(DTYPES[datatype])

    assert given_x([[float(limits.min), float(limits.max)]], datatype).tolist() == [[limits.min, limits.max]]
    for beyond in (limits.min - 1.0, limits.max + 1.0):
        with pytest.raises(WrongDtype):
            given_x([[beyond, 0.0]], datatype)


@given(value=st.integers(-(2**70), 2**70), datatype=st.sampled_from(FLOATS))
def test_an_integer_reaches_a_float_model_only_unrounded(value, datatype):
    with np.errstate(over="ignore"):
        held = DTYPES[datatype].type(float(value))
    is_same = bool(np.isfinite(held)) and int(held) == value and -(2**63) <= value < 2**64

    if is_same:
        assert int(given_x([[value, 0]], datatype)[0, 0]) == value
    else:
        with pytest.raises(WrongDtype):
            given_x([[value, 0]], datatype)


@given(values=hnp.arrays(np.float64, (1, 2)), datatype=st.sampled_from(FLOATS))
def test_decimals_are_rounded_to_the_models_float_but_never_to_infinity(values, datatype):
    with np.errstate(over="ignore"):
        wanted = values.astype(DTYPES[datatype])

    for sent in (values, values.tolist()):
        if np.isfinite(wanted).all():
            assert given_x(sent, datatype).tobytes() == wanted.tobytes()
        else:
            with pytest.raises(WrongDtype):
                given_x(sent, datatype)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_whole_decimals_fit_an_integer_model(datatype):
    assert given_x([[3.0, 4]], datatype).tolist() == [[3, 4]]
    assert given_x(np.array([[3.0, 4.0]]), datatype).tolist() == [[3, 4]]


LOSSY = {
    "fraction for integer": ("INT64", [[0.5, 1.0]]),
    "fraction among integers": ("INT64", [[0.5, 1]]),
    "NaN for integer": ("INT32", [[float("nan"), 1.0]]),
    "first integer too large, as decimal": ("INT64", [[float(2**63), 0.0]]),
    "beyond 64 bits": ("INT64", [[2**64, 0]]),
    "beyond any float": ("FP64", [[10**400, 0.5]]),
    "negative for unsigned": ("UINT64", [[-1, 0]]),
    "negative decimal for unsigned": ("UINT8", [[-1.0, 0.0]]),
    "past fp16": ("FP16", [[70000.0, 0.0]]),
    "past fp32": ("FP32", [[1e39, 0.0]]),
    "integer that fp32 rounds": ("FP32", [[2**24 + 1, 0]]),
    "integer that fp64 rounds": ("FP64", [[2**53 + 1, 0]]),
    "whole number beside decimals keeps its digits": ("INT64", [[2**63, 1.0]]),
}
OF_ANOTHER_KIND = {
    "bool for integer": ("INT64", [[True, False]]),
    "bool among integers": ("INT64", [[True, 2]]),
    "bool among decimals": ("FP32", [[True, 0.5]]),
    "bool array for integer": ("INT8", np.array([[True, False]])),
    "numpy bool in a list": ("INT8", [[np.True_, np.int8(1)]]),
    "integer for bool": ("BOOL", [[1, 0]]),
    "integer array for bool": ("BOOL", np.array([[1, 0]])),
    "text for number": ("FP32", [["1.5", "2"]]),
    "text among numbers": ("FP32", [[1.5, "2"]]),
    "text array for number": ("FP32", np.array([["1", "2"]])),
    "number for text": ("BYTES", [["a", 1]]),
    "number array for text": ("BYTES", np.array([[1, 2]])),
    "null": ("FP32", [[None, 1.0]]),
    "mapping": ("FP32", {"a": 1}),
    "dates": ("INT64", np.zeros((1, 2), "datetime64[ns]")),
    "complex": ("FP32", np.zeros((1, 2), complex)),
    "lone surrogate": ("BYTES", [["\ud800", "a"]]),
    "bytes that are no UTF-8": ("BYTES", [[b"\xff", b"a"]]),
}


@pytest.mark.parametrize(
    ("datatype", "value"), (LOSSY | OF_ANOTHER_KIND).values(), ids=LOSSY | OF_ANOTHER_KIND
)
def test_what_would_become_another_value_is_refused_by_name(datatype, value):
    with pytest.raises(WrongDtype, match=r"Input 'x' .+; .+\.$") as caught:
        given_x(value, datatype)

    assert (caught.value.field, caught.value.code) == ("x", "wrong_dtype")
    assert caught.value.expected and caught.value.got


def test_numpys_own_reading_would_let_some_of_them_through():
    """The negative control of the table above: without our look at each type these are silently accepted."""
    assert np.array([[True, 2]]).dtype == np.int64
    assert np.array([["1.5", "2"]], np.float32).tolist() == [[1.5, 2.0]]
    assert np.array([["a", 1]]).tolist() == [["a", "1"]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("datatype", FLOATS)
def test_non_finite_numbers_pass_only_where_allowed(datatype, value):
    for sent in ([[value, 1.0]], np.array([[value, 1.0]], DTYPES[datatype])):
        with pytest.raises(WrongDtype, match="NaN"):
            given_x(sent, datatype)
        assert not np.isfinite(given_x(sent, datatype, allow_non_finite=True)[0, 0])


@pytest.mark.parametrize("datatype", FLOATS)
@pytest.mark.parametrize(
    "row", [[None, None], [None, 1], [0.5, None], [1, None]], ids=["only", "integer", "decimal", "last"]
)
def test_null_is_nan_where_nan_is_allowed(datatype, row):
    wanted = np.array([[np.nan if value is None else value for value in row]], DTYPES[datatype])

    got = given_x([row], datatype, allow_non_finite=True)

    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)
    with pytest.raises(WrongDtype, match="holds null, but the model accepts"):
        given_x([row], datatype)


NULL_WHERE_IT_IS_NO_NUMBER = {
    **{datatype: (datatype, [[None, 1]]) for datatype in INTEGERS},
    "bool": ("BOOL", [[None, True]]),
    "text": ("BYTES", [[None, "a"]]),
    "beside a text": ("FP32", [[None, "a"]]),
    "beside true": ("FP32", [[None, True]]),
    "beside what fp16 cannot hold": ("FP16", [[None, 70000.0]]),
    "beside an integer that fp32 rounds": ("FP32", [[None, 2**24 + 1]]),
    "NaN array for integers": ("INT64", np.array([[np.nan, 1.0]])),
}


@pytest.mark.parametrize(
    ("datatype", "value"), NULL_WHERE_IT_IS_NO_NUMBER.values(), ids=NULL_WHERE_IT_IS_NO_NUMBER
)
def test_what_allows_nan_allows_nothing_else(datatype, value):
    with pytest.raises(WrongDtype):
        given_x(value, datatype, allow_non_finite=True, online=True)


@pytest.mark.parametrize("row", [[None, 1.0], [float("inf"), 1.0]], ids=["null", "infinity"])
def test_a_caller_who_is_refused_nan_is_told_of_the_setting_and_a_job_is_not(row):
    with pytest.raises(WrongDtype, match="serving setting `allow_non_finite`"):
        given_x([row], online=True)
    with pytest.raises(WrongDtype) as caught:
        given_x([row])

    assert "allow_non_finite" not in str(caught.value)


RAW = {
    "of one length": ([[b"\xff\xfe", b"\0\0"]], "V2"),
    "alone": ([[b"\xff\0"]], "V2"),
    "of unlike length": ([[b"\xff", b"abc"]], "S4"),
    "and an empty one": ([[b"\xff", b""]], "S2"),
}


@pytest.mark.parametrize(("texts", "dtype"), RAW.values(), ids=RAW)
def test_texts_of_a_request_may_be_any_bytes(texts, dtype):
    once = given_x(texts, "BYTES", (None, None), online=True)

    assert once.dtype == np.dtype(dtype)
    assert once.tolist() == texts
    again = given_x(
        once, "BYTES", (None, None), online=True
    )  # a worker prepares what its web process has prepared
    assert (again.dtype, again.tolist()) == (once.dtype, texts)
    with pytest.raises(WrongDtype, match="not valid UTF-8"):
        given_x(texts, "BYTES", (None, None))


def test_bytes_that_are_utf8_stay_texts():
    got = given_x([["é\0".encode(), b""]], "BYTES", online=True)

    assert (got.dtype, got.tolist()) == (np.dtype(object), [["é\0", ""]])


UNFIT_BYTES = {
    "zero bytes in texts of unlike length": [[b"\xff\0", b"a"]],
    "texts that an array would blow up": [[b"\xff" * (1 << 20)], *([b"a"] for _ in range(64))],
    "beside a text with a lone surrogate": [[b"\xff", "\ud800"]],
}


@pytest.mark.parametrize("texts", UNFIT_BYTES.values(), ids=UNFIT_BYTES)
def test_bytes_that_the_runtime_would_not_get_as_they_are_are_refused(texts):
    with pytest.raises(WrongDtype, match=r"Input 'x' .+; .+\.$"):
        given_x(texts, "BYTES", (None, None), online=True)


MISSHAPEN = {
    "scalar for matrix": (1.0, WrongRank),
    "vector for matrix": ([1.0, 2.0], WrongRank),
    "cube for matrix": ([[[1.0, 2.0]]], WrongRank),
    "three columns": ([[1.0, 2.0, 3.0]], WrongDimension),
    "three columns, as array": (np.zeros((1, 3), np.float32), WrongDimension),
    "ragged": ([[1.0, 2.0], [1.0]], WrongDimension),
    "ragged below": ([[[1.0], [2.0]], [[1.0], []]], WrongDimension),
    "list beside number": ([[1.0, 2.0], 3.0], WrongRank),
}


@pytest.mark.parametrize(("value", "error"), MISSHAPEN.values(), ids=MISSHAPEN)
def test_shapes_that_do_not_fit_are_refused_by_name(value, error):
    with pytest.raises(error, match=r"Input 'x' .+; .+\.$") as caught:
        given_x(value)

    assert caught.value.field == "x"
    assert caught.value.expected and caught.value.got


@pytest.mark.parametrize("depth", [65, 1000, 100_000])
def test_depth_is_capped_without_recursion(depth):
    value = 1.0
    for _ in range(depth):
        value = [value]

    with pytest.raises(WrongRank, match="more than 64 lists deep"):
        prepare(one("FP32", (), any_rank=True), {"x": value})


def test_an_input_without_declared_shape_takes_any():
    signature = one("FP32", (), any_rank=True)

    assert prepare(signature, {"x": 1.0})["x"].shape == ()
    assert prepare(signature, {"x": [[[1.0]]]})["x"].shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("value", "shape", "wanted"),
    [
        ([], (None, 2), (0, 2)),
        ([[], []], (None, None), (2, 0)),
        ([[], []], (None, 0, 3), (2, 0, 3)),
        (np.zeros((0, 2)), (None, 2), (0, 2)),
    ],
)
@pytest.mark.parametrize("datatype", ["FP32", "INT8", "BYTES"])
def test_zero_size_axes(value, shape, wanted, datatype):
    tensor = given_x(
        value if datatype != "BYTES" else getattr(value, "tolist", lambda: value)(), datatype, shape
    )

    assert (tensor.shape, tensor.dtype) == (wanted, DTYPES[datatype])


@pytest.mark.parametrize("value", [3, np.int8(3), np.array(3)])
def test_a_scalar_input_takes_single_values(value):
    assert given_x(value, "INT64", ()).shape == ()


def test_an_empty_array_of_texts_keeps_its_own_shape():
    assert given_x(np.empty((1, 0, 2), object), "BYTES", (None, 0, None)).shape == (1, 0, 2)
    with pytest.raises(WrongDimension):
        given_x(np.empty((0, 5), object), "BYTES", (None, 4))


def test_tuples_and_lists_of_arrays_are_read_like_lists():
    assert given_x(([1.0, 2.0], (3.0, 4.0))).tolist() == [[1, 2], [3, 4]]
    assert given_x([np.array([1, 2]), np.array([3.0, 4.0])]).tolist() == [[1, 2], [3, 4]]


def test_foreign_byte_order_and_wide_floats_are_cast():
    assert given_x(np.array([[1.5, 2]], ">f4")).tolist() == [[1.5, 2]]
    assert given_x([[np.longdouble(1.5), np.longdouble(2)]]).tolist() == [[1.5, 2]]


class TestSeveralInputs:
    signature = Signature(
        inputs=(
            TensorSpec("ids", "INT64", (None, 3)),
            TensorSpec("mask", "INT64", (None, 3)),
            TensorSpec("threshold", "FP32", (), optional=True),
        ),
        outputs=(TensorSpec("scores", "FP32", (None,)), TensorSpec("label", "BYTES", (None,))),
    )
    rows = [[1, 2, 3], [4, 5, 6]]

    def test_come_out_in_the_files_order_and_optional_ones_may_be_left_out(self):
        assert list(prepare(self.signature, {"mask": self.rows, "ids": self.rows})) == ["ids", "mask"]
        assert "threshold" in prepare(self.signature, {"mask": self.rows, "ids": self.rows, "threshold": 0.5})

    def test_missing(self):
        with pytest.raises(
            MissingTensor, match=r"Input 'mask' is missing; send it as INT64 of shape \[any, 3\]\."
        ):
            prepare(self.signature, {"ids": self.rows})

    def test_a_name_that_is_almost_right(self):
        with pytest.raises(MissingTensor) as caught:
            prepare(self.signature, {"ids": self.rows, "masks": self.rows})

        assert str(caught.value) == (
            "You sent 'masks'; the model takes 'ids', 'mask', 'threshold'. "
            "Rename it to 'mask', INT64 of shape [any, 3]."
        )
        assert (caught.value.field, caught.value.got) == ("mask", "'masks'")

    def test_thousands_of_unknown_names_cost_little(self):
        with pytest.raises(MissingTensor, match="'mask' is missing"):
            prepare(self.signature, {f"zzz{number}": 1 for number in range(100_000)} | {"ids": self.rows})

    def test_unknown_and_hostile_names_are_cut_and_escaped(self):
        name = "évil\n" * 1000

        with pytest.raises(UnknownTensor, match="the model takes 'ids', 'mask', 'threshold'") as caught:
            prepare(self.signature, {"ids": self.rows, "mask": self.rows, name: 1})

        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400

    def test_outputs_that_the_model_gives(self):
        check_outputs(self.signature, None)
        check_outputs(self.signature, ["scores"])

    def test_an_unknown_output_is_told_which_there_are(self):
        with pytest.raises(UnknownOutput) as caught:
            check_outputs(self.signature, ["scores", "évil\n" * 1000])

        assert "the model has no output 'évil" in str(caught.value).lower()
        assert str(caught.value).endswith("it has 'scores', 'label'. Remove it.")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400

    def test_first_axes_may_be_of_unlike_lengths(self):
        """Only the model knows whether they count the same thing."""
        prepared = prepare(self.signature, {"ids": self.rows, "mask": self.rows[:1]})

        assert [len(prepared[name]) for name in ("ids", "mask")] == [2, 1]

    def test_survive_json(self):
        assert Signature.from_json(self.signature.to_json()) == self.signature


SHAPES = st.lists(st.none() | st.integers(0, 3), max_size=4).map(tuple)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@given(value=JSON, datatype=st.sampled_from(list(DTYPES)), shape=SHAPES)
def test_any_json_is_taken_or_refused_by_name(value, datatype, shape):
    try:
        tensor = given_x(value, datatype, shape)
    except InvalidInput as error:
        assert error.field == "x" and "'x'" in str(error)
    else:
        assert tensor.dtype == DTYPES[datatype]
        assert all(want in (None, have) for want, have in zip(shape, tensor.shape, strict=True))


def test_bytes_and_ids_may_be_missing_where_rows_may_lack_them():
    specs = tuple(TensorSpec(name, "BYTES", (None,), optional=True) for name in ("file", "id"))
    signature = Signature(
        specs,
        (),
        binary_inputs=frozenset({"file"}),
        id_inputs=frozenset({"id"}),
        may_lack=frozenset({"file", "id"}),
    )
    raw = {"file": [b"\xff", None, "text"], "id": [7, None, "eight"]}

    tensors = prepare(signature, raw, allow_non_finite=True)

    assert tensors["file"].tolist() == [b"\xff", None, "text"]
    assert tensors["id"].tolist() == ["7", None, "eight"]
    for options in ({"allow_non_finite": False}, {"allow_non_finite": False, "online": True}):
        with pytest.raises(InvalidInput):
            prepare(signature, {"file": [None]}, **options)
        with pytest.raises(InvalidInput):
            prepare(signature, {"id": [None]}, **options)


def test_a_text_may_be_missing_where_rows_may_lack_it():
    signature = Signature((TensorSpec("x", "BYTES", (None,), optional=True),), (), may_lack=frozenset({"x"}))

    for sent in (["a", None], np.array(["a", None], object)):
        assert prepare(signature, {"x": sent}, allow_non_finite=True)["x"].tolist() == ["a", None]
    for refusing, options in (
        (signature, {}),
        (replace(signature, may_lack=frozenset()), {"allow_non_finite": True}),
    ):
        with pytest.raises(WrongDtype, match="holds null"):
            prepare(refusing, {"x": ["a", None]}, **options)
    with pytest.raises(WrongDtype):
        prepare(signature, {"x": [None, 5]}, allow_non_finite=True)
    with pytest.raises(WrongRank):
        prepare(signature, {"x": [[None]]}, allow_non_finite=True)
    assert prepare(signature, {"x": []}, allow_non_finite=True)["x"].shape == (0,)
