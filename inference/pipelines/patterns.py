"""Regular expressions of strangers: what is checked before anything compiles them, and how they are compiled."""

import re

import regex

from inference.pipelines.errors import BadTaskConfig

MAX_PATTERN_LENGTH, MAX_DEPTH = 1_000, 20
MAX_REPEATS, MAX_ALL_REPEATS = 1_000, 10_000
# What stands for itself; a set of characters; the braces of one repeat
_PARTS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]|\{[^{}()\[\]\\]*\}|.", re.DOTALL)
_COUNTS = re.compile(r"[0-9]*,?[0-9]*")
_FLAGS = re.compile(r"\(\?[A-Za-z0-9-]*[xV]")  # that change what a set or a repeat is
_UNCLEAR_PARTS = re.compile(r"\\.|[()]|\{[^{}()\[\]\\]*\}|.", re.DOTALL)
_COMMENT_IN_BRACES = re.compile(r"\{[^{}]*#")  # it may stand inside a number


def check_pattern(pattern: str, field: str) -> None:
    """Raise BadTaskConfig for a pattern that may take long to compile. Compiles nothing: processes that answer call it."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise BadTaskConfig(f"A pattern may have at most {MAX_PATTERN_LENGTH:,} characters.", field=field)
    if _COMMENT_IN_BRACES.search(pattern):
        raise BadTaskConfig("A pattern may have no comment in the number of a repeat.", field=field)
    deepest, size = _measured(pattern, field)
    if deepest > MAX_DEPTH:
        raise BadTaskConfig(
            f"A pattern may have at most {MAX_DEPTH} parentheses inside one another.", field=field
        )
    if size > MAX_ALL_REPEATS:
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


def _measured(pattern: str, field: str) -> tuple[int, int]:
    """How deep parentheses are nested, and how many parts there are if each repeat is written out.

    Where only a parser could tell what is in a set or in a comment, all repeats count as nested.
    """
    parts = _PARTS.findall(pattern)
    is_unclear = "#" in pattern or _FLAGS.search(pattern) is not None or any(map(_is_unclear_set, parts))
    open_groups = [1]  # the size of each so far; an empty one takes its place, too
    last, repeated, deepest = 0, 1, 0
    for part in _UNCLEAR_PARTS.findall(pattern) if is_unclear else parts:
        repeats = _repeats(part)
        if repeats > MAX_REPEATS:
            raise BadTaskConfig(f"A pattern may repeat a part at most {MAX_REPEATS:,} times.", field=field)
        repeated *= max(repeats, 1)
        if part == "(":
            open_groups.append(1)
            deepest = max(deepest, len(open_groups) - 1)
            continue
        if part == ")":
            last = open_groups.pop() if len(open_groups) > 1 else open_groups[0]
        elif repeats:
            last *= repeats - 1  # once, it is there already
        else:
            last = 1
        open_groups[-1] += last
    size = sum(open_groups)
    return deepest, repeated * len(pattern) if is_unclear and repeated > 1 else size


def _is_unclear_set(part: str) -> bool:
    return part.startswith("[") and not set("[(){}").isdisjoint(part[1:])


def _repeats(part: str) -> int:
    """How many times this part of a pattern repeats the one before it; 0 if it does not.

    The largest number if it is another pair of braces.
    """
    if not part.startswith("{"):
        return 0
    said = "".join(part.strip("{}").split())  # a pattern may allow white space, even inside a number
    largest = max(map(_value, re.findall(r"[0-9]+", said)), default=0)
    return largest if _COUNTS.fullmatch(said) or largest > MAX_REPEATS else 0


def _value(digits: str) -> int:
    return int(digits[:9])  # long numbers take long to read
