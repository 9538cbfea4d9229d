"""Batches of good rows, with the bad rows and reasons next to them. Rows are numbered from 1.

A format yields windows: a few rows each, column by column. The builder turns them into batches of tensors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.rows.contract import Missing, RowError
from inference.rows.layout import InputColumns, Layout
from inference.tensors.errors import InvalidInput
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature

Array = NDArray[Any]
_MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows that share a run, in file order.

    `bad` holds the bad rows since the previous batch. A batch may hold only bad rows, so check `rows` first.
    """

    tensors: dict[str, Array]
    rows: Sequence[int]
    ids: Sequence[str | int]
    passthrough: Mapping[str, Sequence[Any]]
    bad: tuple[RowError, ...] = ()

    @property
    def first_row(self) -> int:
        return self.rows[0] if self.rows else self.bad[0].row

    def split_at(self, place: int) -> tuple["RowBatch", "RowBatch"]:
        """Split a batch in two; `bad` stays with the first part."""
        head, tail = slice(None, place), slice(place, None)
        return self._part(head, self.bad), self._part(tail, ())

    def without(self, reasons: Mapping[int, str]) -> "RowBatch":
        """Move rows, by their position in the batch, to `bad`."""
        keep = [place for place in range(len(self.rows)) if place not in reasons]
        index = np.array(keep, np.intp)
        bad = tuple(
            RowError(self.rows[place], self.ids[place], reasons[place][:_MAX_REASON])
            for place in sorted(reasons)
        )
        return RowBatch(
            {name: tensor[index] for name, tensor in self.tensors.items()},
            [self.rows[place] for place in keep],
            [self.ids[place] for place in keep],
            {name: [values[place] for place in keep] for name, values in self.passthrough.items()},
            tuple(sorted((*self.bad, *bad), key=lambda error: error.row)),
        )

    def _part(self, part: slice, bad: tuple[RowError, ...]) -> "RowBatch":
        return RowBatch(
            {name: tensor[part] for name, tensor in self.tensors.items()},
            self.rows[part],
            self.ids[part],
            {name: values[part] for name, values in self.passthrough.items()},
            bad,
        )


class BadRow(ValueError):
    """A value cannot be used; the message says which and why."""


class RowValues(Protocol):
    """The rows of a window; every column of the layout exists."""

    def __len__(self) -> int: ...

    def raw(self, item: InputColumns, part: slice) -> Any:
        """The value to pass to `prepare` for this input; raise BadRow if it cannot be used."""

    def of(self, column: str, part: slice) -> Sequence[Any]:
        """Plain values, for ids and passthrough columns."""


@dataclass(frozen=True, slots=True)
class RowWindow:
    """`rows`: the numbers of the rows in `values`; `bad`: rows that could not be split into columns.

    `careful`: reads the same rows again, more slowly. Used if some row does not fit and `values` cannot show which.
    """

    rows: Sequence[int]
    values: RowValues
    bad: tuple[RowError, ...] = ()
    careful: "Callable[[], RowWindow] | None" = None


@dataclass(frozen=True, slots=True)
class _Piece:
    part: slice
    tensors: dict[str, Array]


