"""The golden gate: may this version take over, by its value on the golden set? Pure; rows in, one value out."""

from dataclasses import dataclass
from enum import StrEnum

from registry.intake.examples.models import GoldenResult, GoldenSet, Metric


class Measured(StrEnum):
    MEASURED = "measured"
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True, slots=True)
class GoldenGate:
    """`passes` is None where nothing is demanded or nothing was measured; `sentence` is for people."""

    state: Measured
    sentence: str
    metric: str | None = None
    value: float | None = None
    floor: float | None = None
    champion: int | None = None
    champion_value: float | None = None
    margin: float | None = None
    passes: bool | None = None

    @property
    def is_measured(self) -> bool:
        return self.state is Measured.MEASURED


def judge(
    *,
    version: int,
    golden_set: GoldenSet | None,
    result: GoldenResult | None,
    champion: int | None,
    champion_result: GoldenResult | None,
) -> GoldenGate:
    """Compare a version's value with the floor, and with the champion's value less the margin."""
    if golden_set is None:
        return GoldenGate(Measured.NOT_MEASURED, "The Model has no golden set to measure with.")
    metric = Metric(golden_set.metric)
    named = f"golden set {golden_set.revision}"
    if result is None:
        return GoldenGate(
            Measured.NOT_MEASURED,
            f"Version {version} was not measured on {named}; check it again.",
            metric=metric,
            floor=golden_set.floor,
            margin=golden_set.margin,
        )
    champion_value = champion_result.value if champion_result is not None else None
    clauses = [f"Version {version} has {metric.value} {result.value:.4g} on {named}"]
    verdicts = []
    if golden_set.floor is not None:
        holds = _not_worse(metric, result.value, golden_set.floor, 0)
        verdicts.append(holds)
        limit = "most" if metric.less_is_better else "least"
        clauses.append(f"{'as' if holds else 'but'} at {limit} {golden_set.floor:.4g} is demanded")
    if champion_value is not None and golden_set.margin is not None:
        holds = _not_worse(metric, result.value, champion_value, golden_set.margin)
        verdicts.append(holds)
        clauses.append(
            f"{'not' if holds else 'which is'} more than {golden_set.margin:.4g} worse than"
            f" the {champion_value:.4g} of version {champion}, which is live"
        )
    elif champion is not None and golden_set.margin is not None:
        clauses.append(f"version {champion}, which is live, was not measured on it")
    return GoldenGate(
        Measured.MEASURED,
        f"{', '.join(clauses)}.",
        metric=metric,
        value=result.value,
        floor=golden_set.floor,
        champion=champion,
        champion_value=champion_value,
        margin=golden_set.margin,
        passes=all(verdicts) if verdicts else None,
    )


def _not_worse(metric: Metric, value: float, other: float, margin: float) -> bool:
    """Whether the value is at most `margin` worse than the other; a rounding's width is no difference."""
    worse_by = value - other if metric.less_is_better else other - value
    return worse_by <= margin + 1e-9
