"""Parts as lines of JSON or CSV."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Protocol

import numpy as np
import orjson

from inference.rows.batches import Array
from inference.rows.errors import UnevenResults
from inference.rows.writing.records import Columns

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


class JsonlPart:
    def __init__(self, target: Sink) -> None:
        self._target = target

    def write(self, columns: Columns) -> None:
        outputs = {name: _plain(output) for name, output in columns.outputs.items()}
        names = (columns.id_name, *columns.passthrough, *outputs, *columns.extra)
        values = (columns.ids, *columns.passthrough.values(), *outputs.values(), *columns.extra.values())
        lines = (
            orjson.dumps(dict(zip(names, row, strict=True)), _fallback, _OPTIONS)
            for row in zip(*values, strict=True)
        )
        self._target.write(b"".join(lines))

    def close(self) -> None: ...


class CsvPart:
    """The first line names the columns; a part without rows is empty."""

    def __init__(self, target: Sink, after_header: Callable[[], None]) -> None:
        self._target = target
        self._after_header = after_header
        self._header: list[str] | None = None

    def write(self, columns: Columns) -> None:
        text = io.StringIO(newline="")
        # CRLF as RFC 4180 has it; it also makes Python quote cells that hold either of the two characters.
        writer = csv.writer(text, lineterminator="\r\n")
        header = _header(columns)
        if self._header is None:
            writer.writerow([safe_cell(name) for name in header])
            self._target.write(text.getvalue().encode())
            self._after_header()
            text.seek(0)
            text.truncate()
        elif header != self._header:
            raise UnevenResults(
                "Rows have answers of unlike length, which CSV cannot hold in one table; ask for JSONL."
            )
        self._header = header
        numbers = [_numbers(output) for output in columns.outputs.values()]
        texts = (columns.ids, *columns.passthrough.values())
        extra = tuple(columns.extra.values())
        for place in range(len(columns)):
            cells = [safe_cell(values[place]) for values in texts]
            for rows in numbers:
                cells += rows[place]
            writer.writerow([*cells, *(safe_cell(values[place]) for values in extra)])
        self._target.write(text.getvalue().encode())

    def close(self) -> None: ...


def safe_cell(value: Any) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula; a number is none."""
    if isinstance(value, str):
        harmless = not value.startswith(_STARTS_A_FORMULA) or _NUMBER.fullmatch(value)
        return value if harmless else f"'{value}"
    return safe_text(value)


def safe_text(value: Any) -> str:
    """Text as it is, nothing for null, anything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return orjson.dumps(value, _fallback, orjson.OPT_SERIALIZE_NUMPY).decode()


def header_of(file: IO[bytes]) -> bytes:
    """The first row of a part, which begins at `file`'s place."""
    taken: list[bytes] = []

    def lines() -> Iterator[str]:
        for line in file:
            taken.append(line)
            yield line.decode()

    next(csv.reader(lines()), None)
    return b"".join(taken)


def _header(columns: Columns) -> list[str]:
    names = [columns.id_name, *columns.passthrough]
    for name, output in columns.outputs.items():
        width = int(np.prod(output.shape[1:]))
        names += [name] if output.ndim == 1 else [f"{name}.{place}" for place in range(width)]
    return [*names, *columns.extra]


def _numbers(output: Array) -> Sequence[Sequence[str]]:
    """Cells as JSON writes numbers: the shortest that mean the same."""
    flat = np.ascontiguousarray(output.reshape(len(output), -1))
    if flat.dtype.kind in "OUS":
        return [[safe_cell(_text(value)) for value in row] for row in flat.tolist()]
    if flat.shape[1] == 0:
        return [[] for _ in range(len(flat))]
    written = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return [row.split(",") for row in written[2:-2].split("],[")] if len(flat) else []


def _plain(output: Array) -> Array | list[Any]:
    """What orjson writes row by row."""
    if output.dtype.kind in "OUS":
        return [_texts(value) for value in output.tolist()]
    return np.ascontiguousarray(output)


def _texts(value: Any) -> Any:
    return [_texts(item) for item in value] if isinstance(value, list) else _text(value)


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _fallback(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    return str(value)  # decimals and durations of Parquet files
