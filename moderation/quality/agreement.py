"""How well people agree beyond chance, from contents that two people judged without seeing each other's verdict."""

from collections.abc import Callable

from moderation.quality.estimates import Estimate

LEAST_DOUBLE_REVIEWS = 20
_CHI_SQUARED = 3.841459  # with one degree of freedom; 95 %
_HALVINGS = 50


def estimate_agreement(*, both_violate: int, neither_violates: int, differ: int) -> Estimate:
    """Kappa: 1 if people always agree, 0 if they agree as often as by chance.

    The two people of a double review are interchangeable, so chance is computed from all verdicts together. None with
    fewer than 20 double reviews, and if all verdicts are the same: then there was nothing that people could disagree on.
    The interval is that of Donner and Eliasziw (1992), which holds where violations are rare and agreement is high.
    """
    count = both_violate + neither_violates + differ
    violate, do_not = 2 * both_violate + differ, 2 * neither_violates + differ
    if count < LEAST_DOUBLE_REVIEWS or not violate or not do_not:
        return Estimate(None, -1.0, 1.0, count)
    rate, other_rate = violate / (2 * count), do_not / (2 * count)
    kappa = 1 - differ / (2 * count * rate * other_rate)

    def is_plausible(value: float) -> bool:
        chance = rate * other_rate
        expected = (rate**2 + value * chance, other_rate**2 + value * chance, 2 * chance * (1 - value))
        distance = 0.0
        for seen, share in zip((both_violate, neither_violates, differ), expected, strict=True):
            wanted = count * share
            if wanted > 0:
                distance += (seen - wanted) ** 2 / wanted
            elif seen:
                return False
        return distance <= _CHI_SQUARED

    least = -min(rate / other_rate, other_rate / rate)  # below, a share would be negative
    return Estimate(kappa, _last(is_plausible, kappa, least), _last(is_plausible, kappa, 1.0), count)


def _last(is_plausible: Callable[[float], bool], start: float, end: float) -> float:
    """The plausible value that is nearest to the end. From the start on, plausible values have no gap."""
    if is_plausible(end):
        return end
    for _ in range(_HALVINGS):
        middle = (start + end) / 2
        if is_plausible(middle):
            start = middle
        else:
            end = middle
    return start
