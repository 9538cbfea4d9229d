import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.matching.errors import BadList, PatternTooSlow
from moderation.matching.patterns import MAX_PATTERNS, PatternList
from moderation.matching.texts import Readable


def found(pattern, text):
    return [text[hit.start : hit.end] for hit in PatternList([pattern]).find(Readable(text))]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"wa\.me/\d+", "write to wa.me/123", ["wa.me/123"]),
        (r"(?i)free (spins|chips)", "Free Spins", ["Free Spins"]),
        (r"wa\.me/\d+", "ｗａ．ｍｅ/１２３", ["ｗａ．ｍｅ/１２３"]),
        (r"telegram", "tele\u200bg\u0336r\u0336am", ["tele\u200bg\u0336r\u0336am"]),
        (r"\d{3}", "①②③", ["①②③"]),
        (r"ﬁ", "ﬁsh", ["ﬁ"]),
        (r"мой", "мои\u0306", ["мои\u0306"]),
        (r"scam", "5cam", []),
    ],
)
def test_patterns_find(pattern, text, expected):
    assert found(pattern, text) == expected


def test_hits_name_their_pattern_and_are_bounded():
    patterns = PatternList(["a", "b"])

    assert [hit.entry for hit in patterns.find(Readable("b a"))] == ["b", "a"]
    assert len(patterns.find(Readable("ab" * 50), most=7)) == 7


@pytest.mark.parametrize(
    ("patterns", "place", "sentence"),
    [
        (["a", "("], 1, "not a regular expression"),
        (["x*"], 0, "Make it need a character"),
        (["a" * 1_001], 0, "at most 1,000 characters"),
        (["a{5000}"], 0, "at most 1,000 times"),
        (["a"] * (MAX_PATTERNS + 1), MAX_PATTERNS, "at most 500 patterns"),
    ],
    ids=["syntax", "empty match", "long", "repeats", "many"],
)
def test_bad_patterns_are_named(patterns, place, sentence):
    with pytest.raises(BadList, match=sentence) as caught:
        PatternList(patterns)

    assert caught.value.place == place


def test_a_slow_pattern_is_stopped():
    with pytest.raises(PatternTooSlow, match="Make them simpler"):
        PatternList([r"(a|aa)+$"], limit_s=0.05).find(Readable("a" * 5_000 + "b"))


def test_many_short_matches_are_stopped():
    with pytest.raises(PatternTooSlow):
        PatternList(["a"], limit_s=0.0001).find(Readable("a" * 1_000_000), most=10_000_000)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.sampled_from([r"\w+", r".", r"(?i)s.*", r"[^a]+"]))
def test_every_hit_slices_the_text(text, pattern):
    for hit in PatternList([pattern]).find(Readable(text)):
        assert 0 <= hit.start < hit.end <= len(text)
