"""CSV: a header line, commas, quotes as in `csv.reader`, UTF-8 with or without a byte order mark."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import IO, Any

import numpy as np

from inference.rows.batches import Array, BadRow, RowWindow, is_id
from inference.rows.chunk_plans import (
    BOM,
    ChunkPlan,
    Ends,
    RowEnds,
    chunks_of_lines,
    is_utf8,
    needs_reader,
    read_planned,
)
from inference.rows.contract import Contract, Missing, RowError
from inference.rows.errors import BadFile
from inference.rows.files import RowLimits
from inference.rows.layout import FileColumns, InputColumns, Layout

_EMPTY_LINES_BYTES = 2**20  # allowed before the header
_EMPTY_FILE = "The file is empty; a CSV file starts with a line of column names."
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_EXACT_AS_FLOAT = ("FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32")


class CsvFile:
    def __init__(self, file: IO[bytes], limits: RowLimits) -> None:
        self._file = file
        self._limits = limits

    def plan(self, rows_per_chunk: int) -> Iterator[ChunkPlan]:
        ends = iter(RowEnds(self._file, self._limits, quoted=True))
        first = next(ends, None)
        if first is None:
            raise BadFile(_EMPTY_FILE)

        def rest() -> Iterator[Ends]:
            yield first[1:]
            yield from ends

        yield from chunks_of_lines(rest(), rows_per_chunk, self._limits, byte_from=int(first[0]))

    def columns(self) -> FileColumns:
        return FileColumns(self._header())

    def _header(self) -> tuple[str, ...]:
        self._file.seek(0)
        head = self._file.read(len(BOM) + self._limits.row_bytes + _EMPTY_LINES_BYTES)
        first: list[str] = []
        with suppress(csv.Error):  # planning reports the error and its place
            first = next(filter(None, _reader(head.removeprefix(BOM))), [])
        if not first:
            raise BadFile(_EMPTY_FILE)
        names = tuple(name.strip() for name in first)
        if len(names) > self._limits.members * 10:
            raise BadFile(
                f"The header has {len(names):,} columns; the limit is {self._limits.members * 10:,}."
            )
        if "".join(names).encode("utf-8", "replace").decode() != "".join(names):
            raise BadFile("The header is not UTF-8; save the file as UTF-8.")
        if len(set(names)) != len(names):
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise BadFile(f"The header has {twice[:80]!r} twice; column names must be unique.")
        return names

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[RowWindow]:
        table = _Table({name: place for place, name in enumerate(self._header())}, layout, contract.missing)
        data = read_planned(self._file, plan)
        row = plan.first_row
        if not needs_reader(data) and is_utf8(data):
            lines = [line for line in data.replace(b"\r\n", b"\n").decode().split("\n") if line]
            for at in range(0, len(lines), size):
                yield table.quick(lines[at : at + size], row + at)
            return
        rows = (cells for cells in _reader(data) if cells)
        while part := list(islice(rows, size)):
            yield table.careful(part, row)
            row += len(part)


class _Table:
    """Turns rows of one file into windows."""

    def __init__(self, places: dict[str, int], layout: Layout, missing: Missing) -> None:
        self.places = places
        self.layout = layout
        self.allow_nan = missing is Missing.NAN

    def quick(self, lines: list[str], first_row: int) -> RowWindow:
        """Parse all numbers at once if possible: three times as fast as cell by cell."""

        def careful() -> RowWindow:
            return self.careful(list(csv.reader(lines)), first_row)

        if any(item.spec.datatype not in _EXACT_AS_FLOAT for item in self.layout.inputs):
            return careful()
        if {line.count(",") for line in lines} != {len(self.places) - 1}:
            return careful()
        try:
            values = _Lines(lines, self)
        except ValueError:
            return careful()
        return RowWindow(range(first_row, first_row + len(lines)), values, careful=careful)

    def careful(self, cells: list[list[str]], first_row: int) -> RowWindow:
        """Keep the rows with as many cells as the header, and report the others."""
        width = len(self.places)
        rows: list[int] = []
        good: list[list[str]] = []
        bad: list[RowError] = []
        for row, values in enumerate(cells, start=first_row):
            if len(values) != width:
                reason = f"The row has {len(values):,} cells; the header has {width:,}."
            elif not _is_clean(values):
                reason = "The row is not UTF-8."
            else:
                rows.append(row)
                good.append(values)
                continue
            bad.append(RowError(row, self._id_of(values, row), reason))
        return RowWindow(rows, _Cells(good, self), tuple(bad))

    def _id_of(self, values: Sequence[str], row: int) -> str | int | None:
        if not self.layout.id:
            return row
        place = self.places[self.layout.id]
        has_id = place < len(values) and _is_clean(values) and is_id(values[place])
        return values[place] if has_id else None


class _Lines:
    """Lines whose numbers are parsed all at once."""

    def __init__(self, lines: list[str], table: _Table) -> None:
        self._lines = lines
        self._places = table.places
        columns = [column for item in table.layout.inputs for column in item.columns]
        self._order = {column: at for at, column in enumerate(dict.fromkeys(columns))}
        used = [table.places[column] for column in self._order]
        self._numbers: Array = np.loadtxt(
            lines, delimiter=",", dtype=np.float64, comments=None, usecols=used, ndmin=2
        )
        if len(self._numbers) != len(lines):  # a line of spaces is a bad row
            raise ValueError

    def __len__(self) -> int:
        return len(self._lines)

    def raw(self, item: InputColumns, part: slice) -> Array:
        places = [self._order[column] for column in item.columns]
        first = places[0]
        if places == list(range(first, first + len(places))):
            block = self._numbers[part, first : first + len(places)]
        else:
            block = self._numbers[part][:, places]
        return _in_shape(block, item)

    def of(self, column: str, part: slice) -> Sequence[str]:
        place = self._places[column]
        return [line.split(",", place + 1)[place] for line in self._lines[part]]


class _Cells:
    """Rows split into cells; each column is converted separately, so that errors can name it."""

    def __init__(self, rows: list[list[str]], table: _Table) -> None:
        self._rows = rows
        self._table = table

    def __len__(self) -> int:
        return len(self._rows)

    def raw(self, item: InputColumns, part: slice) -> Any:
        rows = self._rows[part]
        kind = item.spec.dtype.kind
        may_lack = item.may_lack and self._table.allow_nan
        columns = [self._read(column, rows, kind, may_lack=may_lack) for column in item.columns]
        return _in_shape(np.stack(columns, axis=1), item)

    def of(self, column: str, part: slice) -> Sequence[str]:
        place = self._table.places[column]
        return [row[place] for row in self._rows[part]]

    def _read(self, column: str, rows: Sequence[Sequence[str]], kind: str, *, may_lack: bool) -> Array:
        place = self._table.places[column]
        cells = [row[place] for row in rows]
        if kind == "O":
            texts = np.empty(len(cells), object)
            texts[:] = [cell or None for cell in cells] if may_lack else cells
            return texts
        if kind == "b":
            return np.array([_truth(cell, column) for cell in cells], np.bool_)
        if kind in "iu":
            return _integers(cells, column)
        return _decimals(cells, column, allow_nan=self._table.allow_nan)


def _in_shape(block: Array, item: InputColumns) -> Array:
    """Reshape rows × columns to the shape of the input."""
    tail = item.tail or ()
    return block.reshape((len(block), *tail) if item.has_row_axis else tail)


def _truth(cell: str, column: str) -> bool:
    word = cell.strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise BadRow(f"Column {column} is {_quoted(cell)}; it must be true or false.")
    return word in _TRUE


def _decimals(cells: Sequence[str], column: str, *, allow_nan: bool) -> Array:
    if _is_plain("".join(cells)):
        with suppress(ValueError):
            return np.fromiter(map(float, cells), np.float64, len(cells))
    return np.array([_number(cell, column, allow_nan=allow_nan) for cell in cells], np.float64)


def _integers(cells: Sequence[str], column: str) -> Array:
    numbers: list[int] = []
    for cell in cells:
        try:
            numbers.append(_int(cell))
        except ValueError:
            number = _number(cell, column, allow_nan=False)
            if not number.is_integer() or abs(number) >= 2**53:
                raise BadRow(f"Column {column} is {_quoted(cell)}; it must be a whole number.") from None
            numbers.append(int(number))
    for dtype in (np.int64, np.uint64):
        try:
            return np.array(numbers, dtype)
        except OverflowError:
            continue
    raise BadRow(f"Column {column} has a whole number that does not fit into 64 bits.")


def _int(cell: str) -> int:
    if len(cell) > 40 or not _is_plain(cell):
        raise ValueError
    return int(cell)


def _number(cell: str, column: str, *, allow_nan: bool) -> float:
    if allow_nan and not cell.strip():
        return float("nan")
    with suppress(ValueError):
        if _is_plain(cell):
            return float(cell)
    raise BadRow(f"Column {column} is {_quoted(cell)}; it must be a number.")


def _is_plain(text: str) -> bool:
    """Python also accepts 1_000 and digits of other scripts as numbers; we do not."""
    return text.isascii() and "_" not in text


def _quoted(cell: str) -> str:
    return repr(cell[:40]) if cell.strip() else "empty"


def _reader(data: bytes) -> Iterator[list[str]]:
    # Invalid UTF-8 becomes lone surrogates, so that it spoils only its own row.
    return csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline=""))


def _is_clean(values: Sequence[str]) -> bool:
    text = "".join(values)
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
