"""What a row of results holds, format or not: its id, what was passed through, and the outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.rows.batches import Array, Batch, RowError
from inference.rows.contract import Contract
from inference.rows.layout import ROW
from inference.tensors.signature import Signature


@dataclass(frozen=True, slots=True)
class Columns:
    """The rows of one batch of results, column by column."""

    id_name: str
    ids: Sequence[str | int]
    passthrough: Mapping[str, Sequence[Any]]
    outputs: Mapping[str, Array]  # a value per row on the first axis
    extra: Mapping[str, Sequence[Any]]  # what the caller made of the outputs: labels, scores

    def __len__(self) -> int:
        return len(self.ids)


class Shape:
    """How outputs belong to rows, by the version's signature."""

    def __init__(self, contract: Contract, signature: Signature) -> None:
        self._id_name = contract.id or ROW
        self._has_row_axis = signature.has_row_axis
        # A fixed first axis, or none, is the same value for every row of a run.
        self._common = frozenset(
            spec.name
            for spec in signature.outputs
            if not spec.any_rank and (not spec.shape or spec.shape[0] is not None)
        )

    def columns(
        self, batch: Batch, outputs: Mapping[str, Array], extra: Mapping[str, Sequence[Any]]
    ) -> Columns:
        rows = len(batch.rows)
        per_row = {name: self._per_row(name, np.asarray(output), rows) for name, output in outputs.items()}
        return Columns(self._id_name, batch.ids, batch.passthrough, per_row, extra)

    def _per_row(self, name: str, output: Array, rows: int) -> Array:
        if not self._has_row_axis:  # one row ran alone; an axis of one is the rows'
            return output if output.shape[:1] == (1,) else output[None]
        if name in self._common or output.shape[:1] != (rows,):
            return np.broadcast_to(output, (rows, *output.shape))
        return output


def split_non_finite(columns: Columns, batch: Batch) -> tuple[Columns, tuple[RowError, ...]]:
    """Take out rows whose outputs are not numbers; texts such as JSON cannot say NaN."""
    wrong: dict[int, str] = {}
    for name, output in columns.outputs.items():
        if output.dtype.kind != "f" or np.isfinite(output).all():
            continue
        fine = np.isfinite(output.reshape(len(output), -1)).all(axis=1)
        for place in np.flatnonzero(~fine).tolist():
            wrong.setdefault(place, name)
    if not wrong:
        return columns, ()
    keep = [place for place in range(len(columns)) if place not in wrong]
    errors = tuple(
        RowError(batch.rows[place], batch.ids[place], f"The model answered NaN or infinity in {name!r}.")
        for place, name in sorted(wrong.items())
    )
    index = np.array(keep, np.intp)
    kept = Columns(
        columns.id_name,
        [columns.ids[place] for place in keep],
        {name: [values[place] for place in keep] for name, values in columns.passthrough.items()},
        {name: output[index] for name, output in columns.outputs.items()},
        {name: [values[place] for place in keep] for name, values in columns.extra.items()},
    )
    return kept, errors
