"""A text as lists read it: made once, and shared by all lists that are compared with it."""

import re
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple
from unicodedata import normalize

from moderation.matching.characters import (
    BREAK,
    MARKS,
    SPACE,
    STANDS_FOR,
    SYMBOLS,
    is_ignored,
    key_as_is,
    key_by_looks,
)

_ASCII_KEYS = bytes(ord(key_as_is(chr(code)) or BREAK) if code < 128 else 0 for code in range(256))
_SYMBOLS = re.compile(r"[@$!|+€£]+")
_EDGE_SYMBOLS, _OTHERS = "@$€£", "!|+"  # the first may be the edge of a word
_WORD = re.compile(r"[^ .]+")
_MERGED_LETTERS = (r"(?:rn|m)", r"r(?!n)", r"(?:vv|w)", "v(?!v)")  # what `merge` makes one, or leaves


def _run(first: str, *, between: str = "", merged: bool = False) -> re.Pattern[str]:
    """The same key several times in a row."""
    runs = [f"{letter}(?:{between}{letter})*+" for letter in (_MERGED_LETTERS if merged else ())]
    return re.compile("|".join([*runs, rf"({first})(?:{between}\1)*+"]), re.DOTALL)


_RUN, _MERGED_RUN = _run("."), _run(".", merged=True)
_SQUEEZED_RUN = _run("[^ .]", between="[ .]*+")  # whatever separates the letters
_SQUEEZED_MERGED_RUN = _run("[^ .]", between="[ .]*+", merged=True)
_OTHER_RUN = re.compile(r"([^\x00-\x7f])\1+")
_PAIRS = [
    key * 2 for key in " abcdefghjklmnopqrstuvwxyz269"
]  # i has the key of l, most digits those of letters


class TextHit(NamedTuple):
    """Offsets are code points of the original text: `text[start:end]` is what was found."""

    start: int
    end: int
    entry: str


class Run(NamedTuple):
    """Where the same key is once or several times in a row, in a view's keys."""

    start: int
    end: int


class _KeyTable(dict[int, str]):
    """For `str.translate`: the key of a character by its number."""

    _MOST = 20_000  # remembered; texts of strangers may have all the characters there are

    def __init__(self, key_of: Callable[[str], str]) -> None:
        self._key_of = key_of

    def __missing__(self, code: int) -> str:
        key = self._key_of(chr(code))
        if len(self) < self._MOST:
            self[code] = key
        return key


_BY_LOOKS, _AS_IS = _KeyTable(key_by_looks), _KeyTable(key_as_is)


def collapse(keys: str) -> str:
    """Each run of the same key once. Lists and texts do the same, so that repeated letters hide nothing."""
    for pair in _PAIRS:
        while pair in keys:
            keys = keys.replace(pair, pair[0])
    return keys if keys.isascii() else _OTHER_RUN.sub(r"\1", keys)


def squeeze(keys: str) -> str:
    """The same without what separates the letters."""
    return collapse(keys.replace(BREAK, "").replace(SPACE, ""))


def merge(keys: str) -> str:
    """Read rn as m and vv as w: whichever of them is written, the key is the same."""
    return keys.replace("rn", "m").replace("vv", "w")


def after_marks(text: str, end: int) -> int:
    while end < len(text) and text[end] in MARKS:
        end += 1
    return end


