"""Rows whose columns are arrays, as NPZ and Parquet give them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference.rows.batches import Array
from inference.rows.contract import Missing
from inference.rows.layout import InputColumns


class ArrayValues:
    """A column is a list where an array cannot hold it: with nulls, or of lists of unlike lengths."""

    def __init__(self, arrays: Mapping[str, Array | list[Any]], missing: Missing) -> None:
        self._arrays = arrays
        self._allow_nan = missing is Missing.NAN

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values()), ()))

    def raw(self, item: InputColumns, part: slice) -> Any:
        columns = [self._column(column, part, item) for column in item.columns]
        if len(columns) == 1 and item.tail is None:
            return columns[0] if item.has_row_axis else columns[0][0]
        block = np.stack([np.asarray(column) for column in columns], axis=1)
        return block.reshape((len(block), *(item.tail or ())) if item.has_row_axis else item.tail or ())

    def of(self, column: str, part: slice) -> Sequence[Any]:
        values = self._arrays[column][part]
        if isinstance(values, list):
            return values
        plain: list[Any] = values.tolist()
        return [value.decode("utf-8", "replace") for value in plain] if values.dtype.kind == "S" else plain

    def _column(self, name: str, part: slice, item: InputColumns) -> Array | list[Any]:
        values = self._arrays[name][part]
        if self._allow_nan and isinstance(values, list) and item.spec.dtype.kind == "f":
            found: list[Any] = nan_for_null(values)
            return found
        return values


def nan_for_null(value: Any) -> Any:
    """In lists of lists too."""
    if isinstance(value, list):
        return [nan_for_null(item) for item in value]
    return float("nan") if value is None else value
