"""Tokens of texts: what is cut is told, windows cover everything, and hostile tokenizers are refused at once."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from inference.pipelines import tokenization
from inference.pipelines.errors import BadTokenizer, InvalidText
from inference.pipelines.tokenization import MAX_ID, TextTokenizer, pad
from tests.support.tokenizers_of_tests import KINDS, SENTENCES, a_tokenizer

plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return TextTokenizer.from_json(a_tokenizer(request.param).encode())


@settings(max_examples=500, deadline=None)
@given(text=plain, most=st.integers(3, 64))
def test_what_is_cut_is_told(tokenizer, text, most):
    (whole,) = tokenizer.tokenize([text], max_tokens=100_000)

    (cut,) = tokenizer.tokenize([text], max_tokens=most)

    assert (cut.given, cut.used) == (whole.used, min(most, whole.used))
    assert cut.is_cut is (whole.used > most)
    assert not whole.is_cut


@settings(max_examples=200, deadline=None)
@given(text=plain, most=st.integers(8, 32), overlap=st.integers(0, 5))
def test_windows_hold_every_token(tokenizer, text, most, overlap):
    (whole,) = tokenizer.tokenize([text], max_tokens=100_000)

    (tokens,) = tokenizer.tokenize([text], max_tokens=most, overlap=overlap)

    assert (tokens.given, tokens.used) == (whole.used, whole.used)
    held = np.concatenate([window.ids[1:-1] for window in tokens.windows[:1]] + [
        window.ids[1 + overlap : -1] for window in tokens.windows[1:]
    ])  # fmt: skip
    assert held.tolist() == whole.windows[0].ids[1:-1].tolist()
    assert all(len(window.ids) <= most for window in tokens.windows)


def test_rows_are_padded():
    tokenizer = TextTokenizer.from_words(b"[PAD]\n[UNK]\na\nb", lower_case=True)

    texts = tokenizer.tokenize(["A b", "c"], max_tokens=8)

    assert pad([text.windows[0] for text in texts], length=4, padding_id=0).tolist() == [
        [2, 3, 0, 0],
        [1, 0, 0, 0],
    ]


def test_half_of_a_surrogate_pair_is_no_text(tokenizer):
    with pytest.raises(InvalidText, match="at 1"):
        tokenizer.tokenize(["a\ud83d"], max_tokens=8)


def test_the_digest_is_that_of_the_words():
    one, same, other = (
        TextTokenizer.from_words(words, lower_case=True) for words in (b"[UNK]\na", b"[UNK]\na", b"[UNK]\nb")
    )

    assert one.digest == same.digest != other.digest


def changed(**changes):
    content = json.loads(a_tokenizer("byte_level"))
    for path, value in changes.items():
        *outer, name = path.split("__")
        place = content
        for step in outer:
            place = place[step]
        place[name] = value
    return json.dumps(content).encode()


BOMB = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
NESTED = BOMB
for _ in range(12):
    NESTED = {"type": "Sequence", "pretokenizers": [NESTED]}


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "with a `model`"),
        (b"[" * 100_000, "not valid JSON"),
        (b" " * (33 * 2**20), "at most 32 MiB"),
        (changed(pre_tokenizer=BOMB), "regular expression"),
        (changed(normalizer={"type": "Replace", "pattern": {"Regex": "(a|a)*b"}, "content": ""}), "regular expression"),
        (changed(pre_tokenizer=NESTED), "nested too deeply"),
        (changed(model__vocab={"a": 10**9}), "Token ids"),
        (changed(model__vocab={"a": -1}), "Token ids"),
        (changed(model__merges=[["a", "b"]] * 1_000_001), "merges"),
        (changed(model__vocab={str(number): 0 for number in range(MAX_ID + 1)}), "vocabulary may have"),
        (changed(added_tokens=[{"id": 10**12, "content": "x"}]), "Token ids"),
        (changed(added_tokens=["x"]), "added_tokens"),
        (changed(model__type="Unheard"), "cannot be read"),
        (changed(model__merges=[["a", "nowhere"]]), "cannot be read"),
    ],
    ids=[
        "cut", "no object", "deep", "large", "split bomb", "replace bomb", "nested bomb", "10⁹ ids", "below 0", "merges",
        "vocabulary", "added id", "added text", "unknown type", "merge of nothing",
    ],
)  # fmt: skip
def test_hostile_files_are_refused_at_once(file, said):
    started = time.monotonic()

    with pytest.raises(BadTokenizer, match=said):
        TextTokenizer.from_json(file)

    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: TextTokenizer.from_words(b"a\nb", lower_case=True), "lacks '\\[UNK\\]'"),
        (lambda: TextTokenizer.from_words(b"[UNK]\na\na", lower_case=True), "same word twice"),
        (lambda: TextTokenizer.from_words(b"\xff", lower_case=True), "not UTF-8"),
        (lambda: TextTokenizer.from_word_pieces(b"[UNK]\na", lower_case=True), "lacks \\[CLS\\], \\[SEP\\]"),
    ],
    ids=["no unknown", "twice", "no text", "no BERT"],
)
def test_bad_lists_of_words_are_refused(read, said):
    with pytest.raises(BadTokenizer, match=said):
        read()


def test_many_sentences_at_once_are_those_one_by_one(tokenizer):
    together = tokenizer.tokenize(SENTENCES, max_tokens=64)

    alone = [tokenizer.tokenize([text], max_tokens=64)[0] for text in SENTENCES]

    assert [text.windows[0].ids.tolist() for text in together] == [
        text.windows[0].ids.tolist() for text in alone
    ]


def windows_of_the_library(tokenizer, text, max_tokens, overlap):
    """As the library itself cuts, with its special tokens."""
    own = Tokenizer.from_str(tokenizer._definition)
    own.enable_truncation(max_tokens, stride=overlap)
    first = own.encode(text)
    return [
        (one.ids, one.offsets, [-1 if word is None else word for word in one.word_ids])
        for one in (first, *first.overflowing)
    ]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=120), st.integers(5, 12), st.integers(0, 2))
def test_windows_are_those_of_the_library(tokenizer, text, max_tokens, overlap):
    text = text.encode(errors="ignore").decode()

    (ours,) = tokenizer.tokenize([text], max_tokens=max_tokens, overlap=overlap)

    assert [
        (one.ids.tolist(), [tuple(span) for span in one.spans.tolist()], one.words.tolist())
        for one in ours.windows
    ] == windows_of_the_library(tokenizer, text, max_tokens, overlap)


def test_a_long_text_is_read_as_a_short_one(tokenizer, monkeypatch):
    """Token by token, so that other threads can run meanwhile."""
    text = " ".join(SENTENCES * 3)
    at_once = tokenizer.tokenize([text], max_tokens=64, overlap=8)
    monkeypatch.setattr(tokenization, "_READ_AT_ONCE", 10)

    one_by_one = tokenizer.tokenize([text], max_tokens=64, overlap=8)

    for first, second in zip(at_once[0].windows, one_by_one[0].windows, strict=True):
        for name in ("ids", "spans", "words"):
            assert getattr(first, name).tolist() == getattr(second, name).tolist()
