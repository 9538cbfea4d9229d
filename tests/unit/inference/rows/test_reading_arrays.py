"""NPZ and Parquet."""

import io
import pickle
import struct
import zipfile
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inference.rows import Contract, FileFormat, Missing, RowLimits, check, plan
from inference.rows.errors import BadContract, BadFile, FormatNotInstalled, RowFileTooLarge
from inference.rows.formats import parquet_file as arrow_module
from tests.unit.inference.rows.tools import (
    ABC,
    ONE,
    TWO,
    WIDE,
    bad_of,
    read_all,
    rows_of,
    signature_of,
    values_of,
)

TABLE = np.arange(30, dtype=np.float64).reshape(10, 3)


def npz(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def parquet(columns, **more):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **more)
    return out.getvalue()


def raw_npz(header, data=b"", name="x.npy", version=1):
    text = (header + "\n").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        length = struct.pack("<H" if version == 1 else "<I", len(text))
        archive.writestr(name, b"\x93NUMPY" + bytes([version, 0]) + length + text + data)
    return out.getvalue()


def header(descr, shape):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"


def sizes(*pairs):
    return [{"rows_per_chunk": chunk, "batch_rows": batch} for chunk, batch in pairs]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("sizes", sizes((1, 1), (3, 2), (100, 100)), ids=str)
def test_npz_rows_lie_on_the_first_axis_however_it_was_saved(order, sizes):
    cube = np.arange(10 * 2 * 3, dtype=np.float32).reshape(10, 2, 3)
    data = npz(x=np.asarray(cube, order=order), key=np.arange(10))

    batches = read_all(data, FileFormat.NPZ, Contract(id="key"), signature_of("FP32", None, 2, 3), **sizes)

    assert values_of(batches) == cube.tolist()
    assert [value for batch in batches for value in batch.ids] == list(range(10))


def test_npz_bad_rows_are_told_and_texts_pass_through():
    table = TABLE.copy()
    table[4, 1] = np.nan
    note = np.array([f"n{place}" for place in range(10)])

    batches = read_all(npz(features=table, note=note), FileFormat.NPZ, Contract(passthrough=("note",)), WIDE)

    assert rows_of(batches) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert [row for row, _ in bad_of(batches)] == [5]
    assert [value for batch in batches for value in batch.passthrough["note"]] == [
        n for n in note.tolist() if n != "n4"
    ]


def test_npz_columns_of_numbers_fill_a_vector():
    data = npz(a=np.arange(4), b=np.arange(4) * 2, c=np.arange(4.0))

    assert values_of(read_all(data, FileFormat.NPZ, Contract(columns=ABC), WIDE), "features")[2] == [2, 4, 2]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no zip", "not an NPZ"),
        (npz(x=np.array([1, "a"], object)), "only numbers, booleans and text"),
        (raw_npz(header("|O", "(1,)"), pickle.dumps([1])), "only numbers, booleans and text"),
        (raw_npz(header("<f8", "(1000000000000,)")), "declared size"),
        (raw_npz(header("<f8", "(-1,)")), "size|header"),
        (raw_npz(header("<U0", "(5,)")), "type"),
        (raw_npz("(" * 5_000), "header"),
        (raw_npz(header("<f8", "(" + "1," * 9_000 + ")")), "header"),
        (raw_npz(header("<M8[s]", "(0,)")), "type"),
        (npz(x=np.float32(1)), "single value"),
        (npz(x=np.zeros(3), y=np.zeros(4)), "different numbers"),
        (raw_npz("", name="x.txt"), "something other than arrays"),
    ],
)
def test_npz_that_lies_is_refused(data, words):
    with pytest.raises(BadFile, match=words):
        read_all(data, FileFormat.NPZ)


def test_npz_texts_that_are_no_characters_are_replaced():
    characters = struct.pack("<6I", 97, 0, 0x110000, 98, 0xD800, 0)
    data = raw_npz(header("<U2", "(3,)"), characters)

    found = values_of(read_all(data, FileFormat.NPZ, signature=signature_of("BYTES", None)))

    assert found == ["a", "\ufffdb", "\ufffd"]


@pytest.mark.parametrize("version", [1, 2])
def test_npz_is_read_in_both_versions_of_its_headers(version):
    data = raw_npz(header("<f8", "(2,)"), struct.pack("<2d", 1, 2), version=version)

    assert values_of(read_all(data, FileFormat.NPZ)) == [1, 2]


def test_npz_chunks_are_bounded_by_bytes():
    chunks = list(
        plan(io.BytesIO(npz(x=np.zeros((10, 100)))), FileFormat.NPZ, 10, limits=RowLimits(chunk_bytes=2_000))
    )

    assert [chunk.rows for chunk in chunks] == [2, 2, 2, 2, 2]


def test_npz_of_no_rows_has_no_chunks():
    assert list(plan(io.BytesIO(npz(x=np.zeros((0, 3)))), FileFormat.NPZ, 10)) == []


@pytest.mark.parametrize("group", [1, 3, 4, 100])
@pytest.mark.parametrize("sizes", sizes((1, 1), (3, 2), (5, 5), (100, 100)), ids=str)
def test_parquet_rows_come_in_order_whatever_the_groups(group, sizes):
    columns = {"a": range(10), "b": range(10), "c": [value / 4 for value in range(10)]}

    data = parquet(columns, row_group_size=group)
    batches = read_all(data, FileFormat.PARQUET, Contract(columns=ABC), WIDE, **sizes)

    assert values_of(batches, "features") == [[value, value, value / 4] for value in range(10)]
    assert rows_of(batches) == list(range(1, 11))


