"""Entities: they slice the caller's text, are found wherever they stand, and follow each scheme of tags."""

from contextlib import suppress
from itertools import count

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pipelines import entities
from inference.pipelines.entities import Entities, Entity, EntityPatterns, EntityReader, Grouping, merged
from inference.pipelines.errors import BadTaskConfig, PatternTimedOut
from inference.pipelines.patterns import check_pattern
from inference.pipelines.tokenization import TextTokenizer
from tests.support.tokenizers_of_tests import KINDS, SENTENCES, a_tokenizer

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CURATED = [
    *SENTENCES,
    "\u1112\u1161\u11ab\u1100\u1173\u11af", "a👨‍👩‍👧b👍🏽", "🇩🇪🇫🇷🇩🇪", "x\u200dy\ufe0f", "\u00a0\u2003 Ann\u3000", "A\r\n\r\nB\t",
    "ﬁﬂ ①② Å Ω", "e\u0301\u0327", "\ufeffAnn", "ŉ ß İ", "½ ² ㎏", "a\u0000b", "", " ", "\u200b",
]  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return TextTokenizer.from_json(a_tokenizer(request.param).encode())


def outputs_for(tokens, labels_of):
    """A model's outputs for each window; the function gives the number of a label in BIO for each of some spans."""
    return [8 * np.eye(len(BIO), dtype=np.float32)[labels_of(window.spans)] for window in tokens.windows]


def check_slices(text, entities):
    """The law: what is told is a slice of the text, in order, apart, and made of whole visible characters."""
    boundaries = {0, *(character.end() for character in regex.finditer(r"\X", text))}
    last = 0
    for entity in entities:
        assert text[entity.start : entity.end] == entity.text != ""
        assert last <= entity.start and {entity.start, entity.end} <= boundaries
        last = entity.end


@pytest.mark.parametrize("grouping", Grouping)
@settings(max_examples=150, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(CURATED),
    seed=st.integers(0, 2**16),
)
def test_every_entity_is_a_slice_of_the_text(tokenizer, grouping, text, seed):
    chance = np.random.default_rng(seed)
    (tokens,) = tokenizer.tokenize([text], max_tokens=32, overlap=8)
    outputs = outputs_for(tokens, lambda spans: chance.integers(0, len(BIO), len(spans)))

    found = EntityReader(BIO, grouping=grouping).read(text, tokens, outputs)

    check_slices(text, found)


def test_a_name_is_found_at_each_of_512_places(tokenizer):
    """A text of about two thousand tokens, read through windows of 128."""
    reader = EntityReader(BIO, grouping=Grouping.SIMPLE)
    words = ["paris"] * 600
    for place in range(512):
        text = " ".join([*words[:place], "Ann Lee", *words[place:]])
        start = text.index("Ann Lee")

        (tokens,) = tokenizer.tokenize([text], max_tokens=128, overlap=32)
        outputs = outputs_for(
            tokens, lambda spans, start=start: 2 * ((spans[:, 0] < start + 7) & (spans[:, 1] > start))
        )
        (found,) = reader.read(text, tokens, outputs)

        assert (found.text, found.start, found.label) == ("Ann Lee", start, "PER")


WORDS = TextTokenizer.from_words(b"[UNK]\nann\nlee\nmet\nbob\nin\nparis", lower_case=True)


