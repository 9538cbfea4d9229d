"""Reads golden sets (JSONL) and examples, with one set of limits; errors name the line or example that is wrong."""

import math
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from registry.errors import BodyTooLarge, Invalid
from registry.intake.examples.models import Metric
from registry.kit.text import storable

MAX_ROWS, MAX_SET_BYTES, MAX_LINE_BYTES = 100_000, 256 * 2**20, 4 * 2**20
MAX_PICTURE_BYTES = 10 * 2**20
MAX_EXAMPLES, MAX_EXAMPLE_BYTES = 100, 2**20
ATOL, RTOL = 1e-5, 1e-3
_MAX_LABEL, _MAX_NAME, _DEEPEST = 200, 500, 16
_NUMBERS = frozenset({int, float})
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """One row of a golden set; `number` counts from 1."""

    number: int
    inputs: dict[str, Any]
    label: Any
    bytes: int  # as stored


class NamedLine(NamedTuple):
    """A line that was made of something that the sender knows by another name, such as a picture in a zip."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Example:
    """An example before it is stored."""

    inputs: dict[str, Any]
    expected: dict[str, Any]
    atol: float
    rtol: float


def read_rows(path: Path) -> Iterator[GoldenRow]:
    """Read the rows of a stored golden set, one at a time."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            yield _row(number, line)


def read_rows_numbered(path: Path, numbers: Collection[int]) -> Iterator[GoldenRow]:
    """Read only the rows with these numbers, in order; those that the set does not have are left out."""
    offsets = _row_offsets(path)
    with path.open("rb") as file:
        for number in sorted(set(numbers)):
            if 1 <= number < len(offsets):
                file.seek(offsets[number - 1])
                yield _row(number, file.readline())


@lru_cache(maxsize=8)  # of at most 800 KB
def _row_offsets(path: Path) -> "array[int]":
    """Where each row starts, and where the last one ends. A stored file never changes."""
    offsets = array("Q", [0])
    with path.open("rb") as file:
        for line in file:
            offsets.append(offsets[-1] + len(line))
    return offsets


def _row(number: int, line: bytes) -> GoldenRow:
    row = orjson.loads(line)
    return GoldenRow(number, row["inputs"], row["label"], len(line))


RowCheck = Callable[[Mapping[str, Any], Any], None]


def max_line_bytes(has_pictures: bool) -> int:
    """How long a row may be: with a picture, as long as the largest one in base64 and its boxes."""
    return MAX_PICTURE_BYTES * 3 // 2 if has_pictures else MAX_LINE_BYTES


def checked_lines(
    lines: Iterable[bytes | NamedLine],
    metric: Metric,
    check_row: RowCheck | None = None,
    *,
    has_pictures: bool = False,
) -> Iterator[bytes]:
    """Yield each line, ending in a newline; raise Invalid naming the first that is not a valid row.

    Empty lines are skipped, so that line n of the stored file is row n. `check_row` is that of the Model's task.
    """
    size, rows, longest = 0, 0, max_line_bytes(has_pictures)
    for number, sent in enumerate(lines, start=1):
        where, raw = sent if isinstance(sent, NamedLine) else (f"Line {number}", sent)
        size += len(raw)
        if size > MAX_SET_BYTES:
            raise BodyTooLarge(f"A golden set may have at most {MAX_SET_BYTES:,} bytes.")
        line = raw.strip()
        if not line:
            continue
        rows += 1
        if rows > MAX_ROWS:
            raise Invalid(f"A golden set may have at most {MAX_ROWS:,} rows; line {number} is one too many.")
        if len(line) > longest:
            raise Invalid(f"{where} is longer than {longest:,} bytes.")
        _check_line(line, where, metric, check_row)
        yield line + b"\n"
    if not rows:
        raise Invalid('The golden set is empty; write one JSON object per line: {"inputs": {…}, "label": …}.')


def checked_examples(examples: Iterable[Any]) -> list[Example]:
    """Return valid examples; raise Invalid naming the first that is not, counted from 1."""
    checked = []
    for number, example in enumerate(examples, start=1):
        if number > MAX_EXAMPLES:
            raise Invalid(f"A version may have at most {MAX_EXAMPLES} examples.")
        checked.append(_checked_example(example, f"Example {number}"))
    if not checked:
        raise Invalid('Give at least one example: {"inputs": {…}, "expected": {…}}.')
    return checked


def size_of(inputs: Mapping[str, Any], expected: Mapping[str, Any]) -> int:
    """The bytes of an example that count towards the limit."""
    return len(orjson.dumps([inputs, expected]))


