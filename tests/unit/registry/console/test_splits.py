from hypothesis import given
from hypothesis import strategies as st

from registry.console.splits import proportional_parts

WEIGHTS = st.dictionaries(st.integers(), st.integers(0, 10_000), min_size=1).filter(
    lambda found: sum(found.values()) > 0
)


@given(st.integers(0, 10_000), WEIGHTS)
def test_nothing_is_lost_and_nobody_is_off_by_one_part(whole, weights):
    parts = proportional_parts(whole, weights)

    assert sum(parts.values()) == whole
    assert all(
        abs(parts[key] - whole * weight / sum(weights.values())) < 1 for key, weight in weights.items()
    )


def test_the_largest_remainder_gets_what_is_left():
    assert proportional_parts(9_000, {"a": 3_333, "b": 3_333, "c": 3_334}) == {
        "a": 3_000,
        "b": 3_000,
        "c": 3_000,
    }
