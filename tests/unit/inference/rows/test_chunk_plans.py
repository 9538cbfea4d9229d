import csv
import io
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.rows import FileFormat, kind_of, plan
from inference.rows import chunk_plans as lines_module
from inference.rows.errors import BadFile, RowFileTooLarge, RowTooLong, UnknownFormat
from inference.rows.files import RowLimits

CSV_TEXT = st.text(st.sampled_from('ab1,"\r\n é\x00\x0b\x85\u2028'), max_size=80)
LINES = st.lists(
    st.one_of(
        st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.floats(allow_nan=False)), st.just("")
    ),
    max_size=20,
)


@pytest.fixture(scope="module", params=[1, 3, 16, 2**20])
def block(request):
    """Blocks so small that every place of a text becomes an edge."""
    before = lines_module._BLOCK
    lines_module._BLOCK = request.param
    yield request.param
    lines_module._BLOCK = before


@given(text=CSV_TEXT, rows_per_chunk=st.integers(1, 5), bom=st.booleans())
def test_csv_chunks_hold_the_rows_of_python_s_reader(block, text, rows_per_chunk, bom):
    data = (b"\xef\xbb\xbf" if bom else b"") + b"h\n" + text.encode()
    expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row]

    chunks = list(plan(io.BytesIO(data), FileFormat.CSV, rows_per_chunk))

    pieces = [data[chunk.byte_from : chunk.byte_to].decode() for chunk in chunks]
    found = [[row for row in csv.reader(io.StringIO(piece, newline="")) if row] for piece in pieces]
    assert [row for rows in found for row in rows] == expected
    assert [len(rows) for rows in found] == [chunk.rows for chunk in chunks]
    assert all(chunk.rows == rows_per_chunk for chunk in chunks[:-1])
    _check_numbers(chunks)


@given(header=CSV_TEXT.filter(lambda text: text.strip("\r\n")), rows=st.integers(0, 3))
def test_csv_header_is_the_first_row_whatever_it_holds(block, header, rows):
    text = header + "\n" + "1\n" * rows
    expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row][1:]

    chunks = list(plan(io.BytesIO(text.encode()), FileFormat.CSV, 100))

    assert sum(chunk.rows for chunk in chunks) == len(expected)


@given(
    rows=LINES, ending=st.sampled_from(["\n", "\r\n"]), last=st.booleans(), rows_per_chunk=st.integers(1, 5)
)
def test_jsonl_chunks_hold_the_lines(block, rows, ending, last, rows_per_chunk):
    text = ending.join("" if row == "" else json.dumps(row, ensure_ascii=False) for row in rows) + (
        ending if last else ""
    )
    data = text.encode()

    chunks = list(plan(io.BytesIO(data), FileFormat.JSONL, rows_per_chunk))

    lines = [
        line
        for chunk in chunks
        for line in data[chunk.byte_from : chunk.byte_to].split(b"\n")
        if line not in (b"", b"\r")
    ]
    assert [json.loads(line) for line in lines] == [row for row in rows if row != ""]
    assert sum(chunk.rows for chunk in chunks) == len(lines)
    _check_numbers(chunks)


def _check_numbers(chunks):
    row = 1
    for index, chunk in enumerate(chunks):
        assert (chunk.index, chunk.first_row) == (index, row)
        row += chunk.rows
    assert all(before.byte_to == after.byte_from for before, after in itertools.pairwise(chunks))


def test_a_chunk_ends_at_its_bytes_and_holds_one_row_at_least():
    limits = RowLimits(chunk_bytes=20)
    text = b"h\n" + b"12345678\n" * 5 + b"x" * 40 + b"\n1\n"

    chunks = list(plan(io.BytesIO(text), FileFormat.CSV, 100, limits=limits))

    assert [chunk.rows for chunk in chunks] == [2, 2, 1, 1, 1]


@pytest.mark.parametrize("format", [FileFormat.CSV, FileFormat.JSONL])
def test_long_line_is_refused_before_it_is_held(format):
    class Endless(io.RawIOBase):
        read_bytes = 0

        def seek(self, offset, whence=0):
            return 0

        def read(self, size=-1):
            Endless.read_bytes += size
            return b"x" * size

    with pytest.raises(RowTooLong):
        list(plan(Endless(), format, 10))
    assert Endless.read_bytes < 4 * 2**20


def test_line_over_the_limit_in_a_whole_block_is_refused():
    limits = RowLimits(row_bytes=100)

    with pytest.raises(RowTooLong):
        list(plan(io.BytesIO(b'{"a":"' + b"x" * 100 + b'"}\n'), FileFormat.JSONL, 10, limits=limits))
    assert list(plan(io.BytesIO(b'{"a":"' + b"x" * 80 + b'"}\n'), FileFormat.JSONL, 10, limits=limits))


def test_quote_that_nobody_closes_is_told_with_its_row():
    text = b'h\n1\n2\n"open\n' + b"1,2\n" * 200_000

    with pytest.raises(RowTooLong, match=r"Row 3 .*quote"):
        list(plan(io.BytesIO(text), FileFormat.CSV, 10))


def test_a_long_row_of_short_cells_is_a_row():
    cells = b",".join([b"0.123456"] * 50_000)

    (chunk,) = plan(io.BytesIO(cells.replace(b"0.123456", b"h") + b"\n" + cells + b"\n"), FileFormat.CSV, 10)

    assert chunk.rows == 1


def test_more_rows_than_a_job_may_hold_are_refused():
    with pytest.raises(RowFileTooLarge):
        list(plan(io.BytesIO(b"h\n" + b"1\n" * 11), FileFormat.CSV, 3, limits=RowLimits(rows=10)))
    assert list(plan(io.BytesIO(b"h\n" + b"1\n" * 10), FileFormat.CSV, 3, limits=RowLimits(rows=10)))


def test_more_bytes_than_a_job_may_hold_are_refused():
    with pytest.raises(RowFileTooLarge):
        list(plan(io.BytesIO(b"{}\n" * 10), FileFormat.JSONL, 3, limits=RowLimits(bytes=29)))


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"], ids=["nothing", "lines", "mark"])
def test_csv_without_a_header_is_refused_and_empty_jsonl_has_no_rows(data):
    with pytest.raises(BadFile, match="column names"):
        list(plan(io.BytesIO(data), FileFormat.CSV, 10))
    assert list(plan(io.BytesIO(data), FileFormat.JSONL, 10)) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rows.csv", ("csv", False)),
        ("ROWS.CSV.GZ", ("csv", True)),
        ("a.b.jsonl", ("jsonl", False)),
        ("x.ndjson.gz", ("jsonl", True)),
        ("x.npz", ("npz", False)),
        ("x.parquet", ("parquet", False)),
    ],
)
def test_format_is_told_by_the_name(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize("name", ["x", "x.txt", "x.npz.gz", "x.parquet.gz", "csv"])
def test_other_names_are_refused(name):
    with pytest.raises(UnknownFormat):
        kind_of(name)
