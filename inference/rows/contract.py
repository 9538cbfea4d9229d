"""The row contract: how the columns of a file become a model's inputs, and what happens to rows that do not fit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from inference.rows.errors import BadContract, TooManyBadRows
from inference.rows.files import ENTRY_NAME, FileFormat


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that cannot be used. `row` is its number in the file, not counting the header and empty lines."""

    row: int
    id: str | int | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"row": self.row, "id": self.id, "reason": self.reason}


ERROR_LIMIT = 1_000
MAX_ERROR_LIMIT = 100_000
MAX_NAME = 200
MAX_COLUMNS = 10_000  # per input
MAX_INPUTS = 100
MAX_PASSTHROUGH = 100


class OnRowError(StrEnum):
    FAIL = "fail"  # the first bad row fails the job
    SKIP = "skip"  # bad rows go to the errors file, up to the limit


class Missing(StrEnum):
    ERROR = "error"  # an empty cell, null or NaN makes the row bad
    NAN = "nan"  # they become NaN in float inputs; for other inputs the row is still bad


@dataclass(frozen=True, slots=True)
class Contract:
    """How rows become inputs.

    `columns`: input → its column, or several columns with one number each. An input that is not listed uses the
    column with the same name; in JSON the only input of a model may also be called `features`. Columns are never
    matched by position.
    `id`: the column that identifies rows in results and errors; without it rows are numbered from 1, or named if they are
    the entries of a zip.
    `passthrough`: columns to copy to the result.
    Rows with infinite numbers are always bad.
    """

    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    id: str | None = None
    passthrough: tuple[str, ...] = ()
    on_row_error: OnRowError = OnRowError.FAIL
    error_limit: int = ERROR_LIMIT
    missing: Missing = Missing.ERROR

    @property
    def errors_allowed(self) -> int:
        return self.error_limit if self.on_row_error is OnRowError.SKIP else 0

    def for_format(self, format: FileFormat) -> "Contract":
        """The same for rows of this format: entries of a zip are identified by their names unless it says otherwise."""
        is_named = format is FileFormat.ZIP and self.id is None and ENTRY_NAME not in self.passthrough
        return replace(self, id=ENTRY_NAME) if is_named else self

    def check_errors(self, count: int, last: RowError | None = None) -> None:
        """Raise TooManyBadRows if a job has more bad rows than the contract allows."""
        if count <= self.errors_allowed:
            return
        example = f" Row {last.row}: {last.reason}" if last else ""
        if self.on_row_error is OnRowError.FAIL:
            raise TooManyBadRows(f"A row cannot be used, and the job was to fail at the first one.{example}")
        raise TooManyBadRows(f"More than {self.error_limit:,} rows cannot be used.{example}")

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> "Contract":
        """Parse and check what can be checked without a file; raise BadContract, which names the field."""
        data = {} if data is None else data
        if not isinstance(data, Mapping):
            raise BadContract(f"send an object, not {_kind(data)}", field="row_contract")
        known = ("columns", "id", "passthrough", "on_row_error", "error_limit", "missing")
        for name in data:
            if name not in known:
                raise BadContract(
                    f"unknown field; use one of: {', '.join(known)}", field=str(name)[:MAX_NAME]
                )
        contract = cls(
            columns=_columns(data.get("columns") or {}),
            id=None if data.get("id") is None else _name(data["id"], "id"),
            passthrough=_names(data.get("passthrough") or (), "passthrough", MAX_PASSTHROUGH),
            on_row_error=_choice(OnRowError, data.get("on_row_error", OnRowError.FAIL), "on_row_error"),
            error_limit=_count(data.get("error_limit", ERROR_LIMIT), "error_limit"),
            missing=_choice(Missing, data.get("missing", Missing.ERROR), "missing"),
        )
        if contract.id in contract.passthrough:
            raise BadContract(
                f"{contract.id!r} is the id, which is always in the result", field="passthrough"
            )
        return contract

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": {
                name: value if isinstance(value, str) else list(value) for name, value in self.columns.items()
            },
            "id": self.id,
            "passthrough": list(self.passthrough),
            "on_row_error": self.on_row_error.value,
            "error_limit": self.error_limit,
            "missing": self.missing.value,
        }


def _columns(value: object) -> dict[str, str | tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise BadContract(f"send an object of input → column, not {_kind(value)}", field="columns")
    if len(value) > MAX_INPUTS:
        raise BadContract(f"has {len(value):,} inputs; the limit is {MAX_INPUTS}", field="columns")
    columns: dict[str, str | tuple[str, ...]] = {}
    for name, column in value.items():
        _name(name, "columns")
        place = f"columns.{name}"
        columns[name] = (
            _name(column, place) if isinstance(column, str) else _names(column, place, MAX_COLUMNS)
        )
        if not columns[name]:
            raise BadContract("name at least one column", field=place)
    return columns


def _names(value: object, place: str, limit: int) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadContract(f"send a list of column names, not {_kind(value)}", field=place)
    if len(value) > limit:
        raise BadContract(f"has {len(value):,} columns; the limit is {limit:,}", field=place)
    names = tuple(_name(item, f"{place}[{index}]") for index, item in enumerate(value))
    if len(set(names)) != len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise BadContract(f"has {twice!r} twice", field=place)
    return names


def _name(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise BadContract(f"send a column name, not {_kind(value)}", field=place)
    if not 0 < len(value) <= MAX_NAME:
        raise BadContract(f"a name must have 1 to {MAX_NAME} characters, not {len(value):,}", field=place)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadContract("the name is not valid Unicode", field=place) from None
    return value


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(kind: type[_Choice], value: object, place: str) -> _Choice:
    if value not in tuple(kind):
        raise BadContract(f"send one of {', '.join(kind)}", field=place)
    return kind(str(value))


def _count(value: object, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ERROR_LIMIT:
        raise BadContract(f"send a whole number from 0 to {MAX_ERROR_LIMIT:,}", field=place)
    return value


def _kind(value: object) -> str:
    names = {
        type(None): "null",
        bool: "true/false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
    }
    return names.get(type(value), "an object")
