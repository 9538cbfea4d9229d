"""BERT's tokenizer in plain Python, character by character, to compare the fast one with."""

import unicodedata
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"
LONGEST_WORD = 100
# Blocks of Chinese characters; each is a word of its own
IDEOGRAPHS = [
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
]  # fmt: skip


class Sign(NamedTuple):
    """A character after clean-up, and the place in the text where it comes from."""

    text: str
    place: int


def tokenize(
    text: str, vocabulary: Mapping[str, int], *, lower_case: bool
) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and spans, with the special tokens around."""
    ids, spans = [vocabulary[FIRST]], [(0, 0)]
    for word in words(text, lower_case=lower_case):
        for piece, signs in _pieces(word, vocabulary):
            ids.append(vocabulary[piece])
            spans.append((signs[0].place, signs[-1].place + 1))
    return [*ids, vocabulary[LAST]], [*spans, (0, 0)]


def words(text: str, *, lower_case: bool) -> Iterator[list[Sign]]:
    """Runs of characters without white space; punctuation and ideographs alone."""
    signs = [Sign(character, place) for place, character in enumerate(text) if not _is_removed(character)]
    if lower_case:
        signs = [sign for sign in _decomposed(signs) if unicodedata.category(sign.text) != "Mn"]
        signs = [Sign(part, sign.place) for sign in signs for part in sign.text.lower()]
    for is_space, run in groupby(signs, lambda sign: sign.text.isspace()):
        if not is_space:
            word: list[Sign] = []
            for sign in run:
                if _is_alone(sign.text):
                    if word:
                        yield word
                    yield [sign]
                    word = []
                else:
                    word.append(sign)
            if word:
                yield word


def _decomposed(signs: list[Sign]) -> Iterator[Sign]:
    for sign in signs:
        for part in unicodedata.normalize("NFD", sign.text):
            yield Sign(part, sign.place)


def _is_removed(character: str) -> bool:
    if character in "\t\n\r":
        return False
    return character in "\0\ufffd" or unicodedata.category(character).startswith("C")


def _is_alone(character: str) -> bool:
    if any(first <= ord(character) <= last for first, last in IDEOGRAPHS):
        return True
    is_ascii_sign = character.isascii() and character.isprintable() and not character.isalnum()
    return is_ascii_sign or unicodedata.category(character).startswith("P")


def _pieces(word: list[Sign], vocabulary: Mapping[str, int]) -> list[tuple[str, list[Sign]]]:
    """The longest pieces from the left; unknown as a whole if one is not in the vocabulary."""
    if len(word) > LONGEST_WORD:
        return [(UNKNOWN, word)]
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + "".join(sign.text for sign in word[start:end])
            if piece in vocabulary:
                found.append((piece, word[start:end]))
                start = end
                break
        else:
            return [(UNKNOWN, word)]
    return found
