import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.rows import ChunkPlan, Contract, FileFormat, read_chunk
from inference.rows.errors import BadFile
from inference.rows.formats import csv_file
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

ONLY_X = Contract(columns={"x": "x"})


CELL = st.text(st.sampled_from('ab1,"\r\n é'), max_size=6)
NUMBER = st.sampled_from(
    ["1", "-2.5", " 3 ", "1e3", "", "x", "1_0", "nan", "inf", "٣", "1,5", "0x1", "1\t", '"', "1 2"]
)


@given(cells=st.lists(st.tuples(CELL, CELL), max_size=12), size=st.integers(1, 5), batch=st.integers(1, 4))
def test_every_text_arrives_as_python_s_reader_has_it(cells, size, batch):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows([("x", "a", "b"), *(("1", *pair) for pair in cells)])
    contract = Contract(columns={"x": "x"}, passthrough=("a", "b"))

    batches = read_all(out.getvalue().encode(), contract=contract, rows_per_chunk=size, batch_rows=batch)

    found = [pair for one in batches for pair in zip(*one.passthrough.values(), strict=True)]
    assert found == cells
    assert rows_of(batches) == list(range(1, len(cells) + 1))
    assert bad_of(batches) == []


@given(text=st.text(st.sampled_from('1,"\r\n '), max_size=60), size=st.integers(1, 5))
def test_rows_of_another_width_are_bad_and_all_others_good(text, size):
    expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row]

    batches = read_all(b"x,y\n" + text.encode(), contract=Contract(columns={"x": "x"}), rows_per_chunk=size)

    good = {number for number, row in enumerate(expected, 1) if len(row) == 2 and row[0].strip().isdigit()}
    assert set(rows_of(batches)) == good
    assert {row for row, _ in bad_of(batches)} == set(range(1, len(expected) + 1)) - good


@given(cells=st.lists(NUMBER, max_size=8))
def test_quick_and_careful_reading_agree(cells):
    """A quote anywhere in the chunk makes it careful; the numbers must not hang on that."""
    lines = [cell for cell in cells if cell and "," not in cell and '"' not in cell]
    text = "x,t\n" + "".join(f"{line},t\n" for line in lines)
    quick = read_all(text.encode(), contract=ONLY_X, rows_per_chunk=100)
    careful = read_all((text + '0,"t"\n').encode(), contract=ONLY_X, rows_per_chunk=100)

    assert values_of(careful) == [*values_of(quick), 0]
    assert bad_of(careful) == bad_of(quick)


def test_lines_without_quotes_are_read_at_once(monkeypatch):
    monkeypatch.setattr(csv_file, "_Cells", None)  # only careful reading needs it

    batches = read_all(
        b"id,a,b,c\r\nq,1,2,3\r\n\r\nr,4,5,6", contract=Contract(columns=ABC, id="id"), signature=WIDE
    )

    assert values_of(batches, "features") == [[1, 2, 3], [4, 5, 6]]
    assert batches[0].ids == ["q", "r"]
    assert batches[0].tensors["features"].dtype == np.float32


def test_bad_rows_are_told_and_their_neighbours_go_on_in_one_batch():
    text = b"id,a,b,c\n1,1,2,3\n2,1,x,3\n3,1,2\n4,1,,3\n5,1,2,3,4\n6,1,nan,3\n7,1,inf,3\n8,4,5,6\n9,1e39,2,3\n\xff,1,2,3\n"

    (batch,) = read_all(
        text, contract=Contract(columns=ABC, id="id"), signature=WIDE, rows_per_chunk=20, batch_rows=20
    )

    assert list(batch.rows) == [1, 8]
    assert batch.ids == ["1", "8"]
    assert batch.tensors["features"].tolist() == [[1, 2, 3], [4, 5, 6]]
    reasons = {error.row: (error.id, error.reason) for error in batch.bad}
    assert reasons[2] == ("2", "Column b is 'x'; it must be a number.")
    assert reasons[3] == ("3", "The row has 3 cells; the header has 4.")
    assert reasons[4] == ("4", "Column b is empty; it must be a number.")
    assert reasons[5] == ("5", "The row has 5 cells; the header has 4.")
    assert "NaN or an infinite" in reasons[6][1]
    assert "NaN or an infinite" in reasons[7][1]
    assert "beyond" in reasons[9][1]
    assert reasons[10] == (None, "The row is not UTF-8.")


