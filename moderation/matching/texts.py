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
_RUN = re.compile(r"(.)\1*+", re.DOTALL)
_MERGED_RUN = re.compile(
    r"(?:rn|m)++|(?:r(?!n))++|(?:vv|w)++|v|(.)\1*+", re.DOTALL
)  # the runs of what `merge` returns
SPELLED_RUN = re.compile(r"([^ .])(?:[ .]*+\1)*+")  # whatever separates the letters
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
    """The same key once or several times in a row, from its first place in a view's keys to its last."""

    key: str
    first: int
    last: int


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


def find_runs(pattern: re.Pattern[str], keys: str, start: int, end: int) -> list[Run]:
    runs = []
    for match in pattern.finditer(keys, start, end):
        key = match[0][:2] if pattern is _MERGED_RUN else match[0][0]
        runs.append(Run({"rn": "m", "vv": "w"}.get(key, key[0]), match.start(), match.end() - 1))
    return runs


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
        return collapse(merge(self.keys.replace(BREAK, SPACE)))

    @cached_property
    def words(self) -> list[str]:
        return self.merged.split()

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """Where each of the words is in `keys`."""
        return [match.span() for match in _WORD.finditer(self.keys)]

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
        """What `merged` or `plain` consist of, with the places in `keys`."""
        pattern = _MERGED_RUN if merged else _RUN
        return find_runs(pattern, self.keys.replace(BREAK, SPACE), 0, len(self.keys))


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
