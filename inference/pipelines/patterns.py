"""Regular expressions of strangers: what is checked before anything compiles them, and how they are compiled."""

import re
from collections.abc import Iterator
from math import prod

import regex

from inference.pipelines.errors import BadTaskConfig

MAX_PATTERN_LENGTH, MAX_DEPTH = 1_000, 20
MAX_REPEATS, MAX_ALL_REPEATS = 1_000, 10_000
# What stands for itself; the braces of one repeat. Sets of characters are read as if they were not: that may refuse
# an odd pattern, but lets none pass.
_PARTS = re.compile(r"\\.|[()]|\{[^{}]*\}?", re.DOTALL)
_COUNTS = re.compile(r"[0-9]*,?[0-9]*")


def check_pattern(pattern: str, field: str) -> None:
    """Raise BadTaskConfig for a pattern that may take long to compile. Compiles nothing: processes that answer call it."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise BadTaskConfig(f"A pattern may have at most {MAX_PATTERN_LENGTH:,} characters.", field=field)
    if _depth(pattern) > MAX_DEPTH:
        raise BadTaskConfig(
            f"A pattern may have at most {MAX_DEPTH} parentheses inside one another.", field=field
        )
    of_groups, of_others = [1], [1]
    for before, repeats in _repeats(pattern):
        if repeats > MAX_REPEATS:
            raise BadTaskConfig(f"A pattern may repeat a part at most {MAX_REPEATS:,} times.", field=field)
        # Only groups can have other repeats inside; white space and comments may stand behind one.
        (of_groups if before in {")", "}"} or before.isspace() else of_others).append(max(repeats, 1))
    if prod(of_groups) * sum(of_others) > MAX_ALL_REPEATS:
        raise BadTaskConfig(
            f"With repeats inside repeats, a pattern may repeat its parts at most {MAX_ALL_REPEATS:,} times.",
            field=field,
        )


def compiled(pattern: str, field: str) -> "regex.Pattern[str]":
    """Raises BadTaskConfig."""
    check_pattern(pattern, field)
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise BadTaskConfig(f"It is not a regular expression: {error}.", field=field) from None
    except (RecursionError, OverflowError, MemoryError):
        raise BadTaskConfig("It is too large for a regular expression.", field=field) from None


def _depth(pattern: str) -> int:
    deepest = depth = 0
    for part in _PARTS.findall(pattern):
        depth += {"(": 1, ")": -1}.get(part, 0)
        depth = max(depth, 0)
        deepest = max(deepest, depth)
    return deepest


def _repeats(pattern: str) -> Iterator[tuple[str, int]]:
    """The largest number in each pair of braces, and the character before it."""
    for part in _PARTS.finditer(pattern):
        if not part[0].startswith("{"):
            continue
        said = "".join(part[0].strip("{}").split())  # a pattern may allow white space, even inside a number
        numbers = [_value(number) for number in re.findall(r"[0-9]+", said)]
        if "#" in said:  # a comment may stand inside a number
            numbers.append(MAX_REPEATS + 1)
        before = pattern[part.start() - 1 : part.start()]
        if numbers and (_COUNTS.fullmatch(said) or max(numbers) > MAX_REPEATS):
            yield before, max(numbers)


def _value(digits: str) -> int:
    return int(digits[:9])  # long numbers take long to read
