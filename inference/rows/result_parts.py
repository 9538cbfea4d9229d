"""Result parts, one per chunk: the columns of a result, and how each format writes them.

JSONL and CSV are written as rows arrive; NPZ and Parquet when the chunk is complete.
"""

import csv
import io
import re
import zipfile
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np
import orjson

from inference.rows.batches import Array, RowBatch
from inference.rows.contract import Contract, RowError
from inference.rows.errors import UnevenResults
from inference.rows.formats.parquet_file import load_parquet, load_pyarrow
from inference.rows.layout import ROW
from inference.tensors.signature import Signature

Table = dict[str, Array]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_MAX_TEXT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ResultColumns:
    """The rows of one batch of results, column by column."""

    id_name: str
    ids: Sequence[str | int]
    passthrough: Mapping[str, Sequence[Any]]
    outputs: Mapping[str, Array]  # rows on the first axis
    extra: Mapping[str, Sequence[Any]]  # derived by the caller: labels, scores

    def __len__(self) -> int:
        return len(self.ids)


class ResultShape:
    """Assigns outputs to rows, according to the version's signature."""

    def __init__(self, contract: Contract, signature: Signature) -> None:
        self._id_name = contract.id or ROW
        self._has_row_axis = signature.has_row_axis
        # An output with a fixed first axis, or none, is one value for all rows of a run.
        self._common = frozenset(
            spec.name
            for spec in signature.outputs
            if not spec.any_rank and (not spec.shape or spec.shape[0] is not None)
        )

    def columns(
        self, batch: RowBatch, outputs: Mapping[str, Array], extra: Mapping[str, Sequence[Any]]
    ) -> ResultColumns:
        rows = len(batch.rows)
        per_row = {name: self._per_row(name, np.asarray(output), rows) for name, output in outputs.items()}
        return ResultColumns(self._id_name, batch.ids, batch.passthrough, per_row, extra)

    def _per_row(self, name: str, output: Array, rows: int) -> Array:
        if not self._has_row_axis:  # one row ran alone; a first axis of size one is the row axis
            return output if output.shape[:1] == (1,) else output[None]
        if name in self._common or output.shape[:1] != (rows,):
            return np.broadcast_to(output, (rows, *output.shape))
        return output


def split_non_finite(columns: ResultColumns, batch: RowBatch) -> tuple[ResultColumns, tuple[RowError, ...]]:
    """Turn rows with NaN or infinite outputs into errors: JSON and CSV cannot hold them."""
    wrong: dict[int, str] = {}
    for name, output in columns.outputs.items():
        if output.dtype.kind != "f" or np.isfinite(output).all():
            continue
        is_finite = np.isfinite(output.reshape(len(output), -1)).all(axis=1)
        for place in np.flatnonzero(~is_finite).tolist():
            wrong.setdefault(place, name)
    if not wrong:
        return columns, ()
    keep = [place for place in range(len(columns)) if place not in wrong]
    errors = tuple(
        RowError(batch.rows[place], batch.ids[place], f"The model returned NaN or infinity in {name!r}.")
        for place, name in sorted(wrong.items())
    )
    index = np.array(keep, np.intp)
    kept = ResultColumns(
        columns.id_name,
        [columns.ids[place] for place in keep],
        {name: [values[place] for place in keep] for name, values in columns.passthrough.items()},
        {name: output[index] for name, output in columns.outputs.items()},
        {name: [values[place] for place in keep] for name, values in columns.extra.items()},
    )
    return kept, errors


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


class JsonlPart:
    """`json_outputs`: whose texts are JSON, and become part of the line."""

    def __init__(self, target: Sink, json_outputs: Container[str] = ()) -> None:
        self._target = target
        self._json_outputs = json_outputs

    def write(self, columns: ResultColumns) -> None:
        outputs = {
            name: list(map(orjson.Fragment, output)) if name in self._json_outputs else _plain(output)
            for name, output in columns.outputs.items()
        }
        names = (columns.id_name, *columns.passthrough, *outputs, *columns.extra)
        values = (columns.ids, *columns.passthrough.values(), *outputs.values(), *columns.extra.values())
        lines = (
            orjson.dumps(dict(zip(names, row, strict=True)), _fallback, _OPTIONS)
            for row in zip(*values, strict=True)
        )
        self._target.write(b"".join(lines))

    def close(self) -> None: ...


