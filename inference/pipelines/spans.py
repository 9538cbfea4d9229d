"""Places in a text: in which unit they are counted, and where they may begin and end.

Inside, a place is an index of a Python string: it counts code points. Callers choose the unit of their own language.
"""

from bisect import bisect_left
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property

import regex

_CHARACTER = regex.compile(r"\X")
_ESCAPED = "surrogatepass"  # JSON may contain halves of surrogate pairs


class OffsetUnit(StrEnum):
    """What a place counts. Python counts code points, JavaScript and Java UTF-16 units, Go and Rust bytes of UTF-8."""

    CODEPOINT = "codepoint"
    UTF16 = "utf16"
    BYTE = "byte"


def in_unit(text: str, places: Iterable[int], unit: OffsetUnit) -> list[int]:
    """The places in this unit, in their order. Reads the text once, however many there are."""
    places = list(places)
    if unit is OffsetUnit.CODEPOINT or text.isascii():
        return places
    converted: dict[int, int] = {}
    before = counted = 0
    for place in sorted(set(places)):
        counted += _length(text[before:place], unit)
        converted[place] = counted
        before = place
    return [converted[place] for place in places]


def _length(piece: str, unit: OffsetUnit) -> int:
    if unit is OffsetUnit.BYTE:
        return len(piece.encode("utf-8", _ESCAPED))
    return len(piece.encode("utf-16-le", _ESCAPED)) // 2


class Characters:
    """The characters of a text as people see them: an emoji of several code points, a letter and its accent, a syllable."""

    def __init__(self, text: str) -> None:
        self._text = text

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span without white space around it, widened to whole characters: a token may end inside one."""
        text = self._text
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start == end:
            return start, end
        return self._boundary(start, before=True), self._boundary(end, before=False)

    def _boundary(self, place: int, *, before: bool) -> int:
        """The place itself if a character begins there; otherwise the nearest such place before or after it."""
        if self._is_sure(place):
            return place
        at = bisect_left(self._boundaries, place)
        if self._boundaries[at] == place:
            return place
        return self._boundaries[at - 1 if before else at]

    def _is_sure(self, place: int) -> bool:
        """Whether a character begins here for certain, so that the others need not be found."""
        text = self._text
        if place in {0, len(text)}:
            return True
        before, after = text[place - 1], text[place]
        return before.isascii() and after.isascii() and not (before == "\r" and after == "\n")

    @cached_property
    def _boundaries(self) -> list[int]:
        return [0, *(character.end() for character in _CHARACTER.finditer(self._text))]
