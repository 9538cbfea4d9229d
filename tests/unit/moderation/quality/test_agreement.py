import numpy as np
import pytest

from moderation.quality.agreement import LEAST_DOUBLE_REVIEWS, estimate_agreement


@pytest.mark.parametrize("violating", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("kappa", [0.3, 0.6, 0.9])
def test_interval_covers_the_truth(violating, kappa):
    chance = violating * (1 - violating)
    shares = [violating**2 + kappa * chance, (1 - violating) ** 2 + kappa * chance, 2 * chance * (1 - kappa)]
    draws = np.random.default_rng(4).multinomial(100, shares, 500).tolist()

    estimates = [
        estimate_agreement(both_violate=both, neither_violates=neither, differ=differ)
        for both, neither, differ in draws
    ]
    told = [one for one in estimates if one.value is not None]

    assert len(told) >= 490
    assert np.mean([one.low <= kappa <= one.high for one in told]) >= 0.92


def test_kappa_is_what_the_books_say():
    """Pooled: 25 % violate in all verdicts, so people differ in 37.5 % by chance, and in 10 % here."""
    estimate = estimate_agreement(both_violate=40, neither_violates=140, differ=20)

    assert estimate.value == pytest.approx(1 - 0.1 / 0.375)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.count == 200


def test_agreement_by_chance_is_nought():
    assert estimate_agreement(both_violate=25, neither_violates=25, differ=50).value == pytest.approx(0)


def test_full_agreement_is_not_certain():
    estimate = estimate_agreement(both_violate=10, neither_violates=30, differ=0)

    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert 0.7 < estimate.low < 0.95


def test_more_reviews_narrow_the_interval():
    few = estimate_agreement(both_violate=4, neither_violates=14, differ=2)
    many = estimate_agreement(both_violate=400, neither_violates=1_400, differ=200)

    assert many.value == pytest.approx(few.value)
    assert many.high - many.low < (few.high - few.low) / 5


def test_both_verdicts_count_alike():
    one = estimate_agreement(both_violate=5, neither_violates=90, differ=6)
    other = estimate_agreement(both_violate=90, neither_violates=5, differ=6)

    assert (one.low, one.high) == pytest.approx((other.low, other.high))


@pytest.mark.parametrize(
    "counts",
    [(0, 0, 0), (5, 9, LEAST_DOUBLE_REVIEWS - 15), (50, 0, 0), (0, 50, 0)],
    ids=["none", "too few", "all violate", "none violates"],
)
def test_not_enough(counts):
    both, neither, differ = counts
    estimate = estimate_agreement(both_violate=both, neither_violates=neither, differ=differ)

    assert estimate.value is None
    assert (estimate.low, estimate.high) == (-1.0, 1.0)
    assert estimate.count == sum(counts)


def test_always_differing_is_the_least_there_can_be():
    estimate = estimate_agreement(both_violate=0, neither_violates=0, differ=30)

    assert (estimate.value, estimate.low) == (-1.0, -1.0)
