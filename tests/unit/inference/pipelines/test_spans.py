"""Places in texts: units, and spans that never split a visible character."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from inference.pipelines.spans import Characters, OffsetUnit, in_unit

FAMILY = "👨‍👩‍👧"  # five code points, one visible character
TEXTS = {
    "ascii": "Ann met Bob.",
    "emoji of several code points": f"a {FAMILY} b",
    "flags": "x🇩🇪🇫🇷y",
    "decomposed Hangul": "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "accents": "e\u0301e\u0301",
    "harakat": "مُحَمَّد",
    "Thai": "กำลัง",
    "line ends": "a\r\nb\r\n",
    "half of a pair": "a\ud83db",
}
texts = st.text() | st.sampled_from(list(TEXTS.values()))


def sliced(text, start, end, unit):
    """As a caller in a language with this unit slices it."""
    if unit is OffsetUnit.BYTE:
        return text.encode("utf-8", "surrogatepass")[start:end].decode("utf-8", "surrogatepass")
    if unit is OffsetUnit.UTF16:
        data = text.encode("utf-16-le", "surrogatepass")[2 * start : 2 * end]
        return data.decode("utf-16-le", "surrogatepass")
    return text[start:end]


@st.composite
def texts_with_spans(draw):
    text = draw(texts)
    places = sorted(draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
    return text, *places


@pytest.mark.parametrize("unit", OffsetUnit)
@given(case=texts_with_spans())
def test_a_caller_slices_the_same_text_in_each_unit(unit, case):
    text, start, end = case

    assert sliced(text, *in_unit(text, [start, end], unit), unit) == text[start:end]


@given(texts_with_spans())
def test_no_span_splits_a_visible_character_or_ends_in_white_space(case):
    text, start, end = case
    boundaries = {0, *(character.end() for character in regex.finditer(r"\X", text))}

    first, last = Characters(text).span(start, end)

    assert first == last or {first, last} <= boundaries
    assert text[start:end].strip() in text[first:last]


@given(texts_with_spans())
def test_a_span_between_visible_characters_stays(case):
    text, start, end = case
    boundaries = {0, *(character.end() for character in regex.finditer(r"\X", text))}
    inside = text[start:end]
    if {start, end} <= boundaries and inside and inside == inside.strip():
        assert Characters(text).span(start, end) == (start, end)


def test_a_piece_of_a_family_is_the_whole_family():
    text = TEXTS["emoji of several code points"]

    assert Characters(text).span(3, 4) == (2, 2 + len(FAMILY))


def test_white_space_alone_is_no_span():
    assert Characters("a   b").span(1, 4) == (4, 4)


def test_places_keep_their_order():
    assert in_unit("ä😀b", [3, 0, 2], OffsetUnit.BYTE) == [7, 0, 6]