def read(labels, text="Ann Lee met Bob in Paris", scheme=None, grouping=Grouping.SIMPLE):
    (tokens,) = WORDS.tokenize([text], max_tokens=64)
    known = scheme or sorted({*labels})
    scores = np.full((len(labels), len(known)), -8, np.float32)
    for row, name in enumerate(labels):
        scores[row, known.index(name)] = 8
    return [
        (one.label, one.text) for one in EntityReader(known, grouping=grouping).read(text, tokens, [scores])
    ]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ("B-PER I-PER O B-PER O B-LOC", [("PER", "Ann Lee"), ("PER", "Bob"), ("LOC", "Paris")]),
        ("B-PER B-PER O O O O", [("PER", "Ann"), ("PER", "Lee")]),
        ("I-PER I-PER O I-PER O I-LOC", [("PER", "Ann Lee"), ("PER", "Bob"), ("LOC", "Paris")]),
        ("I-PER I-LOC O O O O", [("PER", "Ann"), ("LOC", "Lee")]),
        ("B-PER L-PER O U-PER O U-LOC", [("PER", "Ann Lee"), ("PER", "Bob"), ("LOC", "Paris")]),
        ("U-PER U-PER O O O O", [("PER", "Ann"), ("PER", "Lee")]),
        ("B-PER E-PER I-PER O O S-LOC", [("PER", "Ann Lee"), ("PER", "met"), ("LOC", "Paris")]),
        ("PER PER O PER O LOC", [("PER", "Ann Lee"), ("PER", "Bob"), ("LOC", "Paris")]),
        ("O O O O O O", []),
    ],
    ids=["BIO", "two that touch", "I without B", "another type", "BILOU", "alone", "BIOES", "bare types", "nothing"],
)  # fmt: skip
def test_schemes_of_tags(labels, found):
    assert read(labels.split()) == found


def test_each_token_by_itself_keeps_its_tag():
    assert read(["B-PER", "I-PER", "O", "O", "O", "O"], grouping=Grouping.NONE) == [
        ("B-PER", "Ann"),
        ("I-PER", "Lee"),
    ]


@pytest.mark.parametrize(
    ("grouping", "label", "score"),
    [(Grouping.FIRST, "PER", 0.6), (Grouping.AVERAGE, "LOC", 0.65), (Grouping.MAX, "LOC", 0.9)],
)
def test_a_word_of_several_tokens_has_one_label(grouping, label, score):
    """Its first token says PER with .6, its second LOC with .9."""
    pieces = TextTokenizer.from_word_pieces(
        "\n".join(["[UNK]", "[CLS]", "[SEP]", "pa", "##ris"]).encode(), lower_case=True
    )
    (tokens,) = pieces.tokenize(["Paris"], max_tokens=8)
    scores = np.log([[[1, 1], [0.6, 0.4], [0.1, 0.9], [1, 1]]])[0]

    (found,) = EntityReader(["B-PER", "B-LOC"], grouping=grouping).read("Paris", tokens, [scores])

    assert found == Entity(label, "Paris", 0, 5, pytest.approx(score))


def apart(spans):
    """Entities in order that do not overlap."""
    found = []
    for start, length in sorted(spans):
        if not found or start >= found[-1].end:
            found.append(Entity("X", "", start, start + length, 1.0))
    return found


