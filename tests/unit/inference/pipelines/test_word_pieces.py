"""Ids and spans of word pieces are those of a tokenizer in plain Python, in twelve scripts."""

import hashlib

import pytest

from inference.pipelines.tokenization import TextTokenizer
from tests.support import plain_word_piece
from tests.support.texts_in_scripts import TEXTS


def vocabulary(*, lower_case: bool) -> dict[str, int]:
    """Pieces of the texts' own words, without a sixth of them, so that some words are unknown."""
    pieces = set()
    for text in TEXTS:
        for signs in plain_word_piece.words(text, lower_case=lower_case):
            word = "".join(sign.text for sign in signs)
            for start in range(min(len(word), 40)):
                pieces.update(("##" if start else "") + word[start : start + length] for length in (1, 2, 3))
    kept = sorted(piece for piece in pieces if hashlib.sha256(piece.encode()).digest()[0] > 40)
    return {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *kept])}


@pytest.mark.parametrize("lower_case", [True, False], ids=["uncased", "cased"])
def test_they_are_those_of_plain_python(lower_case):
    words = vocabulary(lower_case=lower_case)
    tokenizer = TextTokenizer.from_word_pieces("\n".join(words).encode(), lower_case=lower_case)

    differing = {}
    for text, tokens in zip(TEXTS, tokenizer.tokenize(TEXTS, max_tokens=512), strict=True):
        (window,) = tokens.windows
        fast = window.ids.tolist(), [tuple(span) for span in window.spans.tolist()]
        plain = plain_word_piece.tokenize(text, words, lower_case=lower_case)
        if fast != plain:
            differing[text] = fast, plain

    assert differing == {}


def test_there_are_two_hundred_texts_and_few_unknown_words():
    words = vocabulary(lower_case=True)
    ids = [number for text in TEXTS for number in plain_word_piece.tokenize(text, words, lower_case=True)[0]]

    assert len(set(TEXTS)) >= 200
    assert 0.02 < ids.count(words["[UNK]"]) / len(ids) < 0.3
