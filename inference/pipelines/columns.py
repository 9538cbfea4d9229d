"""Named columns, and how rows of them become a model's inputs: each input is a column, or the only input is a table of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from inference.pipelines.errors import BadTaskConfig, InvalidItem, TooManyItems
from inference.pipelines.labels import shown
from inference.pipelines.pipeline import Fields
from inference.tensors.arrays import Array, Tensors
from inference.tensors.errors import InvalidInput
from inference.tensors.names import nearest
from inference.tensors.prepare import prepare
from inference.tensors.samples import Sample, sample_inputs
from inference.tensors.signature import Signature, TensorSpec

MAX_COLUMNS, LONGEST_NAME = 10_000, 200
MAX_VALUES = 2_000_000  # of a request: a user's features stand in the row of each candidate
_BYTES_OF_A_VALUE = 40  # in lists of rows and of columns, and in tensors
_LISTED = 12  # columns that a message names
Row = Mapping[str, Any] | Sequence[Any]


class ColumnFields:
    """What a task configuration says about columns."""

    def __init__(self, fields: Fields) -> None:
        self.names = fields.texts("columns", most=MAX_COLUMNS, longest=LONGEST_NAME)
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise BadTaskConfig(f"{twice!r} is there twice; each column needs its own name.", field="columns")
        self.defaults = fields.values("defaults", most=MAX_COLUMNS, longest=LONGEST_NAME)


class _UnfitRow(ValueError):
    """What a row lacks, as the rest of a sentence about it."""


class Columns:
    """The columns of a model's rows."""

    def __init__(self, said: ColumnFields, signature: Signature) -> None:
        """Raises BadTaskConfig if the columns do not fit the model."""
        self.inputs = tuple(signature.required_inputs)
        if not self.inputs or any(spec.any_rank or spec.shape[:1] != (None,) for spec in self.inputs):
            raise BadTaskConfig(
                f"Each input must have a row for each row of the request; the model takes {shown(self.inputs)}.",
                field="inputs",
            )
        first, *others = self.inputs
        self._is_table = not others and (bool(said.names) or _width(first) not in {None, 1})
        self._are_named = bool(said.names) or not self._is_table
        self.specs = _columns_of(first, said.names) if self._is_table else tuple(map(_column, self.inputs))
        self.names = [spec.name for spec in self.specs]
        self.defaults, self._known = said.defaults, frozenset(self.names)
        self._signature = Signature(self.specs, ())
        if said.names and not self._is_table:
            raise BadTaskConfig(
                f"The inputs of this model are its columns: {_listed(self.names)}. Leave `columns` out.",
                field="columns",
            )
        self._check_defaults()

    @property
    def takes_missing(self) -> bool:
        return any(value is None for value in self.defaults.values())

    @property
    def row_bytes(self) -> int:
        return _BYTES_OF_A_VALUE * len(self.specs)

    def check_count(self, rows: int) -> None:
        """Raise TooManyItems for more rows than are read at once."""
        if rows * len(self.specs) > MAX_VALUES:
            raise TooManyItems(
                f"A request may have at most {MAX_VALUES:,} values; {rows:,} rows of {len(self.specs):,} columns have more."
            )

    @property
    def hashed(self) -> Sequence[Any]:
        return [self.names, dict(self.defaults), [spec.name for spec in self.inputs]]

    def signature(self, outputs: tuple[TensorSpec, ...]) -> Signature:
        """The columns as tensors; those with defaults may be left out, by all rows or by some."""
        inputs = tuple(replace(spec, optional=spec.name in self.defaults) for spec in self.specs)
        return Signature(inputs, outputs, may_lack=frozenset(self.defaults))

    def encode(self, rows: Sequence[Row], place: Callable[[int], str]) -> Tensors:
        """The model's inputs for these rows. `place`: where a row is in the request, which InvalidItem names."""
        self.check_count(len(rows))
        values = []
        for number, row in enumerate(rows):
            try:
                values.append(self._values(row))
            except _UnfitRow as unfit:
                raise InvalidItem(f"`{place(number)}` {unfit}", field=place(number)) from None
        by_name = dict(zip(self.names, map(list, zip(*values, strict=True)), strict=True))
        try:
            tensors = prepare(self._signature, by_name, allow_non_finite=self.takes_missing)
        except InvalidInput as error:
            raise self._of_a_row(values, place, error) from None
        self._check_finite(tensors, place)
        if self._is_table:
            return {self.inputs[0].name: np.stack([tensors[name] for name in self.names], axis=1)}
        return {
            spec.name: tensors[spec.name].reshape(-1, 1) if spec.shape[1:] == (1,) else tensors[spec.name]
            for spec in self.inputs
        }

    def _values(self, row: Any) -> list[Any]:
        """The values of a row, in the order of the columns. Raises _UnfitRow."""
        if isinstance(row, dict):
            if not self._are_named:
                raise _UnfitRow(f"must be a list of {len(self.specs):,} values: the columns have no names.")
            if unknown := row.keys() - self._known:
                name = str(min(unknown, key=str))[:80]
                near = nearest(name, self.names)
                advice = f"did you mean {near!r}?" if near else f"the columns are {_listed(self.names)}."
                raise _UnfitRow(f"has {name!r}, which is no column; {advice}")
            row = map(row.get, self.names)
        elif not isinstance(row, list):
            raise _UnfitRow("must be an object with a value for each column, or a list of them.")
        elif len(row) != len(self.specs):
            raise _UnfitRow(f"has {len(row):,} values; the model has {len(self.specs):,} columns.")
        return [
            self._default(name) if value is None or value != value else value  # NaN is not equal to itself
            for name, value in zip(self.names, row, strict=True)
        ]

    def _default(self, name: str) -> Any:
        if name not in self.defaults:
            raise _UnfitRow(f"has no {name[:80]!r}, and the version has no default for it.")
        return self.defaults[name]

    def _of_a_row(
        self, rows: Sequence[Sequence[Any]], place: Callable[[int], str], error: InvalidInput
    ) -> InvalidItem:
        """The error of the first row that does not fit alone, or of all together."""
        for number, values in enumerate(rows):
            alone = {name: [value] for name, value in zip(self.names, values, strict=True)}
            try:
                prepare(self._signature, alone, allow_non_finite=self.takes_missing)
            except InvalidInput as found:
                return InvalidItem(f"`{place(number)}` does not fit: {found}", field=place(number))
        return InvalidItem(str(error))

    def _check_finite(self, tensors: Tensors, place: Callable[[int], str]) -> None:
        for name, tensor in tensors.items():
            if tensor.dtype.kind == "f" and np.isinf(tensor).any():
                where = place(int(np.argwhere(np.isinf(tensor))[0][0]))
                raise InvalidItem(f"`{where}` has an infinite number in {name[:80]!r}.", field=where)

    def example(self, sample: Sample) -> Row:
        """A row on which the model has run, or one of zeros and short texts."""
        inputs = sample_inputs(Signature(self.inputs, ()), sample)
        if self._is_table:
            values = _plain(inputs[self.inputs[0].name][0])
            return dict(zip(self.names, values, strict=True)) if self._are_named else values
        return {
            spec.name: _plain(inputs[spec.name].reshape(-1))[0]
            if len(column.shape) == 1
            else _plain(inputs[spec.name][0])
            for spec, column in zip(self.inputs, self.specs, strict=True)
        }

    def _check_defaults(self) -> None:
        specs = {spec.name: spec for spec in self.specs}
        for name, value in self.defaults.items():
            if name not in specs:
                raise BadTaskConfig(
                    f"{name[:80]!r} is no column; the columns are {_listed(self.names)}.", field="defaults"
                )
            try:
                prepare(Signature((specs[name],), ()), {name: [value]}, allow_non_finite=value is None)
            except InvalidInput as error:
                raise BadTaskConfig(
                    f"The default of {name[:80]!r} does not fit: {error}", field="defaults"
                ) from None