def test_missing_may_be_nan_where_the_contract_says_so_and_infinity_never():
    contract = Contract.from_json({"columns": {"x": "x"}, "missing": "nan"})

    batches = read_all(b"x,y\n1,a\n,b\nNaN,c\ninf,d\nx,e\n", contract=contract, batch_rows=10)

    assert [str(value) for value in values_of(batches)] == ["1.0", "nan", "nan"]
    assert [row for row, _ in bad_of(batches)] == [4, 5]


@pytest.mark.parametrize(
    ("datatype", "cells", "values", "bad"),
    [
        ("INT64", ["1", "-9007199254740993", "2.0"], [1, -9007199254740993, 2], []),
        ("INT64", ["2.5", "9223372036854775808", "x"], [], [1, 2, 3]),
        ("UINT64", ["18446744073709551615", "-1"], [18446744073709551615], [2]),
        ("INT8", ["127", "128", "1.0"], [127, 1], [2]),
        ("BOOL", ["true", "FALSE", "1", "0", "yes"], [True, False, True, False], [5]),
        ("BYTES", ["a", "", "=1"], ["a", "", "=1"], []),
        ("FP16", ["0.5", "70000"], [0.5], [2]),
        ("FP64", ["0.1", "1e999"], [0.1], [2]),
    ],
)
def test_cells_become_the_model_s_type_or_a_bad_row(datatype, cells, values, bad):
    text = "x,y\n" + "".join(f"{cell},\n" for cell in cells)

    batches = read_all(text.encode(), contract=ONLY_X, signature=signature_of(datatype, None))

    assert values_of(batches) == values
    assert [row for row, _ in bad_of(batches)] == bad


def test_several_inputs_take_their_own_columns():
    text = b"text,t0,t1\nhello,1,2\n,3,4\n"
    contract = Contract(columns={"ids": ("t0", "t1")})

    (batch,) = read_all(text, contract=contract, signature=TWO)

    assert batch.tensors["ids"].tolist() == [[1, 2], [3, 4]]
    assert batch.tensors["text"].tolist() == ["hello", ""]


def test_columns_fold_into_the_shape_of_an_input():
    names = ",".join(f"p{place}" for place in range(12))
    text = f"{names}\n{','.join(map(str, range(12)))}\n".encode()

    contract = Contract(columns={"x": tuple(names.split(","))})
    (batch,) = read_all(text, contract=contract, signature=signature_of("FP32", None, 3, 2, 2))

    assert batch.tensors["x"].shape == (1, 3, 2, 2)
    assert batch.tensors["x"].ravel().tolist() == list(range(12))


def test_a_model_without_a_row_axis_gets_one_row_at_a_time():
    contract = Contract(columns={"x": ("a", "b")})
    batches = read_all(b"a,b\n1,2\n3,4\nx,5\n", contract=contract, signature=signature_of("FP32", 1, 2))
    whole = read_all(b"a,b\n1,2\n3,4\n", contract=contract, signature=signature_of("FP32", 2))

    assert [batch.tensors["x"].tolist() for batch in batches if batch.rows] == [[[1, 2]], [[3, 4]]]
    assert [batch.tensors["x"].tolist() for batch in whole] == [[1, 2], [3, 4]]
    assert [row for row, _ in bad_of(batches)] == [3]


def test_columns_that_nobody_names_are_left_out():
    text = b"name,a,b,c,note\nq,1,2,3,z\n"

    (batch,) = read_all(text, contract=Contract(columns=ABC), signature=WIDE)

    assert batch.tensors["features"].tolist() == [[1, 2, 3]]
    assert list(batch.ids) == [1]


def test_a_file_that_shrank_is_told():
    with pytest.raises(BadFile, match="shorter"):
        list(read_chunk(io.BytesIO(b"x\n1\n"), FileFormat.CSV, ChunkPlan(0, 1, 5, 2, 12), Contract(), ONE, 5))


def test_a_column_that_is_named_twice_is_refused_by_its_name():
    with pytest.raises(BadFile, match="has 'b' twice"):
        read_all(b"a,b,c,b\n1,2,3,4\n", FileFormat.CSV)


def test_every_row_bad_gives_no_tensors_and_all_reasons():
    batches = read_all(b"a,b,c\nx,1,1\ny,1,1\n", FileFormat.CSV, Contract(columns=ABC), WIDE)

    assert rows_of(batches) == []
    assert [row for row, _ in bad_of(batches)] == [1, 2]
    assert batches[0].first_row == 1
