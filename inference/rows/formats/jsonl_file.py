"""JSONL: one object per line; a value is a number, text, or lists nested like the axes of the input."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any

import orjson

from inference.rows.batches import BadRow, RowWindow, is_id, nan_for_null
from inference.rows.chunk_plans import BOM, ChunkPlan, RowEnds, chunks_of_lines, read_planned
from inference.rows.contract import Contract, Missing, RowError
from inference.rows.files import RowLimits
from inference.rows.layout import FileColumns, InputColumns, Layout

_SAMPLE = 100
_SAMPLE_BYTES = 2**20


class JsonlFile:
    def __init__(self, file: IO[bytes], limits: RowLimits) -> None:
        self._file = file
        self._limits = limits

    def plan(self, rows_per_chunk: int) -> Iterator[ChunkPlan]:
        self._file.seek(0)
        start = len(BOM) if self._file.read(len(BOM)) == BOM else 0
        ends = RowEnds(self._file, self._limits, quoted=False)
        yield from chunks_of_lines(ends, rows_per_chunk, self._limits, byte_from=start)

    def columns(self) -> FileColumns:
        self._file.seek(0)
        head = self._file.read(self._limits.row_bytes + _SAMPLE_BYTES).removeprefix(BOM)
        rows = []
        for line in islice(_lines(head), _SAMPLE):
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # reading reports it, and the last line may be cut off
            rows += [row] if isinstance(row, dict) else []
        return columns_of(rows)

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[RowWindow]:
        lines = _lines(read_planned(self._file, plan))
        row = plan.first_row
        while part := list(islice(lines, size)):
            yield window_of([_parsed(line) for line in part], row, layout, contract)
            row += len(part)


class _Objects:
    """Rows parsed from JSON."""

    def __init__(self, rows: Sequence[dict[str, Any]], missing: Missing) -> None:
        self._rows = rows
        self._allow_nan = missing is Missing.NAN

    def __len__(self) -> int:
        return len(self._rows)

    def raw(self, item: InputColumns, part: slice) -> Any:
        rows = self._rows[part]
        values: list[Any]
        if len(item.columns) == 1:
            column = item.columns[0]
            values = [row.get(column) for row in rows]
            if item.spec.shape[1:] == (1,) and not any(isinstance(value, list) for value in values):
                values = [[value] for value in values]
        else:
            values = [_folded([row[column] for column in item.columns], item.tail or ()) for row in rows]
        if self._allow_nan and item.spec.dtype.kind == "f":
            values = nan_for_null(values)
        return values if item.has_row_axis else values[0]

    def of(self, column: str, part: slice) -> Sequence[Any]:
        return [row.get(column) for row in self._rows[part]]


def columns_of(rows: Sequence[dict[str, Any]]) -> FileColumns:
    """The columns of the first rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lists = frozenset(name for name in names if any(isinstance(row.get(name), list) for row in rows))
    return FileColumns(tuple(names), open_ended=True, lists=lists)


def window_of(values: Sequence[Any], first_row: int, layout: Layout, contract: Contract) -> RowWindow:
    """Keep the objects with all needed columns; `values` may hold a BadRow in place of an object."""
    rows: list[int] = []
    good: list[dict[str, Any]] = []
    bad: list[RowError] = []
    needed = layout.needed
    for row, value in enumerate(values, start=first_row):
        reason = ""
        if isinstance(value, BadRow):
            reason = str(value)
        elif not isinstance(value, dict):
            reason = "The row is not a JSON object."
        elif missing := next((name for name in needed if name not in value), None):
            reason = f"The row has no {missing!r}."
        if not reason:
            rows.append(row)
            good.append(value)
            continue
        row_id = value.get(layout.id) if isinstance(value, dict) and layout.id else None
        bad.append(RowError(row, row_id if is_id(row_id) else None if layout.id else row, reason))
    return RowWindow(rows, _Objects(good, contract.missing), tuple(bad))


def _lines(data: bytes) -> Iterator[bytes]:
    """Split as planning does: at line feeds only, skipping empty lines."""
    return (line for line in data.split(b"\n") if line not in (b"", b"\r"))


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BadRow(f"The row is not valid JSON: {error.msg}.")


def _folded(values: list[Any], tail: tuple[int, ...]) -> Any:
    """Nest single values in lists of the shape `tail`."""
    for value in values:
        if isinstance(value, (list, dict)):
            raise BadRow("A column that is combined with others contains a list or an object.")
    if not tail:
        return values[0]
    for size in reversed(tail[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values
