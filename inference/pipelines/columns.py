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
_SHOWN = 40  # characters of a value
_KINDS = {"f": "a number", "O": "a text", "b": "true or false"}
Row = Mapping[str, Any] | Sequence[Any]
Place = Callable[[int], str]


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

    def encode(self, rows: Sequence[Row], place: Place) -> Tensors:
        """The model's inputs for these rows. `place`: where a row is in the request, which InvalidItem names."""
        self.check_count(len(rows))
        return self._inputs(
            [(range(len(self.specs)), self._read(rows, range(len(self.specs)), place))], len(rows)
        )

    def encode_beside(self, first: Row, rows: Sequence[Row], first_place: str, place: Place) -> Tensors:
        """Likewise for rows that share their first columns: as objects, those that are named; as lists, the first ones."""
        self.check_count(len(rows))
        if isinstance(first, dict):
            shared = [at for at, name in enumerate(self.names) if name in first]
        else:
            shared = list(range(min(len(first), len(self.specs)) if isinstance(first, list) else 0))
        others = sorted(set(range(len(self.specs))) - set(shared))
        parts = [
            (shared, self._read([first], shared, lambda _: first_place)),
            (others, self._read(rows, others, place)),
        ]
        return self._inputs(parts, len(rows))

    def _inputs(self, parts: Sequence[tuple[Sequence[int], list[Array]]], rows: int) -> Tensors:
        """Columns, by their places, as the model's inputs; those of one row are repeated."""
        if self._is_table:
            table = np.empty((rows, len(self.specs)), self.inputs[0].dtype)
            for places, columns in parts:
                for array in columns:
                    table[:, places] = array
            return {self.inputs[0].name: table}
        tensors = {}
        for places, columns in parts:
            for at, array in zip(places, columns, strict=True):
                spec = self.inputs[at]
                column = array.reshape(-1, 1) if spec.shape[1:] == (1,) else array
                tensors[spec.name] = column if len(column) == rows else np.repeat(column, rows, axis=0)
        return tensors

    def _read(self, rows: Sequence[Row], places: Sequence[int], place: Place) -> list[Array]:
        """The columns at these places: one array for each, or one of all if they are a table."""
        names = [self.names[at] for at in places]
        known, values = frozenset(names), []
        for number, row in enumerate(rows):
            try:
                values.append(self._values(row, names, known))
            except _UnfitRow as unfit:
                raise InvalidItem(f"`{place(number)}` {unfit}", field=place(number)) from None
        if not names:
            return []
        try:
            arrays = self._arrays(values, places)
        except InvalidInput:
            raise self._unfit(values, places, place) from None
        for array in arrays:
            if array.dtype.kind == "f" and np.isinf(array).any():
                where = place(int(np.argwhere(np.isinf(array))[0][0]))
                raise InvalidItem(f"`{where}` has an infinite number.", field=where)
        return arrays

    def _arrays(self, values: Sequence[Sequence[Any]], places: Sequence[int]) -> list[Array]:
        """Raises InvalidInput."""
        if self._is_table:
            spec = TensorSpec("values", self.inputs[0].datatype, (None, len(places)))
            return [self._array(spec, list(values))]
        columns = zip(*values, strict=True)
        return [self._array(self.specs[at], list(column)) for at, column in zip(places, columns, strict=True)]

    def _array(self, spec: TensorSpec, values: list[Any]) -> Array:
        tensors = prepare(Signature((spec,), ()), {spec.name: values}, allow_non_finite=self.takes_missing)
        return tensors[spec.name]

    def _values(self, row: Any, names: Sequence[str], known: frozenset[str]) -> list[Any]:
        """The values of a row, in the order of these columns. Raises _UnfitRow."""
        if isinstance(row, dict):
            if not self._are_named:
                raise _UnfitRow(f"must be a list of {len(names):,} values: the columns have no names.")
            if unknown := row.keys() - known:
                raise self._unknown(str(min(unknown, key=str))[:80])
            row = map(row.get, names)
        elif not isinstance(row, list):
            raise _UnfitRow("must be an object with a value for each column, or a list of them.")
        elif len(row) != len(names):
            raise _UnfitRow(f"has {len(row):,} values instead of {len(names):,}.")
        return [
            self._default(name) if value is None or value != value else value  # NaN is not equal to itself
            for name, value in zip(names, row, strict=True)
        ]

    def _unknown(self, name: str) -> _UnfitRow:
        if name in self._known:
            return _UnfitRow(f"has {name!r}, which the user has, too.")
        near = nearest(name, self.names)
        advice = f"did you mean {near!r}?" if near else f"the columns are {_listed(self.names)}."
        return _UnfitRow(f"has {name!r}, which is no column; {advice}")

    def _default(self, name: str) -> Any:
        if name not in self.defaults:
            raise _UnfitRow(f"has no {name[:80]!r}, and the version has no default for it.")
        return self.defaults[name]

    def _unfit(self, values: Sequence[Sequence[Any]], places: Sequence[int], place: Place) -> InvalidItem:
        """The error of the first column that does not fit, and of its first value that does not."""
        for at, column in zip(places, zip(*values, strict=True), strict=True):
            spec, low, high = self.specs[at], 0, len(column)
            if self._fits(spec, column):
                continue
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self._fits(spec, column[low:middle]) else (low, middle)
            kind = "a list" if len(spec.shape) > 1 else _KINDS.get(spec.dtype.kind, "a whole number")
            return InvalidItem(
                f"`{place(low)}` has {_short(column[low])} in the column {spec.name[:80]!r},"
                f" which takes {kind} ({spec.datatype}).",
                field=place(low),
            )
        return InvalidItem("The rows have lists of different lengths in one column.", field=place(0))

    def _fits(self, spec: TensorSpec, values: Sequence[Any]) -> bool:
        try:
            self._array(spec, list(values))
        except InvalidInput:
            return False
        return True

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
    """Columns as rows. Raises InvalidItem if one is longer than another."""
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) > 1:
        short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise InvalidItem(
            f"The column {short[:80]!r} has {lengths[short]:,} rows, and {long[:80]!r} has {lengths[long]:,}."
        )
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
    if not names and (width or 0) > MAX_COLUMNS:
        raise BadTaskConfig(
            f"The input has {width:,} columns; a table may have {MAX_COLUMNS:,}.", field="columns"
        )
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


def _short(value: Any) -> str:
    text = repr(value)
    return f"{text[:_SHOWN]}…" if len(text) > _SHOWN else text


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name[:80]) for name in names[:_LISTED])
    return f"{listed} and {len(names) - _LISTED:,} more" if len(names) > _LISTED else listed