class View:
    """One way to read the whole text as keys, with the way back to it."""

    def __init__(self, text: str, keys: str, *, has_symbols: bool, by_looks: bool) -> None:
        self.text = text  # as long as the original
        self.keys = keys
        self.has_symbols = has_symbols  # that stand for letters
        self.by_looks = by_looks

    @cached_property
    def plain(self) -> str:
        return collapse(self.keys.replace(BREAK, SPACE))

    @cached_property
    def merged(self) -> str:
        keys = self.keys.replace(BREAK, SPACE)
        merged = merge(keys)
        return self.plain if merged == keys else collapse(merged)

    @cached_property
    def squeezed(self) -> str:
        return squeeze(self.plain)

    @cached_property
    def squeezed_merged(self) -> str:
        return self.squeezed if self.merged == self.plain else squeeze(self.merged)

    @cached_property
    def words(self) -> list[str]:
        return self.merged.split()

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """Where each of the words is in `keys`."""
        return [match.span() for match in _WORD.finditer(self.keys)]

    @cached_property
    def starts(self) -> list[int]:
        return [start for start, _ in self.places]

    @cached_property
    def ends(self) -> list[int]:
        return [end for _, end in self.places]

    def gap(self, piece: int) -> int:
        """How far it is from the piece before."""
        return self.starts[piece] - self.ends[piece - 1]

    def span(self, first: int, end: int) -> tuple[int, int]:
        """The part of the text that `keys[first:end]` was made from, with the marks on its last letter."""
        if self._origins is None:
            return first, end
        return self._origins[first], after_marks(self.text, self._origins[end - 1] + 1)

    @cached_property
    def _origins(self) -> list[int] | None:
        if self.text.isascii():
            return None
        table = _BY_LOOKS if self.by_looks else _AS_IS
        lengths = [len(table[ord(character)]) for character in self.text]
        if not lengths or max(lengths) == min(lengths) == 1:
            return None
        return [place for place, length in enumerate(lengths) for _ in range(length)]

    def runs(self, *, merged: bool) -> list[Run]:
        """Where each key of `merged` or `plain` is in `keys`."""
        pattern = _MERGED_RUN if merged else _RUN
        return [Run(*match.span()) for match in pattern.finditer(self.keys.replace(BREAK, SPACE))]

    def squeezed_runs(self, start: int, end: int, *, merged: bool = False) -> list[Run]:
        """The same for a part of `keys` that is squeezed, merged or not."""
        pattern = _SQUEEZED_MERGED_RUN if merged else _SQUEEZED_RUN
        return [Run(*match.span()) for match in pattern.finditer(self.keys, start, end)]


class Readable:
    """A text that lists are compared with. Every string can be read, lone surrogates included."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def views(self) -> list[View]:
        """The ways to read it: by what characters look like and by what they are, symbols as breaks and as letters."""
        views = self._views_of(self.text, has_symbols=False)
        if not SYMBOLS.isdisjoint(self.text):
            stands = _SYMBOLS.sub(_letters_of, self.text)
            if stands != self.text:
                views += self._views_of(stands, has_symbols=True)
        return views

    @staticmethod
    def _views_of(text: str, *, has_symbols: bool) -> list[View]:
        if text.isascii():
            keys = text.encode("ascii").translate(_ASCII_KEYS).decode("ascii")
            return [View(text, keys, has_symbols=has_symbols, by_looks=True)]
        by_looks, as_is = text.translate(_BY_LOOKS), text.translate(_AS_IS)
        views = [View(text, by_looks, has_symbols=has_symbols, by_looks=True)]
        if as_is != by_looks:
            views.append(View(text, as_is, has_symbols=has_symbols, by_looks=False))
        return views

    @cached_property
    def undisguised(self) -> tuple[str, list[int]]:
        """The text in NFKC and without marks and invisible characters, and the place in the text of each character of it."""
        if self.text.isascii():
            return self.text, []
        letters: list[str] = []
        origins: list[int] = []
        for place, character in enumerate(self.text):
            composed = normalize("NFC", letters[-1] + character) if letters and character in MARKS else ""
            if len(composed) == 1 and origins[-1] == place - 1:
                letters[-1] = composed  # й and é written as two characters
            elif not is_ignored(character):
                plain = normalize("NFKC", character)
                letters += plain
                origins += [place] * len(plain)
        return "".join(letters), origins


def _letters_of(symbols: re.Match[str]) -> str:
    """What the symbols stand for beside letters: in the middle of a word all of them, at its edge some."""
    before, after = _character(symbols.string, symbols.start() - 1), _character(symbols.string, symbols.end())
    whole = symbols[0]
    if before.isalnum() and after.isalnum() and (before.isalpha() or after.isalpha()):
        return _stand(whole)
    if after.isalpha():
        plain = len(whole) - len(whole.lstrip(_OTHERS))
        return whole[:plain] + _stand(whole[plain:])
    if before.isalpha():
        standing = len(whole) - len(whole.lstrip(_EDGE_SYMBOLS))
        return _stand(whole[:standing]) + whole[standing:]
    if len(whole) > 2 and not before.isalnum() and not after.isalnum() and set(whole) <= set(_EDGE_SYMBOLS):
        return _stand(whole)
    return whole


def _stand(symbols: str) -> str:
    return "".join(STANDS_FOR[symbol][0] for symbol in symbols)


def _character(text: str, place: int) -> str:
    return text[place] if 0 <= place < len(text) else ""