def _check_line(line: bytes, where: str, metric: Metric, check_row: RowCheck | None) -> None:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{where} is not valid JSON: {error}.") from None
    if not isinstance(row, dict) or set(row) != {"inputs", "label"}:
        raise Invalid(f'{where} must be an object with exactly two members: {{"inputs": {{…}}, "label": …}}.')
    _check_tensors(row["inputs"], f"{where}: `inputs`", may_have_objects=check_row is not None)
    if check_row is None:
        _check_label(row["label"], where, metric)
        return
    try:
        check_row(row["inputs"], row["label"])
    except Invalid as error:
        raise Invalid(f"{where}: {error}") from None


def _check_label(label: Any, where: str, metric: Metric) -> None:
    if metric.less_is_better:
        numbers = label if isinstance(label, list) and label else [label]
        if not all(_is_number(number) for number in numbers):
            raise Invalid(f"{where}: for {metric.value}, `label` is a number or a list of numbers.")
    elif not isinstance(label, (str, int)) or (
        isinstance(label, str) and (len(label) > _MAX_LABEL or label != storable(label, _MAX_LABEL))
    ):
        raise Invalid(
            f"{where}: for {metric.value}, `label` is a string of at most {_MAX_LABEL} characters or a whole number."
        )


def _checked_example(example: Any, where: str) -> Example:
    if not isinstance(example, Mapping):
        raise Invalid(f'{where} must be an object like {{"inputs": {{…}}, "expected": {{…}}}}.')
    if others := sorted(str(name) for name in example.keys() - {"inputs", "expected", "atol", "rtol"}):
        raise Invalid(f"{where} has unknown members: {', '.join(others)[:_MAX_NAME]}.")
    for name in ("inputs", "expected"):
        _check_tensors(example.get(name), f"{where}: `{name}`")
    tolerances = {name: example.get(name, default) for name, default in (("atol", ATOL), ("rtol", RTOL))}
    for name, value in tolerances.items():
        if not _is_number(value) or value < 0:
            raise Invalid(f"{where}: `{name}` must be a number, 0 or more.")
    return Example(
        dict(example["inputs"]),
        dict(example["expected"]),
        float(tolerances["atol"]),
        float(tolerances["rtol"]),
    )


def _check_tensors(tensors: Any, where: str, *, may_have_objects: bool = False) -> None:
    """`may_have_objects`: values may be objects, such as rows of named columns, and null, a missing value."""
    if not isinstance(tensors, Mapping) or not tensors:
        raise Invalid(f"{where} must be an object with a value for each name.")
    for name, value in tensors.items():
        if not _is_name(name):
            raise Invalid(f"{where} has a name that is empty or longer than {_MAX_NAME} characters.")
        if not _is_value(value, 0, may_have_objects):
            others = ", null, or lists and objects of these" if may_have_objects else ", or lists of these"
            raise Invalid(f"{where}, {name[:64]!r} must be a number, a string, true, false{others}.")


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name) and name == storable(name, _MAX_NAME)


def _is_value(value: Any, depth: int, may_have_objects: bool) -> bool:
    if isinstance(value, list):
        if _NUMBERS.issuperset(map(type, value)):
            # fast path for long lists of numbers, such as images: no function call per number
            return depth < _DEEPEST and all(map(math.isfinite, value))
        return depth < _DEEPEST and all(_is_value(item, depth + 1, may_have_objects) for item in value)
    if isinstance(value, dict) and may_have_objects:
        return depth < _DEEPEST and all(
            _is_name(name) and _is_value(item, depth + 1, True) for name, item in value.items()
        )
    if isinstance(value, str):
        return value == storable(value, len(value))
    return isinstance(value, bool) or _is_number(value) or (value is None and may_have_objects)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def pieces_of(read: Callable[[int], bytes], length: int) -> Iterator[bytes]:
    """A body in pieces; raise Invalid if it ends before its announced length."""
    missing = length
    try:
        while missing and (piece := read(min(missing, _PIECE))):
            missing -= len(piece)
            yield piece
    except OSError:  # the client hung up
        pass
    if missing:
        raise Invalid(f"The body ended {missing:,} bytes early; send it again.")


def lines_of(pieces: Iterable[bytes], *, has_pictures: bool = False) -> Iterator[bytes]:
    """Lines without their line endings. A line that is too long is passed on early, so that it is refused."""
    longest = max_line_bytes(has_pictures)
    rest: list[bytes] = []
    held = 0
    for piece in pieces:
        first, *more = piece.split(b"\n")
        rest.append(first)
        held += len(first)
        if more:
            yield b"".join(rest)
            yield from more[:-1]
            rest, held = [more[-1]], len(more[-1])
        if held > longest + 1:
            yield b"".join(rest)
            rest, held = [], 0
    if held:
        yield b"".join(rest)