def test_parquet_lists_of_one_length_and_of_many():
    same = parquet({"features": [[1.0, 2, 3], [4, 5, 6]]})
    fixed = parquet({"features": pa.FixedSizeListArray.from_arrays(pa.array(range(1, 7)), 3)})
    many = parquet({"ids": [[1, 2], [3], [4, 5]], "text": ["a", "b", None]})

    for data in (same, fixed):
        batches = read_all(data, FileFormat.PARQUET, signature=WIDE)
        assert values_of(batches, "features") == [[1, 2, 3], [4, 5, 6]]
    batches = read_all(many, FileFormat.PARQUET, signature=TWO)
    assert values_of(batches, "ids") == [[1, 2], [3]]
    assert [row for row, _ in bad_of(batches)] == [3]


def test_parquet_nulls_are_bad_rows_or_nan_and_whole_numbers_stay_exact():
    data = parquet({"x": [1.0, None, 3], "key": [2**53 + 1, 2, 3], "kept": [None, 2**53 + 1, 1]})
    contract = Contract(id="key", passthrough=("kept",))

    strict = read_all(data, FileFormat.PARQUET, contract)
    loose = read_all(data, FileFormat.PARQUET, Contract(columns={"x": "x"}, missing=Missing.NAN))

    assert [value for batch in strict for value in batch.ids] == [2**53 + 1, 3]
    assert [value for batch in strict for value in batch.passthrough["kept"]] == [None, 1]
    assert [str(value) for value in values_of(loose)] == ["1.0", "nan", "3.0"]


def test_parquet_columns_of_texts_and_categories():
    keys, days = pa.array(["a", "b"]).dictionary_encode(), pa.array([1, 2], pa.date32())
    data = parquet({"x": [1.0, 2.0], "key": keys, "when": days})

    (batch,) = read_all(data, FileFormat.PARQUET, Contract(id="key", passthrough=("when",)))

    assert list(batch.ids) == ["a", "b"]
    assert [str(value) for value in batch.passthrough["when"]] == ["1970-01-02", "1970-01-03"]


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"no parquet at all", parquet({"x": [1.0]})[:-20]],
    ids=["empty", "short", "text", "cut"],
)
def test_what_is_no_parquet_is_told(data):
    with pytest.raises(BadFile, match="Parquet"):
        read_all(data, FileFormat.PARQUET)


def test_parquet_with_a_spoilt_page_is_told():
    data = bytearray(parquet({"x": np.random.default_rng(1).random(5_000)}, compression="snappy"))
    data[1_000:3_000] = b"\xff" * 2_000

    with suppress(BadFile):  # what is spoilt may still be numbers
        read_all(bytes(data), FileFormat.PARQUET, rows_per_chunk=10_000, batch_rows=1_000)


def test_parquet_flags_are_read():
    batches = read_all(
        parquet({"x": [True, False]}), FileFormat.PARQUET, signature=signature_of("BOOL", None)
    )

    assert values_of(batches) == [True, False]


def test_parquet_with_too_many_rows_is_refused():
    with pytest.raises(RowFileTooLarge):
        list(plan(io.BytesIO(parquet({"x": range(11)})), FileFormat.PARQUET, 5, limits=RowLimits(rows=10)))


def test_parquet_has_ten_times_as_many_columns_as_npz_has_arrays():
    data = parquet({f"x{place}": [1] for place in range(21)})
    contract = Contract(columns={"x": "x0"})

    with pytest.raises(BadFile, match="21 columns; the limit is 20"):
        list(plan(io.BytesIO(data), FileFormat.PARQUET, 5, limits=RowLimits(members=2)))
    assert list(plan(io.BytesIO(data), FileFormat.PARQUET, 5, limits=RowLimits(members=3)))
    assert check(io.BytesIO(data), FileFormat.PARQUET, contract, [ONE]).inputs


def test_parquet_needs_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(FormatNotInstalled, match="parquet"):
        arrow_module.load_pyarrow()


def test_lists_do_not_go_together_with_other_columns():
    data = npz(a=np.zeros((2, 2)), b=np.zeros(2))

    with pytest.raises(BadContract, match="'a' holds lists"):
        check(io.BytesIO(data), FileFormat.NPZ, Contract(columns={"features": ("a", "b")}), [WIDE])


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (npz(a=np.zeros(2), b=np.ones(2), c=np.ones(2)), FileFormat.NPZ),
        (parquet({"a": [0.0], "b": [1.0], "c": [1.0]}), FileFormat.PARQUET),
        (b"a,b,c\n0,1,1\n", FileFormat.CSV),
        (b'{"a":0,"b":1,"c":1}\n', FileFormat.JSONL),
    ],
    ids=["npz", "parquet", "csv", "jsonl"],
)
def test_columns_are_not_taken_by_their_place(data, format):
    with pytest.raises(BadContract, match=r"inputs are 'features'.*the file has 'a', 'b', 'c'"):
        check(io.BytesIO(data), format, Contract(), [WIDE])

    assert check(io.BytesIO(data), format, Contract(columns=ABC), [WIDE]).inputs[0].columns == ABC["features"]


def test_check_says_what_is_read_for_what():
    layout = check(io.BytesIO(npz(x=np.zeros(2))), FileFormat.NPZ, Contract(), [ONE])

    assert [(item.spec.name, item.columns) for item in layout.inputs] == [("x", ("x",))]
