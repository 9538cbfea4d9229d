"""The layout: which columns fill which input, from a contract, a signature and a file's columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from inference.rows.contract import Contract
from inference.rows.errors import BadContract
from inference.tensors.signature import Signature, TensorSpec

ROW = "row"  # the id column of a result if the contract names none
_MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class InputColumns:
    """The columns of one input. `tail`: the shape of a row's value, None if unknown."""

    spec: TensorSpec
    columns: tuple[str, ...]
    tail: tuple[int, ...] | None
    has_row_axis: bool  # if not, a row's value is the whole tensor
    may_lack: bool = False  # a row may be without it


@dataclass(frozen=True, slots=True)
class Layout:
    inputs: tuple[InputColumns, ...]
    id: str | None
    passthrough: tuple[str, ...]
    merges: bool  # rows may share a run

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns to read, without duplicates."""
        columns = [column for item in self.inputs for column in item.columns]
        return tuple(dict.fromkeys([*columns, *self.needed, *self.passthrough]))

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that every row must have."""
        columns = [column for item in self.inputs for column in item.columns if not item.may_lack]
        return tuple(dict.fromkeys([*columns, *((self.id,) if self.id else ())]))


@dataclass(frozen=True, slots=True)
class FileColumns:
    """The columns of a file. `open_ended`: each row may have different ones; these are from the first rows.

    `lists`: columns whose values are lists or arrays, so a single one fills an input.
    """

    names: tuple[str, ...]
    open_ended: bool = False
    lists: frozenset[str] = frozenset()


def lay_out(contract: Contract, signature: Signature, have: FileColumns, *, merges: bool = False) -> Layout:
    """Decide which columns fill which input; raise BadContract, which names the field and the choices."""
    specs = {spec.name: spec for spec in signature.inputs}
    for name in contract.columns:
        if name not in specs:
            raise BadContract(f"the model has no input {name!r}; it has {_listed(specs)}", field="columns")
    _check_result_names(contract, signature)
    is_only = sum(not spec.optional for spec in signature.inputs) == 1
    chosen = {
        spec.name: _columns_of(spec, contract, is_only=is_only, have=have)
        for spec in signature.inputs
        if not spec.optional or spec.name in contract.columns or _may_have(spec.name, signature, have)
    }
    if specs and not chosen:
        raise BadContract(
            f"the file has none of the columns {_listed(specs)}; it has {_listed(have.names)}",
            field="columns",
        )
    _check_match(contract, chosen, have)
    if not have.open_ended:
        _check_columns(contract, chosen, have)
    inputs = tuple(
        replace(_input(specs[name], columns, have), may_lack=name in signature.may_lack)
        for name, columns in chosen.items()
    )
    return Layout(inputs, contract.id, contract.passthrough, merges and signature.has_row_axis)


def choose_signature(contract: Contract, signatures: Sequence[Signature], have: FileColumns) -> Signature:
    """The first signature whose inputs the contract or the columns name; if none's are, the first of all.

    Of several that are named, the first one with axes for what the columns hold: lists, as pixels of pictures, or single values.
    """
    named = [one for one in signatures if _is_named(contract, one, have)] or signatures[:1]
    return next((one for one in named if _has_axes(contract, one, have)), named[0])


def _is_named(contract: Contract, signature: Signature, have: FileColumns) -> bool:
    names = {spec.name for spec in signature.inputs}
    if contract.columns:
        return contract.columns.keys() <= names
    return not names.isdisjoint(have.names)


def _has_axes(contract: Contract, signature: Signature, have: FileColumns) -> bool:
    columns = {spec.name: contract.columns.get(spec.name, spec.name) for spec in signature.inputs}
    return not any(
        len(spec.shape) == 1 and columns[spec.name] in have.lists and not spec.any_rank
        for spec in signature.inputs
        if spec.name not in signature.json_inputs
    )


def _may_have(name: str, signature: Signature, have: FileColumns) -> bool:
    """Whether some rows may have this optional input."""
    return name in signature.may_lack and (have.open_ended or name in have.names)


