"""How one character can be read: as itself, as the letter that it looks like, or as the letter that a digit stands for.

Three kinds of reading are told apart, because only together they tell a disguise from an ordinary word: what a character *is*
(after NFKC and case folding), what it *looks like* (the table in look_alikes.txt), and what it *stands for* (0 for o, $ for s).

A character's *key* is coarser: all characters that can be mistaken for one another have the same. Keys find candidates fast.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

STANDS_FOR = {
    "0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il", "|": "il", "+": "t", "€": "e", "£": "l",
}  # fmt: skip
SYMBOLS = frozenset("@$!|+€£")  # that stand for a letter only beside one
_MOST_LETTERS = 6  # of one character
SPACE, BREAK = " ", "."  # keys of what separates words, and of what may also stand between the letters of one

_MARKS = (
    (0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5),
    (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC), (0x06DF, 0x06E4), (0x06E7, 0x06E8),
    (0x06EA, 0x06ED), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F),
)  # fmt: skip
# Marks that are put on any letter. Vowel signs of Indic and other scripts are letters of their words.
MARKS = frozenset(chr(code) for first, last in _MARKS for code in range(first, last + 1))
_INVISIBLE = frozenset(
    [
        "\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u180b", "\u180c", "\u180d", "\u180f", "\u3164", "\uffa0",
        *map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0)),
    ]
)  # fmt: skip
# Letters that are one with their mark, as й is another letter than и. The marks of Latin and Greek letters may be left out.
_COMPOSED = frozenset("йїўѓќ")
# Alphabets in everyday use whose words may consist of look-alikes alone, as рак does. ѕ is left out: only disguises need it.
_EVERYDAY = (
    (0x0041, 0x024F), (0x0370, 0x03FF), (0x0400, 0x0454), (0x0456, 0x045F), (0x0490, 0x0491), (0x0530, 0x06FF), (0x0900, 0x0EFF),
    (0x10A0, 0x10FF), (0x1F00, 0x1FFF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7AF),
)  # fmt: skip
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0x20000, 0x3FFFF),
)


class Reading(NamedTuple):
    """What one letter or digit of a text can be."""

    is_: str  # itself, without its marks, and with them where they matter
    looks: str = ""
    stands: str = ""

    def can_be(self, letter: str) -> bool:
        if letter in self.is_ or letter in self.looks or letter in self.stands:
            return True
        back = look_back(letter)  # the Latin a in a word of Cyrillic letters
        return bool(back) and (back in self.is_ or back in self.looks)


def _read_look_alikes() -> dict[str, str]:
    lines = Path(__file__).with_name("look_alikes.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(" ") for line in lines if not line.startswith("#"))
    return {character: letter for letter, characters in pairs for character in characters}


LOOK_ALIKES = _read_look_alikes()


def look_of(character: str) -> str:
    """The Latin letter that it looks like, with or without a mark; empty if there is none."""
    return LOOK_ALIKES.get(character) or LOOK_ALIKES.get(unicodedata.normalize("NFD", character)[0], "")


@lru_cache(maxsize=8_192)
def look_back(letter: str) -> str:
    """The Latin letter that a letter of another script can be written with."""
    return "" if unicodedata.name(letter, "").startswith("LATIN") else look_of(letter)


def is_ignored(character: str) -> bool:
    """Whether it is not seen, or only a mark on the character before it."""
    return character in MARKS or character in _INVISIBLE or unicodedata.category(character) == "Cf"


def is_letter(character: str) -> bool:
    """Whether words consist of it: letters, digits, and the vowel signs of scripts that write them as marks."""
    return character.isalnum() or (
        not character.isascii() and unicodedata.category(character) in {"Mn", "Mc"}
    )


def is_everyday(character: str) -> bool:
    return _is_in(_EVERYDAY, character)


def is_unspaced(character: str) -> bool:
    """Whether its script puts no spaces between words."""
    return _is_in(_UNSPACED, character)


def _is_in(ranges: tuple[tuple[int, int], ...], character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in ranges)


@lru_cache(maxsize=8_192)
def fold(character: str) -> str:
    """NFKC and case folding of one character, its marks with it. May be several letters, or none."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())
    letters = "".join(letter for letter in folded if not is_ignored(letter)).replace("ʼ", "'")
    return letters if len(letters) <= _MOST_LETTERS else BREAK  # ﷺ is a sentence


def without_marks(letter: str) -> str:
    """`letter` without the marks of Latin and Greek; others are letters of their own."""
    if letter.isascii() or letter in _COMPOSED:
        return letter
    base = unicodedata.normalize("NFD", letter)[0]
    if base in "её" or unicodedata.name(base, "").startswith(("LATIN", "GREEK")):
        return base
    return letter


@lru_cache(maxsize=8_192)
def readings(character: str) -> tuple[Reading, ...]:
    """One for each letter that the character consists of (ﬁ has two); empty for what is no part of a word."""
    looks = look_of(character)
    if looks == "i" or looks == "l":
        looks = "il"  # the table does not tell I from l
    letters = [letter for letter in fold(character) if is_letter(letter)]
    if looks and len(letters) <= 1:
        return (Reading(_forms(*letters) if letters else "", looks),)
    if not letters and character in STANDS_FOR:
        return (Reading("", "", STANDS_FOR[character]),)
    return tuple(Reading(_forms(letter), "", STANDS_FOR.get(letter, "")) for letter in letters)


def _forms(letter: str) -> str:
    bare = without_marks(letter)
    return letter if bare == letter else letter + bare


def key_of_letter(letter: str) -> str:
    """The key of a folded letter."""
    stands = STANDS_FOR.get(letter)
    if stands:
        letter = stands[0]
    bare = unicodedata.normalize("NFD", letter)[0]
    return "l" if bare == "i" else bare


@lru_cache(maxsize=8_192)
def key_as_is(character: str) -> str:
    """The key of what the character is, whatever it looks like."""
    if character.isspace():
        return SPACE
    if character in "'’ʼ`´":
        return SPACE  # he'll is not hell
    if is_ignored(character):
        return ""
    letters = [key_of_letter(letter) if is_letter(letter) else BREAK for letter in fold(character)]
    return "".join(letters) or BREAK


@lru_cache(maxsize=8_192)
def key_by_looks(character: str) -> str:
    looks = look_of(character)
    return key_of_letter(looks) if looks else key_as_is(character)
