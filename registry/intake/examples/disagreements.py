"""Where two versions answered a golden set differently, row by row. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from registry.intake.examples.models import MAX_WRONG, GoldenResult


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One row; the version that was right answered what was expected."""

    row: int
    expected: Any
    left: Any
    right: Any
    left_is_right: bool
    right_is_right: bool


@dataclass(frozen=True, slots=True)
class Disagreements:
    """`complete` is False where a list of wrong answers was cut: rows beyond `known_to` are not told."""

    found: Sequence[Disagreement]
    known_to: int | None

    @property
    def complete(self) -> bool:
        return self.known_to is None


def disagreements(left: GoldenResult, right: GoldenResult) -> Disagreements:
    """Rows of one golden set that two versions answered differently, in their order."""
    wrong_left, wrong_right = ({one["row"]: one for one in result.wrong} for result in (left, right))
    ends = [max(wrong) for wrong in (wrong_left, wrong_right) if len(wrong) >= MAX_WRONG]
    known_to = min(ends, default=None)
    found = []
    for row in sorted(wrong_left.keys() | wrong_right.keys()):
        if known_to is not None and row > known_to:
            break
        one, other = wrong_left.get(row), wrong_right.get(row)
        expected = (one or other or {})["expected"]
        got_left = one["got"] if one is not None else expected
        got_right = other["got"] if other is not None else expected
        if one is None or other is None or got_left != got_right:
            found.append(Disagreement(row, expected, got_left, got_right, one is None, other is None))
    return Disagreements(found, known_to)
