"""The first rows of a file, from its first bytes."""

import gzip
import io
import json
import time

import numpy as np
import pytest

from inference.rows import Contract, preview_file
from inference.rows.errors import BadFile, NoPreview, RowsError
from inference.tensors.signature import Signature, TensorSpec
from tests.unit.inference.rows.tools import ABC, CSV, JSONL, NPZ, ONE, PARQUET, TWO, WIDE

ROWS = "name,a,b,c\n" + "".join(f"row {row},{row},2,3\n" for row in range(1, 9))


def preview(data, kind=CSV, contract=None, signature=WIDE, *, is_whole=True):
    content = data.encode() if isinstance(data, str) else data
    return preview_file(content, kind, contract or Contract(columns=ABC), [signature], is_whole=is_whole)


class TestWhatIsShown:
    def test_five_rows_and_what_each_column_is_for(self):
        shown = preview(ROWS, contract=Contract(columns=ABC, id="name"))

        assert [row.row for row in shown.rows] == [1, 2, 3, 4, 5]
        assert shown.rows[1].values == ("row 2", "2", "2", "3")
        assert [(column.name, column.use) for column in shown.columns] == [
            ("name", "id"), ("a", "input features"), ("b", "input features"), ("c", "input features"),
        ]  # fmt: skip
        assert (shown.inputs[0].columns, shown.inputs[0].sample) == (("a", "b", "c"), "1, 2, 3")
        assert shown.problem == ""

    def test_a_column_that_nothing_reads_is_marked(self):
        assert preview(ROWS).columns[0].use == ""

    def test_lines_of_json(self):
        lines = "".join(json.dumps({"ids": [row, 2], "text": f"t{row}"}) + "\n" for row in range(3))

        shown = preview(lines, JSONL, Contract(), TWO)

        assert [row.values for row in shown.rows] == [("[0,2]", "t0"), ("[1,2]", "t1"), ("[2,2]", "t2")]
        assert [item.columns for item in shown.inputs] == [("ids",), ("text",)]

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_arrays(self, save):
        file = io.BytesIO()
        save(file, x=np.arange(7, dtype=np.float32))

        shown = preview(file.getvalue(), NPZ, Contract(), ONE)

        assert [row.values for row in shown.rows] == [("0.0",), ("1.0",), ("2.0",), ("3.0",), ("4.0",)]

    def test_a_compressed_file(self):
        shown = preview(gzip.compress(ROWS.encode()), CSV._replace(gzipped=True))

        assert len(shown.rows) == 5

    def test_the_time_grows_with_the_columns_and_not_with_their_square(self):
        names = [f"c{place}" for place in range(10_000)]
        began = time.process_time()

        shown = preview(
            f"{','.join(names)}\n{','.join(['1'] * len(names))}\n",
            contract=Contract(columns={"features": tuple(reversed(names))}),
            signature=Signature((TensorSpec("features", "FP32", (None, None)),), ()),
        )

        assert len(shown.inputs[0].columns) == len(names)
        assert time.process_time() - began < 0.7  # a tenth of it; with the square, more than twice as long

    def test_many_columns_are_left_out_but_never_those_that_are_used(self):
        header = ",".join([*(f"more{place}" for place in range(40)), "a", "b", "c"])
        shown = preview(f"{header}\n{','.join(['1'] * 43)}\n")

        assert [column.name for column in shown.columns][-3:] == ["a", "b", "c"]
        assert shown.columns_left_out == 43 - len(shown.columns) == 19


class TestACutFile:
    def test_a_row_that_may_be_cut_off_is_not_shown(self):
        cut = "name,a,b,c\nx,1,2,3\ny,4,5,6"

        assert len(preview(cut, is_whole=False).rows) == 1
        assert len(preview(cut, is_whole=True).rows) == 2

    def test_a_quoted_cell_may_go_over_the_cut(self):
        cut = 'name,a,b,c\nx,1,2,3\n"half\nof a cell'

        assert [row.values for row in preview(cut, is_whole=False).rows] == [("x", "1", "2", "3")]

    def test_the_start_of_a_compressed_file(self):
        packed = gzip.compress(
            ("name,a,b,c\n" + "".join(f"{hash(str(n))},{n},2,3\n" for n in range(9_999))).encode()
        )

        assert len(preview(packed[:4096], CSV._replace(gzipped=True), is_whole=False).rows) == 5

    def test_a_bomb_is_unpacked_only_as_far_as_needed(self):
        packed = gzip.compress(ROWS.encode() + b"x" * (64 << 20))

        assert len(preview(packed, CSV._replace(gzipped=True)).rows) == 5


class TestWhatIsWrong:
    def test_bad_rows_have_their_reasons(self):
        shown = preview("a,b,c\n1,2,3\n1,warm,3\n1,2\n")

        assert [row.problem for row in shown.rows] == [
            "", "Column b is 'warm'; it must be a number.", "The row has 2 cells; the header has 3.",
        ]  # fmt: skip
        assert [len(row.values) for row in shown.rows] == [3, 3, 0]

    def test_a_missing_column_is_named_with_the_near_miss(self):
        shown = preview("hours\n1\n", contract=Contract(columns={"x": "hour"}), signature=ONE)

        assert (shown.inputs[0].columns, shown.inputs[0].near_miss) == ((), "hours")
        assert "has no column 'hour'" in shown.problem
        assert shown.field == "columns.x"
        assert shown.rows[0].values == ("1",)

    @pytest.mark.parametrize(
        ("data", "kind", "is_whole", "error", "said"),
        [
            (b"PAR1", PARQUET, True, NoPreview, "Parquet"),
            (b"PK", NPZ, False, NoPreview, "at its end"),
            (b"a,b,c\n", CSV, True, NoPreview, "no rows"),
            (b"a,b,c\n1,2", CSV, False, NoPreview, "longer"),
            (b"no gzip", CSV._replace(gzipped=True), True, BadFile, "damaged"),
            (b"", CSV, True, BadFile, "empty"),
            (b"\x93NUMPY", NPZ, True, BadFile, "not an NPZ"),
        ],
    )
    def test_a_file_without_a_preview_says_why(self, data, kind, is_whole, error, said):
        with pytest.raises(error, match=said):
            preview(data, kind, is_whole=is_whole)

    @pytest.mark.parametrize("kind", [CSV, JSONL, NPZ, CSV._replace(gzipped=True)])
    def test_bytes_of_any_kind_end_in_a_preview_or_a_reason(self, kind):
        noise = np.random.default_rng(1)
        for size in (0, 1, 3, 100, 5_000):
            data = noise.bytes(size)
            for is_whole in (True, False):
                try:
                    preview(data, kind, is_whole=is_whole)
                except RowsError as error:
                    assert str(error)
