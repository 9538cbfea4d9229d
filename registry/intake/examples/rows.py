"""Rows with labels and examples, as people write them: read, bounded, and refused with the line that is wrong."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from registry.errors import BodyTooLarge, Invalid
from registry.intake.examples.models import Metric
from registry.kit.text import storable

MAX_ROWS, MAX_SET_BYTES, MAX_LINE_BYTES = 100_000, 256 * 2**20, 4 * 2**20
MAX_EXAMPLES, MAX_EXAMPLE_BYTES = 100, 2**20
ATOL, RTOL = 1e-5, 1e-3
_MAX_LABEL, _MAX_NAME, _DEEPEST = 200, 500, 16
_NUMBERS = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """One row of a golden set; `number` counts from 1."""

    number: int
    inputs: dict[str, Any]
    label: Any


@dataclass(frozen=True, slots=True)
class Example:
    """One example before it is a row of the database."""

    inputs: dict[str, Any]
    expected: dict[str, Any]
    atol: float
    rtol: float


def parse_row(line: bytes, number: int) -> GoldenRow:
    """Read a line that was checked when it came in."""
    row = orjson.loads(line)
    return GoldenRow(number, row["inputs"], row["label"])


def checked_lines(lines: Iterable[bytes], metric: Metric) -> Iterator[bytes]:
    """Hand on each line that is a good row, ended by a newline; raise Invalid naming the first that is not.

    Empty lines are left out, so that the n-th line of what is stored is row n.
    """
    size, rows = 0, 0
    for number, raw in enumerate(lines, start=1):
        size += len(raw)
        if size > MAX_SET_BYTES:
            raise BodyTooLarge(f"A golden set may have {MAX_SET_BYTES:,} bytes; this one has more.")
        line = raw.strip()
        if not line:
            continue
        rows += 1
        if rows > MAX_ROWS:
            raise Invalid(f"A golden set may have {MAX_ROWS:,} rows; line {number} is one too many.")
        _check_line(line, number, metric)
        yield line + b"\n"
    if not rows:
        raise Invalid('The golden set is empty; write one JSON object per line: {"inputs": {…}, "label": …}.')


def checked_examples(given: Iterable[Any]) -> list[Example]:
    """Return examples as they are stored; raise Invalid naming the first that is wrong, counted from 1."""
    found = []
    for number, example in enumerate(given, start=1):
        if number > MAX_EXAMPLES:
            raise Invalid(f"A version may have {MAX_EXAMPLES} examples; these are more.")
        found.append(_checked_example(example, f"Example {number}"))
    if not found:
        raise Invalid('Give at least one example: {"inputs": {…}, "expected": {…}}.')
    return found


def size_of(inputs: Mapping[str, Any], expected: Mapping[str, Any]) -> int:
    """Bytes of an example, as they are counted against the limit."""
    return len(orjson.dumps([inputs, expected]))


def _check_line(line: bytes, number: int, metric: Metric) -> None:
    where = f"Line {number}"
    if len(line) > MAX_LINE_BYTES:
        raise Invalid(f"{where} is longer than {MAX_LINE_BYTES:,} bytes.")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{where} is not valid JSON: {error}.") from None
    if not isinstance(row, dict) or set(row) != {"inputs", "label"}:
        raise Invalid(f'{where} must be an object of exactly two members: {{"inputs": {{…}}, "label": …}}.')
    _check_tensors(row["inputs"], f"{where}: `inputs`")
    _check_label(row["label"], where, metric)


def _check_label(label: Any, where: str, metric: Metric) -> None:
    if metric.less_is_better:
        numbers = label if isinstance(label, list) and label else [label]
        if not all(_is_number(number) for number in numbers):
            raise Invalid(f"{where}: for {metric.value}, `label` is a number or a list of numbers.")
    elif not isinstance(label, (str, int)) or (
        isinstance(label, str) and (len(label) > _MAX_LABEL or label != storable(label, _MAX_LABEL))
    ):
        raise Invalid(
            f"{where}: for {metric.value}, `label` is a text of at most {_MAX_LABEL} characters or a whole number."
        )


def _checked_example(example: Any, where: str) -> Example:
    if not isinstance(example, Mapping):
        raise Invalid(f'{where} must be an object such as {{"inputs": {{…}}, "expected": {{…}}}}.')
    if others := sorted(str(name) for name in example.keys() - {"inputs", "expected", "atol", "rtol"}):
        raise Invalid(f"{where} has unknown members: {', '.join(others)[:_MAX_NAME]}.")
    for name in ("inputs", "expected"):
        _check_tensors(example.get(name), f"{where}: `{name}`")
    tolerances = {name: example.get(name, usual) for name, usual in (("atol", ATOL), ("rtol", RTOL))}
    for name, value in tolerances.items():
        if not _is_number(value) or value < 0:
            raise Invalid(f"{where}: `{name}` is a number from 0 on.")
    return Example(
        dict(example["inputs"]),
        dict(example["expected"]),
        float(tolerances["atol"]),
        float(tolerances["rtol"]),
    )


def _check_tensors(tensors: Any, where: str) -> None:
    if not isinstance(tensors, Mapping) or not tensors:
        raise Invalid(f"{where} must be an object with a value for each name.")
    for name, value in tensors.items():
        if not isinstance(name, str) or not name or name != storable(name, _MAX_NAME):
            raise Invalid(f"{where} has a name that is empty or longer than {_MAX_NAME} characters.")
        if not _is_value(value, 0):
            raise Invalid(f"{where}, {name[:64]!r} must be numbers, texts, true or false, or lists of them.")


def _is_value(value: Any, depth: int) -> bool:
    if isinstance(value, list):
        if _NUMBERS.issuperset(map(type, value)):
            return depth < _DEEPEST and all(
                map(math.isfinite, value)
            )  # an image's numbers, without a call for each
        return depth < _DEEPEST and all(_is_value(one, depth + 1) for one in value)
    if isinstance(value, str):
        return value == storable(value, len(value))
    return isinstance(value, bool) or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
