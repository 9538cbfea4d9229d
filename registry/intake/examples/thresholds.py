"""What a golden set demands: a floor for everybody, and how much worse than the live version another may be."""

import math

from registry.errors import Invalid
from registry.intake.examples.models import Metric


def checked_floor(floor: float | None, metric: Metric) -> float | None:
    """Return the worst value that passes; None: no such demand."""
    if floor is None:
        return None
    if not math.isfinite(floor):
        raise Invalid("The floor must be a number.")
    if metric.less_is_better and floor < 0:
        raise Invalid("The floor of an error is the largest that passes; it is a number from 0 on.")
    if not metric.less_is_better and not 0 <= floor <= 1:
        raise Invalid(f"The floor of {metric.value} is a number from 0 to 1.")
    return float(floor)


def checked_margin(margin: float | None) -> float | None:
    """Return by how much a version may be worse than the live one; None: no such demand."""
    if margin is None:
        return None
    if not math.isfinite(margin) or margin < 0:
        raise Invalid(
            "The margin is how much worse than the live version another may be: a number from 0 on."
        )
    return float(margin)