def rows_of_tensors(tensors: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Columns as rows."""
    lists = {name: tensor.tolist() for name, tensor in tensors.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _width(spec: TensorSpec) -> int | None:
    """How many columns an input with rows holds; None if its shape does not tell."""
    return 1 if len(spec.shape) == 1 else spec.shape[1]


def _columns_of(table: TensorSpec, names: Sequence[str]) -> tuple[TensorSpec, ...]:
    if len(table.shape) != 2:
        raise BadTaskConfig(f"The input must be a table, [-1, n]; it is {shown([table])}.", field="columns")
    width = _width(table)
    if names and width is not None and width != len(names):
        raise BadTaskConfig(f"There are {len(names):,} names for {width:,} columns.", field="columns")
    listed = names or [str(number) for number in range(width or 0)]
    return tuple(TensorSpec(name, table.datatype, (None,)) for name in listed)


def _column(spec: TensorSpec) -> TensorSpec:
    shape = (None,) if spec.shape[1:] in {(), (1,)} else spec.shape
    return TensorSpec(spec.name, spec.datatype, shape)


def _plain(values: Array) -> list[Any]:
    """Numbers as people would write them: half for the zeros of floats, which shows that decimals are taken."""
    filled = np.full_like(values, 0.5) if values.dtype.kind == "f" and not values.any() else values
    listed: list[Any] = filled.tolist()
    return listed


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name[:80]) for name in names[:_LISTED])
    return f"{listed} and {len(names) - _LISTED:,} more" if len(names) > _LISTED else listed