class CsvPart:
    """The first line is the header; a part without rows is empty."""

    def __init__(self, target: Sink, after_header: Callable[[], None]) -> None:
        self._target = target
        self._after_header = after_header
        self._header: list[str] | None = None

    def write(self, columns: ResultColumns) -> None:
        text = io.StringIO(newline="")
        # CRLF as in RFC 4180; it also makes Python quote cells that contain either character.
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
                "The answers have different lengths, so they do not fit into one CSV table; use JSONL."
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
    """Put an apostrophe before text that a spreadsheet would run as a formula; numbers are harmless."""
    if isinstance(value, str):
        harmless = not value.startswith(_STARTS_A_FORMULA) or _NUMBER.fullmatch(value)
        return value if harmless else f"'{value}"
    return safe_text(value)


def safe_text(value: Any) -> str:
    """Text unchanged, null as empty text, everything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return orjson.dumps(value, _fallback, orjson.OPT_SERIALIZE_NUMPY).decode()


def _header(columns: ResultColumns) -> list[str]:
    names = [columns.id_name, *columns.passthrough]
    for name, output in columns.outputs.items():
        width = int(np.prod(output.shape[1:]))
        names += [name] if output.ndim == 1 else [f"{name}.{place}" for place in range(width)]
    return [*names, *columns.extra]


def _numbers(output: Array) -> Sequence[Sequence[str]]:
    """Cells with numbers as JSON writes them: in the shortest exact form."""
    flat = np.ascontiguousarray(output.reshape(len(output), -1))
    if flat.dtype.kind in "OUS":
        return [[safe_cell(_text(value)) for value in row] for row in flat.tolist()]
    if flat.shape[1] == 0:
        return [[] for _ in range(len(flat))]
    written = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return [row.split(",") for row in written[2:-2].split("],[")] if len(flat) else []


def _plain(output: Array) -> Array | list[Any]:
    """The output in a form that orjson writes row by row."""
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
    return str(value)  # decimals and durations from Parquet files


class _ArrayPart:
    """Collects columns, and makes a table of them at the end."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._held: list[ResultColumns] = []

    def write(self, columns: ResultColumns) -> None:
        self._held.append(columns)

    def table(self) -> Table:
        if not self._held:
            return {}
        first = self._held[0]
        table: Table = {first.id_name: _array([value for held in self._held for value in held.ids])}
        for name in first.passthrough:
            table[name] = _array([value for held in self._held for value in held.passthrough[name]])
        for name in first.outputs:
            table[name] = self._joined(name)
        for name in first.extra:
            table[name] = _array([value for held in self._held for value in held.extra[name]])
        return table

    def _joined(self, name: str) -> Array:
        outputs = [held.outputs[name] for held in self._held]
        if len({output.shape[1:] for output in outputs}) > 1:
            raise UnevenResults(
                f"Output {name!r} has different shapes, so it does not fit into one array; use JSONL."
            )
        joined = np.concatenate(outputs)
        return _array(joined.tolist()) if joined.dtype.kind == "O" else joined


class NpzPart(_ArrayPart):
    def close(self) -> None:
        table = self.table()
        if table:
            write_npz(self._target, table)


class ParquetPart(_ArrayPart):
    def __init__(self, target: IO[bytes]) -> None:
        load_pyarrow()
        super().__init__(target)

    def close(self) -> None:
        table = self.table()
        if table:
            columns = {name: _column(array) for name, array in table.items()}
            load_parquet().write_table(load_pyarrow().table(columns), self._target)


def write_npz(target: IO[bytes], table: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, array in table.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.ascontiguousarray(array), allow_pickle=False)


def _array(values: Sequence[Any]) -> Array:
    """Booleans, integers and floats keep their type; any other column becomes text."""
    kinds = set(map(type, values))
    if kinds == {bool}:
        return np.array(values, np.bool_)
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return np.array(values, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array(values, np.float64)
    texts = [safe_text(value) for value in values]
    # An array pads every text to the length of the longest one.
    if 4 * len(texts) * max(map(len, texts), default=0) > _MAX_TEXT_BYTES:
        raise UnevenResults("A value is too long for an array of text; use JSONL.")
    return np.array(texts, np.str_)


def _column(array: Array) -> Any:
    pa = load_pyarrow()
    if array.ndim == 1:
        return pa.array(array.tolist(), pa.string()) if array.dtype.kind == "U" else pa.array(array)
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    width = int(np.prod(array.shape[1:]))
    return pa.FixedSizeListArray.from_arrays(flat, width)