class TestPatterns:
    def test_what_has_a_form_is_found(self):
        patterns = EntityPatterns([("MAIL", r"[\w.]+@[\w.]+\w"), ("CARD", r"\b(?:\d{4} ?){4}\b")])

        found = patterns.find(["", "Write to ann@example.org about 4111 1111 1111 1111."])

        assert found[0] == []
        assert [(one.label, one.text) for one in found[1]] == [
            ("MAIL", "ann@example.org"),
            ("CARD", "4111 1111 1111 1111"),
        ]

    def test_one_that_takes_too_long_is_stopped(self):
        with pytest.raises(PatternTimedOut, match="BOMB"):
            EntityPatterns([("BOMB", r"(x+x+)+y")]).find(["x" * 5_000])

    @pytest.mark.parametrize("text", ["a", "b"], ids=["matches", "none"])
    def test_all_texts_of_a_request_share_one_limit(self, text, monkeypatch):
        """Each alone is well within it."""
        patterns = EntityPatterns([("A", "a")])
        clock = count(step=0.1)
        monkeypatch.setattr(entities.time, "monotonic", lambda: next(clock))
        patterns.find([text])

        with pytest.raises(PatternTimedOut, match="texts of this request"):
            patterns.find([text] * 5)

    def test_many_short_matches_are_stopped(self):
        with pytest.raises(PatternTimedOut, match="DOT"):
            EntityPatterns([("DOT", ".")]).find(["é" * 5_000_000])

    @pytest.mark.parametrize("pattern", ["(", "x" * 2_000], ids=["not one", "too long"])
    def test_bad_ones_are_refused_with_their_place(self, pattern):
        with pytest.raises(BadTaskConfig) as refused:
            EntityPatterns([("A", "a"), ("B", pattern)])

        assert refused.value.field == "patterns[1]"

    @pytest.mark.parametrize(
        "pattern",
        [
            "a{4000000000}", "a{1001}", "a{1,1001}", "a{1001,}", "a{,1001}", "(?:(?:(?:a{1000}){1000}){1000}){1000}",
            "(?:a{101}){100}", "(?:a{101}[(]){100}", "(?:a{101}[[:alpha:](]){100}", "(?:a{101}[)]){100}", "(?:[a-z]{101}){100}",
            "((a{25}){25}){25}", "(?:a{101}){100}(",
            "(()" + "{1000}b|){1000}", "(a{1000}-|{){1000}", "(?x)a{4#(\\n00000}",
            "a{101}){100}", "(?x)(?:a{101} ) {100}", "(?x)a{4 0 0 0 0}",
            "(?x)a{4#}\n00000}", "a{" + "9" * 900 + "}",
            "(?x)(?:a{101})#\n{100}", "(" * 400, "(" * 21 + ")" * 21, "[{]a{4000}", "a" * 1_001,
            "[[]()]{1000}){1000}", "(?V1)(?:a{101}[a[b](]){100}", "[]((]a{101}(?:a{101}){100}",
        ],
        ids=lambda pattern: pattern[:24],
    )  # fmt: skip
    def test_what_takes_long_to_compile_is_never_compiled(self, pattern, monkeypatch):
        monkeypatch.setattr(regex, "compile", None)

        with pytest.raises(BadTaskConfig) as refused:
            Entities.check_config({"labels": ["O"], "patterns": [{"A": "a"}, {"B": pattern}]}, ())

        assert refused.value.field == "patterns[1]"

    @pytest.mark.parametrize(
        "pattern",
        [
            r"[\w.+-]{1,64}@[\w-]{1,255}\.\w{2,24}", r"(?:\d{4}[ -]?){4}", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}\b", "a{1000}",
            r"\{4000\}", r"(?:colour){e<=2}", r"\p{Lu}{2,}", r"\(" * 30, "(" * 20 + ")" * 20, "a{b}",
            r"(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:){1,7}:|(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}|\[(?:\d{1,3}){5}\]",
            r"[()+ -]{0,3}\d{2,4}[()]?",
        ],
    )  # fmt: skip
    def test_usual_ones_are_accepted(self, pattern):
        Entities.check_config({"labels": ["O"], "patterns": [{"A": pattern}]}, ())
        EntityPatterns([("A", pattern)])

    @pytest.mark.parametrize("error", [RecursionError, OverflowError, MemoryError])
    def test_what_is_too_large_to_compile_is_refused_with_its_place(self, error, monkeypatch):
        def fail(pattern):
            raise error

        monkeypatch.setattr(regex, "compile", fail)

        with pytest.raises(BadTaskConfig) as refused:
            EntityPatterns([("A", "a")])

        assert refused.value.field == "patterns[0]"

    @given(st.text("()[]{}\\#,ax019 ?:\n", max_size=60))
    def test_whatever_passes_compiles_fast_or_is_refused(self, pattern):
        with suppress(BadTaskConfig):
            check_pattern(pattern, "patterns[0]")
            EntityPatterns([("A", pattern)])

    def test_of_two_that_overlap_the_first_list_wins(self):
        mail = Entity("MAIL", "ann@x", 0, 5, 1.0)
        others = [
            Entity("PER", "ann", 0, 3, 0.9),
            Entity("PER", "x bob", 4, 9, 0.9),
            Entity("PER", "eve", 5, 8, 0.9),
        ]

        assert merged([mail], others) == [mail, others[2]]

    @given(
        st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9))),
        st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9))),
    )
    def test_merging_is_what_its_definition_says(self, first, second):
        first, second = apart(first), apart(second)

        found = merged(first, second)

        kept = [
            one for one in second if all(one.end <= other.start or other.end <= one.start for other in first)
        ]
        assert found == sorted([*first, *kept], key=lambda entity: entity.start)
