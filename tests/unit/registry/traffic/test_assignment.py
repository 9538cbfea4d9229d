from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.traffic.assignment import WHOLE, bucket_of, header_text, key_text, ranges, reallot
from tests.support.processes import ROOT
from tests.support.tables import cases

ROUTING = ROOT / "docs" / "routing.md"
KEYS = 100_000


@pytest.mark.parametrize(
    "shares",
    [{1: 5_000, 2: 5_000}, {1: 9_000, 2: 1_000}, {1: 9_990, 2: 10}, {1: 2_500, 2: 2_500, 3: 2_500, 4: 2_500}],
    ids=["halves", "canary", "drop", "quarters"],
)
def test_a_hundred_thousand_keys_fall_as_the_shares_say(shares):
    owners = reallot([], shares)

    counts = Counter(owners[bucket_of("pepper", f"customer-{number}")] for number in range(KEYS))

    for arm, share in shares.items():
        assert abs(counts[arm] / KEYS - share / WHOLE) <= 0.005


def test_another_salt_deals_most_keys_anew():
    same = sum(bucket_of("a", str(key)) == bucket_of("b", str(key)) for key in range(10_000))

    assert same < 20


shares = st.dictionaries(st.integers(1, 8), st.integers(1, 1_000), min_size=1).map(
    lambda weights: _to_whole(weights)
)


def _to_whole(weights: dict[int, int]) -> dict[int, int]:
    total = sum(weights.values())
    found = {arm: max(1, weight * WHOLE // total) for arm, weight in weights.items()}
    largest = max(found, key=lambda arm: found[arm])
    found[largest] += WHOLE - sum(found.values())
    return found


@given(st.lists(shares, min_size=2, max_size=6))
def test_whatever_the_edits_as_few_buckets_move_as_can(history):
    owners: list[int] = []
    for before, after in pairwise([{}, *history]):
        dealt = reallot(owners, after)

        assert Counter(dealt) == after
        needed = sum(max(0, share - before.get(arm, 0)) for arm, share in after.items())
        moved = sum(old != new for old, new in zip(owners or [0] * WHOLE, dealt, strict=True))
        assert moved == needed
        owners = dealt


@given(st.text("abc", min_size=1, max_size=60))
def test_ranges_say_the_same_as_the_buckets(buckets):
    spelled = "".join(letter * (end - first) for letter, first, end in ranges(buckets))

    assert spelled == buckets
    assert all(left[0] != right[0] for left, right in pairwise(ranges(buckets)))


@cases(
    "value, key",
    text=("abc", "abc"),
    empty=("", None),
    number=(17, "17"),
    negative=(-3, "-3"),
    boolean=(True, None),
    float=(1.5, None),
    missing=(None, None),
    list=(["a"], None),
)
def test_a_field_is_a_key_if_it_is_a_text_or_a_whole_number(value, key):
    assert key_text(value) == key


def test_a_header_is_read_as_utf8():
    assert header_text("Zoë".encode().decode("latin-1")) == "Zoë"


def test_the_published_lines_are_five_and_agree_on_ten_thousand_keys():
    code = ROUTING.read_text().split("```python\n")[1].split("```")[0]
    published: dict = {}
    exec(code, published)
    owners = reallot(reallot([], {1: 8_000, 2: 2_000}), {1: 5_000, 2: 3_000, 3: 2_000})
    arms: dict = {}
    for version, first, end in ranges("".join(map(str, owners))):
        arms.setdefault(int(version), []).append([first, end])
    split = {"salt": "pepper", "arms": [{"version": v, "buckets": b} for v, b in arms.items()]}

    assert len(code.strip().splitlines()) == 5
    assert all(
        published["version_for"](split, f"key {number}") == owners[bucket_of("pepper", f"key {number}")]
        for number in range(10_000)
    )