class BatchBuilder:
    """Turns windows into batches."""

    def __init__(self, layout: Layout, signature: Signature, missing: Missing) -> None:
        self._layout = layout
        self._signature = signature
        self._allow_nan = missing is Missing.NAN

    def batches(self, window: RowWindow) -> Iterator[RowBatch]:
        """Yield the window's good rows, in one batch if their shapes allow it."""
        if window.careful is not None:
            if self._layout.merges:
                with suppress(BadRow, InvalidInput):
                    yield self._batch(window, [self._piece(window, slice(0, len(window.rows)))], ())
                    return
            window = window.careful()
        pieces: list[_Piece] = []
        bad = list(window.bad)
        for piece in self._pieces(window, slice(0, len(window.rows))):
            if isinstance(piece, RowError):
                bad.append(piece)
            else:
                pieces.append(piece)
        groups = _grouped(pieces) if self._layout.merges else [[piece] for piece in pieces]
        bad.sort(key=lambda error: error.row)
        if not groups:
            if bad:
                yield RowBatch({}, [], [], {name: [] for name in self._layout.passthrough}, tuple(bad))
            return
        for index, group in enumerate(groups):
            yield self._batch(window, group, tuple(bad) if index == 0 else ())

    def _piece(self, window: RowWindow, part: slice) -> _Piece:
        """Raise BadRow or InvalidInput if any row does not fit."""
        values = window.values
        if self._layout.id:
            _check_ids(values.of(self._layout.id, part))
        raw = {item.spec.name: values.raw(item, part) for item in self._layout.inputs}
        tensors = prepare(self._signature, raw, allow_non_finite=self._allow_nan)
        if self._allow_nan:
            for name, tensor in tensors.items():
                if tensor.dtype.kind == "f" and np.isinf(tensor).any():
                    raise BadRow(f"Input {name} holds an infinite number.")
        return _Piece(part, tensors)

    def _pieces(self, window: RowWindow, part: slice) -> Iterator[_Piece | RowError]:
        """Halve whatever does not fit until each bad row is isolated, so that a few bad rows cost little."""
        count = part.stop - part.start
        if count == 0:
            return
        if count > 1 and not self._layout.merges:
            for place in range(part.start, part.stop):
                yield from self._pieces(window, slice(place, place + 1))
            return
        try:
            yield self._piece(window, part)
        except (BadRow, InvalidInput) as error:
            if count == 1:
                yield self._error(window, part, str(error))
                return
            middle = part.start + count // 2
            yield from self._pieces(window, slice(part.start, middle))
            yield from self._pieces(window, slice(middle, part.stop))

    def _error(self, window: RowWindow, part: slice, reason: str) -> RowError:
        row = window.rows[part.start]
        row_id: Any = window.values.of(self._layout.id, part)[0] if self._layout.id else row
        return RowError(row, row_id if is_id(row_id) else None, reason[:_MAX_REASON])

    def _batch(self, window: RowWindow, group: Sequence[_Piece], bad: tuple[RowError, ...]) -> RowBatch:
        parts = [piece.part for piece in group]
        rows = _joined([window.rows[part] for part in parts])
        tensors = group[0].tensors
        if len(group) > 1:
            tensors = {name: np.concatenate([piece.tensors[name] for piece in group]) for name in tensors}
        of = window.values.of
        ids = _joined([of(self._layout.id, part) for part in parts]) if self._layout.id else rows
        through = {name: _joined([of(name, part) for part in parts]) for name in self._layout.passthrough}
        return RowBatch(tensors, rows, ids, through, bad)


def is_id(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _check_ids(values: Sequence[Any]) -> None:
    for value in values:
        if not is_id(value):
            raise BadRow(f"The id is {_describe(value)}; it must be text or a whole number.")


def _describe(value: object) -> str:
    return "empty" if value is None or value == "" else f"{str(value)[:40]!r}"


def _grouped(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Group neighbours whose rows have the same shape."""
    groups: list[list[_Piece]] = []
    shape: Mapping[str, tuple[int, ...]] | None = None
    for piece in pieces:
        piece_shape = {name: tensor.shape[1:] for name, tensor in piece.tensors.items()}
        if piece_shape != shape:
            groups.append([])
        groups[-1].append(piece)
        shape = piece_shape
    return groups


def _joined(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    return parts[0] if len(parts) == 1 else [value for part in parts for value in part]


class ArrayValues:
    """Rows whose columns are arrays, as in NPZ and Parquet; lists if there are nulls or lists of different lengths."""

    def __init__(self, arrays: Mapping[str, Array | list[Any]], missing: Missing) -> None:
        self._arrays = arrays
        self._allow_nan = missing is Missing.NAN

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values()), ()))

    def raw(self, item: InputColumns, part: slice) -> Any:
        columns = [self._column(column, part, item) for column in item.columns]
        if len(columns) == 1 and not item.tail:
            return columns[0] if item.has_row_axis else columns[0][0]
        block = np.stack([_as_array(column, item.spec.dtype) for column in columns], axis=1)
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
            filled: list[Any] = nan_for_null(values)
            return filled
        return values


def _as_array(column: Array | list[Any], dtype: "np.dtype[Any]") -> Array:
    """Texts and bytes stay as they are: numpy's own arrays of them would cut zeros off their ends."""
    if dtype.kind != "O" or not isinstance(column, list):
        return np.asarray(column)
    values = np.empty(len(column), object)
    values[:] = column
    return values


def nan_for_null(value: Any) -> Any:
    """Replace None with NaN, including in nested lists."""
    if isinstance(value, list):
        return [nan_for_null(item) for item in value]
    return float("nan") if value is None else value
