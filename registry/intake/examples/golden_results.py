"""What golden results say: thresholds, whether a version meets them, and where two versions differ. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from registry.errors import Invalid
from registry.intake.examples.models import MAX_WRONG, GoldenResult, GoldenSet, Metric


def checked_floor(floor: float | None, metric: Metric) -> float | None:
    """Return the worst value that passes, or None for no floor."""
    if floor is None:
        return None
    if not math.isfinite(floor):
        raise Invalid("The floor must be a number.")
    if metric.less_is_better and floor < 0:
        raise Invalid(f"The floor of {metric.value} is the largest value that passes; it must be 0 or more.")
    if not metric.less_is_better and not 0 <= floor <= 1:
        raise Invalid(f"The floor of {metric.value} must be a number from 0 to 1.")
    return float(floor)


def checked_margin(margin: float | None) -> float | None:
    """Return how much worse a version may be than the live one, or None for no margin."""
    if margin is None:
        return None
    if not math.isfinite(margin) or margin < 0:
        raise Invalid(
            "The margin is how much worse a version may be than the live one; it must be 0 or more."
        )
    return float(margin)


@dataclass(frozen=True, slots=True)
class GoldenGate:
    """`passes` is None if nothing is required or nothing was measured; `sentence` is for people."""

    sentence: str
    metric: str | None = None
    value: float | None = None
    floor: float | None = None
    champion: int | None = None
    champion_value: float | None = None
    margin: float | None = None
    passes: bool | None = None
    # The set was made for versions that turn requests into something else, or that is not known.
    other_preprocessing: bool = False


def judge(
    *,
    version: int,
    golden_set: GoldenSet | None,
    result: GoldenResult | None,
    champion: int | None,
    champion_result: GoldenResult | None,
    preprocessing: str = "",
) -> GoldenGate:
    """Compare a version's value with the floor, and with the champion's value less the margin.

    `preprocessing` is the version's hash. A set that was made for another one says nothing about the version. A
    version that an earlier release checked has none until its next check.
    """
    if golden_set is None:
        return GoldenGate("The Model has no golden set.")
    metric, floor, margin = Metric(golden_set.metric), golden_set.floor, golden_set.margin
    label = f"golden set {golden_set.revision}"
    if golden_set.preprocessing and preprocessing != golden_set.preprocessing:
        made_for = f"{label.capitalize()} was made for pre-processing {golden_set.preprocessing}"
        return GoldenGate(
            f"{made_for}, but version {version} has {preprocessing}."
            f" If its rows and labels still hold, put the set again for version {version}."
            if preprocessing
            else f"{made_for}, and that of version {version} is not known; check it again.",
            metric=metric,
            value=result.value if result is not None else None,
            floor=floor,
            margin=margin,
            passes=False,
            other_preprocessing=True,
        )
    if result is None:
        sentence = f"Version {version} has not been measured on {label}; check it again."
        return GoldenGate(sentence, metric=metric, floor=floor, margin=margin)
    champion_value = champion_result.value if champion_result is not None else None
    clauses = [f"Version {version} has {metric.value} {result.value:.4g} on {label}"]
    verdicts = []
    if floor is not None:
        verdicts.append(_is_not_worse(metric, result.value, floor, 0))
        limit = "most" if metric.less_is_better else "least"
        clauses.append(f"{'where' if verdicts[-1] else 'but'} at {limit} {floor:.4g} is required")
    if champion_value is not None and margin is not None:
        verdicts.append(_is_not_worse(metric, result.value, champion_value, margin))
        clauses.append(
            f"{'not' if verdicts[-1] else 'which is'} more than {margin:.4g} worse than"
            f" live version {champion} ({champion_value:.4g})"
        )
    elif champion is not None and margin is not None:
        clauses.append(f"live version {champion} has not been measured on it")
    return GoldenGate(
        f"{', '.join(clauses)}.",
        metric=metric,
        value=result.value,
        floor=floor,
        champion=champion,
        champion_value=champion_value,
        margin=margin,
        passes=all(verdicts) if verdicts else None,
    )


def _is_not_worse(metric: Metric, value: float, other: float, margin: float) -> bool:
    """Whether the value is at most `margin` worse than the other, ignoring rounding errors."""
    worse_by = value - other if metric.less_is_better else other - value
    return worse_by <= margin + 1e-9


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row that two versions answered differently; a version that was right gave the expected answer."""

    row: int
    expected: Any
    left: Any
    right: Any
    left_is_right: bool
    right_is_right: bool


@dataclass(frozen=True, slots=True)
class Disagreements:
    """Rows beyond `known_to` are unknown, because a list of wrong answers was cut off; None means that all are known."""

    found: Sequence[Disagreement]
    known_to: int | None

    @property
    def complete(self) -> bool:
        return self.known_to is None


def disagreements(left: GoldenResult, right: GoldenResult) -> Disagreements:
    """The rows of a golden set that two versions answered differently, in order."""
    wrong_left, wrong_right = ({answer["row"]: answer for answer in result.wrong} for result in (left, right))
    cut_at = [max(wrong) for wrong in (wrong_left, wrong_right) if len(wrong) >= MAX_WRONG]
    known_to = min(cut_at, default=None)
    found = []
    for row in sorted(wrong_left.keys() | wrong_right.keys()):
        if known_to is not None and row > known_to:
            break
        of_left, of_right = wrong_left.get(row), wrong_right.get(row)
        expected = (of_left or of_right or {})["expected"]
        got_left = of_left["got"] if of_left is not None else expected
        got_right = of_right["got"] if of_right is not None else expected
        if of_left is None or of_right is None or got_left != got_right:
            found.append(Disagreement(row, expected, got_left, got_right, of_left is None, of_right is None))
    return Disagreements(found, known_to)
