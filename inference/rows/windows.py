"""A few rows of any format, column by column, and how they become a batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from inference.rows.batches import Array, Batch, RowError
from inference.rows.contract import Missing
from inference.rows.layout import InputColumns, Layout
from inference.tensors.errors import InvalidInput
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature

_REASON = 300


class BadRow(ValueError):
    """A value cannot be used; the text says which and why."""


class Values(Protocol):
    """Rows of a window whose columns are known to be there."""

    def __len__(self) -> int: ...

    def raw(self, item: InputColumns, part: slice) -> Any:
        """What `prepare` takes for this input; raise BadRow."""

    def of(self, column: str, part: slice) -> Sequence[Any]:
        """Plain values, for ids and pass-through."""


@dataclass(frozen=True, slots=True)
class Window:
    """`rows`: the numbers of the rows in `values`; `bad`: those that could not even be taken apart.

    `careful`: reads the same rows again where they do not all fit, because `values` cannot name a fault.
    """

    rows: Sequence[int]
    values: Values
    bad: tuple[RowError, ...] = ()
    careful: "Callable[[], Window] | None" = None


@dataclass(frozen=True, slots=True)
class _Piece:
    part: slice
    tensors: dict[str, Array]


class Builder:
    """Makes batches of windows."""

    def __init__(self, layout: Layout, signature: Signature, missing: Missing) -> None:
        self._layout = layout
        self._signature = signature
        self._allow_nan = missing is Missing.NAN

    def batches(self, window: Window) -> Iterator[Batch]:
        """Give the window's good rows, in one batch where their shapes allow it."""
        if window.careful is not None:
            if self._layout.merges:
                with suppress(BadRow, InvalidInput):
                    yield self._batch(window, [self._piece(window, slice(0, len(window.rows)))], ())
                    return
            window = window.careful()
        pieces: list[_Piece] = []
        bad = list(window.bad)
        for found in self._pieces(window, slice(0, len(window.rows))):
            if isinstance(found, RowError):
                bad.append(found)
            else:
                pieces.append(found)
        groups = _grouped(pieces) if self._layout.merges else [[piece] for piece in pieces]
        bad.sort(key=lambda error: error.row)
        if not groups:
            if bad:
                yield Batch({}, [], [], {name: [] for name in self._layout.passthrough}, tuple(bad))
            return
        for index, group in enumerate(groups):
            yield self._batch(window, group, tuple(bad) if index == 0 else ())

    def _piece(self, window: Window, part: slice) -> _Piece:
        """Raise BadRow or InvalidInput where one row at least does not fit."""
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

    def _pieces(self, window: Window, part: slice) -> Iterator[_Piece | RowError]:
        """Halve what does not fit until the bad rows stand alone, so that few of them cost little."""
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

    def _error(self, window: Window, part: slice, reason: str) -> RowError:
        row = window.rows[part.start]
        found: Any = window.values.of(self._layout.id, part)[0] if self._layout.id else row
        return RowError(row, found if is_id(found) else None, reason[:_REASON])

    def _batch(self, window: Window, group: Sequence[_Piece], bad: tuple[RowError, ...]) -> Batch:
        parts = [piece.part for piece in group]
        rows = _joined([window.rows[part] for part in parts])
        tensors = group[0].tensors
        if len(group) > 1:
            tensors = {name: np.concatenate([piece.tensors[name] for piece in group]) for name in tensors}
        of = window.values.of
        ids = _joined([of(self._layout.id, part) for part in parts]) if self._layout.id else rows
        through = {name: _joined([of(name, part) for part in parts]) for name in self._layout.passthrough}
        return Batch(tensors, rows, ids, through, bad)


def is_id(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _check_ids(values: Sequence[Any]) -> None:
    for value in values:
        if not is_id(value):
            raise BadRow(f"The id is {_shown(value)}; it must be text or a whole number.")


def _shown(value: object) -> str:
    return "empty" if value is None or value == "" else f"{str(value)[:40]!r}"


def _grouped(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Neighbours whose rows have one shape."""
    groups: list[list[_Piece]] = []
    shape: Mapping[str, tuple[int, ...]] | None = None
    for piece in pieces:
        own = {name: tensor.shape[1:] for name, tensor in piece.tensors.items()}
        if own != shape:
            groups.append([])
        groups[-1].append(piece)
        shape = own
    return groups


def _joined(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    return parts[0] if len(parts) == 1 else [value for part in parts for value in part]