def _check_result_names(contract: Contract, signature: Signature) -> None:
    """Id, passthrough columns and outputs all become columns of the result, so their names must differ."""
    taken = {spec.name for spec in signature.outputs}
    kept = [("id", contract.id), *(("passthrough", name) for name in contract.passthrough)]
    for place, column in kept:
        if column in taken:
            raise BadContract(f"{column!r} is also an output of the model; rename the column", field=place)
    if contract.id is None and ROW in (*contract.passthrough, *taken):
        raise BadContract(f"name an id column: {ROW!r} would be in the result twice", field="id")


def _columns_of(spec: TensorSpec, contract: Contract, *, is_only: bool, have: FileColumns) -> tuple[str, ...]:
    """The columns named in the contract, else the one with the input's name; for a single JSON input also `features`."""
    named = contract.columns.get(spec.name)
    if named is not None:
        return (named,) if isinstance(named, str) else named
    if is_only and have.open_ended and spec.name not in have.names and "features" in have.names:
        return ("features",)
    return (spec.name,)


def _has_row_axis(spec: TensorSpec) -> bool:
    """A first axis of any size, or of size one, is the row axis; so is the first axis of an undeclared shape."""
    return spec.any_rank or (bool(spec.shape) and spec.shape[0] in (None, 1))


def _input(spec: TensorSpec, columns: tuple[str, ...], have: FileColumns) -> InputColumns:
    has_row_axis = _has_row_axis(spec)
    if len(columns) == 1 and (columns[0] in have.lists or have.open_ended):
        return InputColumns(spec, columns, None, has_row_axis)
    return InputColumns(spec, columns, _tail(spec, len(columns), has_row_axis), has_row_axis)


def _tail(spec: TensorSpec, width: int, has_row_axis: bool) -> tuple[int, ...]:
    """The shape for `width` single values of a row."""
    if spec.any_rank:
        return (width,)
    dims = spec.shape[1:] if has_row_axis else spec.shape
    known = prod(dim for dim in dims if dim is not None)
    free = dims.count(None)
    fits = free < 2 and known > 0 and (width % known == 0 if free else width == known)
    if not fits:
        shape = "×".join("any" if dim is None else str(dim) for dim in dims) or "one value"
        raise BadContract(
            f"{width:,} columns cannot fill {shape} per row; name one column per value, or a single column of lists",
            field=f"columns.{spec.name}",
        )
    return tuple(width // known if dim is None else dim for dim in dims)


def _check_match(contract: Contract, chosen: Mapping[str, Sequence[str]], have: FileColumns) -> None:
    """Refuse a file in which no column is named after an input: a column's position does not determine its input."""
    unnamed = [name for name in chosen if name not in contract.columns]
    names = set(have.names)
    if not names or not unnamed or any(names.intersection(columns) for columns in chosen.values()):
        return
    raise BadContract(
        f"the model's inputs are {_listed(unnamed)}, but no column has that name; the file has {_listed(have.names)}. "
        "Set the column, or list of columns, of each input in `columns`",
        field=f"columns.{unnamed[0]}",
    )


def _check_columns(contract: Contract, chosen: Mapping[str, Sequence[str]], have: FileColumns) -> None:
    required = [(f"columns.{name}", column) for name, columns in chosen.items() for column in columns]
    required += [("id", contract.id)] if contract.id else []
    required += [("passthrough", column) for column in contract.passthrough]
    names = set(have.names)
    for place, column in required:
        if column not in names:
            raise BadContract(f"the file has no column {column!r}; it has {_listed(have.names)}", field=place)
    for name, columns in chosen.items():
        if len(columns) > 1 and (lists := have.lists.intersection(columns)):
            raise BadContract(
                f"{min(lists)!r} holds lists; only columns of single values can be combined",
                field=f"columns.{name}",
            )


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    every = list(names)
    listed = ", ".join(repr(name[:80]) for name in every[:_MAX_LISTED]) or "none"
    return f"{listed} and {len(every) - _MAX_LISTED:,} more" if len(every) > _MAX_LISTED else listed
