"""Parts as arrays: NPZ, and Parquet through pyarrow. A part is written when its chunk is complete."""

import zipfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

from inference.rows.arrow import arrow, parquet
from inference.rows.batches import Array
from inference.rows.errors import UnevenResults
from inference.rows.writing.records import Columns
from inference.rows.writing.text_parts import safe_text

Table = dict[str, Array]
_MOST_TEXT = 256 * 2**20


class _Gathered:
    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._held: list[Columns] = []

    def write(self, columns: Columns) -> None:
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
                f"Output {name!r} has unlike shapes, which one array cannot hold; ask for JSONL."
            )
        joined = np.concatenate(outputs)
        return _array(joined.tolist()) if joined.dtype.kind == "O" else joined


class NpzPart(_Gathered):
    def close(self) -> None:
        table = self.table()
        if table:
            write_npz(self._target, table)


class ParquetPart(_Gathered):
    def __init__(self, target: IO[bytes]) -> None:
        arrow()
        super().__init__(target)

    def close(self) -> None:
        table = self.table()
        if table:
            made = arrow().table({name: _column(array) for name, array in table.items()})
            parquet().write_table(made, self._target)


def write_npz(target: IO[bytes], table: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, array in table.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.ascontiguousarray(array), allow_pickle=False)


def _array(values: Sequence[Any]) -> Array:
    """Whole numbers stay so, decimals too; a column with anything else is text."""
    kinds = set(map(type, values))
    if kinds == {bool}:
        return np.array(values, np.bool_)
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return np.array(values, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array(values, np.float64)
    texts = [safe_text(value) for value in values]
    if (
        4 * len(texts) * max(map(len, texts), default=0) > _MOST_TEXT
    ):  # an array makes all as long as the longest
        raise UnevenResults("A text is too long for an array of texts; ask for JSONL.")
    return np.array(texts, np.str_)


def _column(array: Array) -> Any:
    pa = arrow()
    if array.ndim == 1:
        return pa.array(array.tolist(), pa.string()) if array.dtype.kind == "U" else pa.array(array)
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    width = int(np.prod(array.shape[1:]))
    return pa.FixedSizeListArray.from_arrays(flat, width)
