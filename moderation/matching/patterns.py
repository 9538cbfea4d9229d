"""Lists of regular expressions, with a limit of time, searched in a text as written and without its disguises."""

import time
from collections.abc import Iterator, Sequence

import regex

from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.patterns import compiled
from moderation.matching.errors import BadList, PatternTooSlow
from moderation.matching.texts import Readable, TextHit, after_marks

MAX_PATTERNS = 500
LIMIT_S = 0.5  # of a list on one text


class PatternList:
    """Regular expressions of the package `regex`. They know upper from lower case unless they say (?i)."""

    def __init__(self, patterns: Sequence[str], *, limit_s: float = LIMIT_S) -> None:
        """Raises BadList."""
        if len(patterns) > MAX_PATTERNS:
            raise BadList(f"A list may have at most {MAX_PATTERNS:,} patterns.", place=MAX_PATTERNS)
        self._limit_s = limit_s
        self._patterns = [(pattern, _compile(pattern, place)) for place, pattern in enumerate(patterns)]

    def find(self, text: Readable, *, most: int = 20) -> list[TextHit]:
        """Up to `most` hits, in the order of the text. Raises PatternTooSlow."""
        ends_at = time.monotonic() + self._limit_s
        found: dict[TextHit, None] = {}
        try:
            for hit in self._hits(text, ends_at):
                found[hit] = None
                if len(found) >= most:
                    break
        except TimeoutError:
            raise PatternTooSlow() from None
        return sorted(found)

    def _hits(self, text: Readable, ends_at: float) -> Iterator[TextHit]:
        plain, origins = text.undisguised
        for pattern, expression in self._patterns:
            for match in expression.finditer(text.text, timeout=_left(ends_at), concurrent=True):
                _left(ends_at)  # many short matches take their time, too
                if match.end() > match.start():
                    yield TextHit(match.start(), match.end(), pattern)
            if plain == text.text:
                continue
            for match in expression.finditer(plain, timeout=_left(ends_at), concurrent=True):
                _left(ends_at)
                if match.end() > match.start():
                    yield TextHit(
                        origins[match.start()], after_marks(text.text, origins[match.end() - 1] + 1), pattern
                    )


def _compile(pattern: str, place: int) -> "regex.Pattern[str]":
    try:
        expression = compiled(pattern, "patterns")
    except BadTaskConfig as error:
        raise BadList(str(error), place=place) from None
    if expression.fullmatch(""):
        raise BadList(
            "The pattern matches an empty text, so it matches everywhere. Make it need a character.",
            place=place,
        )
    return expression


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
