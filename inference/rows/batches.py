"""What reading gives: batches of good rows, and the bad ones with their reasons. Rows are counted from 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that cannot be used. `row` is its number in the file, without the header and empty lines."""

    row: int
    id: str | int | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"row": self.row, "id": self.id, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that share a run, in the file's order; what is not in `rows` and lies between them is bad.

    `bad` holds the bad rows met since the batch before, so a batch may have bad rows only: ask `rows` first.
    """

    tensors: dict[str, Array]
    rows: Sequence[int]
    ids: Sequence[str | int]
    passthrough: Mapping[str, Sequence[Any]]
    bad: tuple[RowError, ...] = ()

    @property
    def first_row(self) -> int:
        return self.rows[0] if self.rows else self.bad[0].row

    def split_at(self, place: int) -> tuple["Batch", "Batch"]:
        """Halve what is too large for one run; `bad` stays with the first part."""
        head, tail = slice(None, place), slice(place, None)
        return self._part(head, self.bad), self._part(tail, ())

    def without(self, places: Sequence[int], reason: str) -> "Batch":
        """Take rows out by their place in the batch, and add them to `bad`."""
        out = set(places)
        keep = [place for place in range(len(self.rows)) if place not in out]
        index = np.array(keep, np.intp)
        bad = tuple(RowError(self.rows[place], self.ids[place], reason) for place in sorted(out))
        return Batch(
            {name: tensor[index] for name, tensor in self.tensors.items()},
            [self.rows[place] for place in keep],
            [self.ids[place] for place in keep],
            {name: [values[place] for place in keep] for name, values in self.passthrough.items()},
            tuple(sorted((*self.bad, *bad), key=lambda error: error.row)),
        )

    def _part(self, part: slice, bad: tuple[RowError, ...]) -> "Batch":
        return Batch(
            {name: tensor[part] for name, tensor in self.tensors.items()},
            self.rows[part],
            self.ids[part],
            {name: values[part] for name, values in self.passthrough.items()},
            bad,
        )
