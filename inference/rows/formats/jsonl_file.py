"""JSONL: one object per line; a value is a number, a text, or nested lists as the input has axes."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any

import orjson

from inference.rows.batches import RowError
from inference.rows.contract import Contract, Missing
from inference.rows.errors import BadFile
from inference.rows.layout import FileColumns, InputColumns, Layout
from inference.rows.limits import Limits
from inference.rows.lines import BOM, RowEnds
from inference.rows.planning import ChunkPlan, chunks_of_lines
from inference.rows.values import nan_for_null
from inference.rows.windows import BadRow, Window, is_id

_SAMPLE = 100
_SAMPLE_BYTES = 2**20


class JsonlFile:
    def __init__(self, file: IO[bytes], limits: Limits) -> None:
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
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # reading says which, and the last may be cut
            rows += [found] if isinstance(found, dict) else []
        return columns_of(rows)

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[Window]:
        self._file.seek(plan.byte_from)
        data = self._file.read(plan.byte_to - plan.byte_from)
        if len(data) < plan.byte_to - plan.byte_from:
            raise BadFile(
                "The file is shorter than when it was planned; it must not change while a job reads it."
            )
        lines = _lines(data)
        row = plan.first_row
        while some := list(islice(lines, size)):
            yield window_of([_parsed(line) for line in some], row, layout, contract)
            row += len(some)


class _Objects:
    """Rows as JSON gives them."""

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
            values = [row[column] for row in rows]
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
    """What the first rows have."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lists = frozenset(name for name in names if any(isinstance(row.get(name), list) for row in rows))
    return FileColumns(tuple(names), open_ended=True, lists=lists)


def window_of(found: Sequence[Any], first_row: int, layout: Layout, contract: Contract) -> Window:
    """Keep the objects that have what is needed; `found` may hold a BadRow in place of an object."""
    rows: list[int] = []
    good: list[dict[str, Any]] = []
    bad: list[RowError] = []
    needed = layout.needed
    for row, value in enumerate(found, start=first_row):
        reason = ""
        if isinstance(value, BadRow):
            reason = str(value)
        elif not isinstance(value, dict):
            reason = "The row is not a JSON object."
        elif lacks := next((name for name in needed if name not in value), None):
            reason = f"The row has no {lacks!r}."
        if not reason:
            rows.append(row)
            good.append(value)
            continue
        own = value.get(layout.id) if isinstance(value, dict) and layout.id else None
        bad.append(RowError(row, own if is_id(own) else None if layout.id else row, reason))
    return Window(rows, _Objects(good, contract.missing), tuple(bad))


def _lines(data: bytes) -> Iterator[bytes]:
    """Cut as planning does: at line feeds only, and an empty line is no row."""
    return (line for line in data.split(b"\n") if line not in (b"", b"\r"))


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BadRow(f"The row is not valid JSON: {error.msg}.")


def _folded(values: list[Any], tail: tuple[int, ...]) -> Any:
    """Put single values into nested lists of the shape `tail`."""
    for value in values:
        if isinstance(value, (list, dict)):
            raise BadRow("A column that is named beside others holds a list or an object.")
    if not tail:
        return values[0]
    for size in reversed(tail[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values
