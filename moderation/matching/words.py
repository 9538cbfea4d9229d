"""Lists of words and phrases, found in spite of the usual disguises, and not inside innocent words.

1. Keys: a text and each entry are reduced to keys in which look-alikes, digits for letters, repeated letters, rn and m are the
   same. One look-up per word rejects nearly every text. Phrases have keys without spaces; where one is found, the pieces of the
   text there must be its words.
2. Fit: what has an entry's key is compared letter by letter with the original characters. Keys alone would confuse good with
   god and mail with mall; the fit does not.

A word wholly in another everyday script is no disguise: Russian рак is not the entry "pak". With one letter of the entry's own
script among them, it is.
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, combinations, groupby, product
from typing import NamedTuple
from unicodedata import normalize

from moderation.matching.characters import (
    BREAK,
    MARKS,
    SPACE,
    SYMBOLS,
    Reading,
    fold,
    is_everyday,
    is_letter,
    is_unspaced,
    key_as_is,
    key_by_looks,
    readings,
)
from moderation.matching.errors import BadList
from moderation.matching.texts import Readable, Run, TextHit, View, collapse, merge, squeeze

MAX_ENTRIES, MAX_LENGTH = 50_000, 100
_WIDEST_GAP = 3  # characters between the words of a phrase, or between the letters of a word
_SPELLED = re.compile(r"(?<![^ .])[^ .](?:[ .]{1,3}[^ .](?![^ .])){2,}+")  # f u c k, f.u.c.k
_DIVIDED = re.compile(r"(?<![^ .])[^ .]++(?:\.{1,3}[^ .]++)++")  # cas-ino, ca.si.no
_DIVIDERS = frozenset("-‐‑–—_*~^•·|")  # that may divide a word once; a full stop there ends a sentence
_IN_ENTRIES = frozenset(
    " -‐‑–.'’_/,\t\u00a0"
)  # besides letters; an entry with other characters is found literally
_JOINED = 8  # letters from which on words without spaces between them are a phrase
_LONG, _LONGER = 5, 6  # letters from which on a divided word can hardly be anything else
# Words that are what they are, although they look like others (burn and bum, modem and modern)
_NO_DISGUISE = frozenset(
    """
    barn barns bum bums burn burned burner burning burns cam cams com comer corn corner corners corns corny dam dams darn dom
    earn earned earns fern ferns gem gems ham hams horn horns horny modem modems modern mom moms morn stem stems stern term
    terms tern tom torn tum turn turned turns warm warn warned warns worm worms worn yam yams yarn yarns
    """.split()  # noqa: SIM905
)


class _WordEntry(NamedTuple):
    text: str
    words: list[str]  # folded letters of each word
    size: int
    ends: tuple[int, ...] = ()  # of the words, in the key of a phrase

    @property
    def letters(self) -> str:
        return "".join(self.words)


class _Atom(NamedTuple):
    character: str
    reading: Reading


class WordList:
    """Words and phrases in any script. Whole words only, unless `anywhere`; scripts without spaces are searched anywhere."""

    def __init__(self, entries: Sequence[str], *, anywhere: bool = False) -> None:
        """Raises BadList."""
        if len(entries) > MAX_ENTRIES:
            raise BadList(f"A list may have at most {MAX_ENTRIES:,} entries.", place=MAX_ENTRIES)
        self._literals: list[tuple[str, re.Pattern[str]]] = []
        self._words: dict[str, list[_WordEntry]] = defaultdict(list)  # by their keys
        self._has_other_letters = False
        self._phrases = _Keys()
        self._inside = _Keys()
        self._spelled = _Keys()
        for place, text in enumerate(entries):
            _check(text, place)
        for text in dict.fromkeys(entries):
            self._add(text, anywhere)

    def _add(self, text: str, anywhere: bool) -> None:
        entry = _read_entry(text)
        if entry is None:
            self._literals.append((text, re.compile(re.escape(text.strip()), re.IGNORECASE)))
            return
        self._has_other_letters |= not entry.letters.isascii()
        is_inside = anywhere or any(map(is_unspaced, entry.letters))
        for key_of in (key_by_looks, key_as_is):
            keys = SPACE.join("".join(map(key_of, word)) for word in entry.words)
            merged = merge(keys)
            if is_inside:
                self._inside.add(collapse(keys), entry)
                self._inside.add(collapse(merged), entry)
            if len(entry.words) > 1:
                for phrase in (keys, merged):
                    parts = accumulate(phrase.split(), "{} {}".format)
                    ends = tuple(len(squeeze(part)) for part in parts)
                    self._phrases.add(squeeze(phrase), entry._replace(ends=ends))
                continue
            if not is_inside and entry not in (same := self._words[collapse(merged)]):
                same.append(entry)
            if entry.size > 2:
                self._spelled.add(collapse(keys), entry)

    def find(self, text: Readable, *, most: int = 20) -> list[TextHit]:
        """Up to `most` hits, in the order of the text."""
        found: dict[TextHit, None] = {}
        for hit in self._hits(text):
            found[hit] = None
            if len(found) >= most:
                break
        return sorted(found)

    def _hits(self, text: Readable) -> Iterator[TextHit]:
        for entry, literal in self._literals:
            for match in literal.finditer(text.text):
                yield TextHit(*match.span(), entry)
        for view in text.views:
            if not view.by_looks and not self._has_other_letters:
                continue  # a to z look like what they are
            if self._words and not self._words.keys().isdisjoint(view.words):
                yield from self._whole(text, view)
            if self._spelled:
                yield from self._in_pieces(text, view)
            for is_merged in (False, True):
                if self._phrases:
                    yield from self._as_phrase(text, view, is_merged)
                if self._inside:
                    yield from self._anywhere(text, view, is_merged)

    def _whole(self, text: Readable, view: View) -> Iterator[TextHit]:
        for place, key in zip(view.places, view.words, strict=True):
            for entry in self._words.get(key, ()):
                span = view.span(*place)
                if _fits(text.text, view, span, entry.letters):
                    yield TextHit(*span, entry.text)

    def _in_pieces(self, text: Readable, view: View) -> Iterator[TextHit]:
        """Words whose letters are spelled one by one, or that are divided."""
        for pattern in (_SPELLED, _DIVIDED) if BREAK in view.keys else (_SPELLED,):
            for group in pattern.finditer(view.keys):
                runs: list[Run] = []
                for first, last, entry in self._spelled.find(squeeze(group[0])):
                    runs = runs or view.squeezed_runs(*group.span())
                    yield from _written(text, view, runs[first : last + 1], entry)

    def _as_phrase(self, text: Readable, view: View, is_merged: bool) -> Iterator[TextHit]:
        """Phrases, wherever spaces are left out or added: their letters follow one another."""
        keys = view.squeezed_merged if is_merged else view.squeezed
        if is_merged and keys == view.squeezed:
            return
        runs: list[Run] = []
        for first, last, entry in self._phrases.find(keys):
            runs = runs or view.squeezed_runs(0, len(view.keys), merged=is_merged)
            yield from _written(text, view, runs[first : last + 1], entry)

    def _anywhere(self, text: Readable, view: View, is_merged: bool) -> Iterator[TextHit]:
        keys = view.merged if is_merged else view.plain
        if is_merged and keys == view.plain:
            return
        runs: list[Run] = []
        for first, last, entry in self._inside.find(keys):
            runs = runs or view.runs(merged=is_merged)
            for start, end in _cuts(runs[first], runs[last], entry):
                span = view.span(start, end)
                if start < end and _fits(text.text, view, span, entry.letters):
                    yield TextHit(*span, entry.text)
                    break


class _Keys:
    """Keys of entries, found at any place of a string.

    The first letters of a key are its anchor. Texts without one of the anchors are rejected at the speed of a set; from an
    anchor on, letters are added as long as some key begins with them.
    """

    _ANCHOR = 5

    def __init__(self) -> None:
        self._entries: dict[str, list[_WordEntry]] = defaultdict(list)
        # By their lengths. A shorter key is its own anchor.
        self._anchors: dict[int, set[str]] = defaultdict(set)
        self._beginnings: set[str] = set()  # of keys, and longer than an anchor

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, key: str, entry: _WordEntry) -> None:
        if entry not in self._entries[key]:
            self._entries[key].append(entry)
        anchor = key[: self._ANCHOR]
        self._anchors[len(anchor)].add(anchor)
        self._beginnings.update(key[:length] for length in range(self._ANCHOR + 1, len(key) + 1))

    def find(self, keys: str) -> Iterator[tuple[int, int, _WordEntry]]:
        """The first and the last place of each key, with its entries."""
        for size, anchors in self._anchors.items():
            parts = [keys[first : first + size] for first in range(len(keys) - size + 1)]
            if anchors.isdisjoint(parts):
                continue
            for first, part in enumerate(parts):
                if part in anchors:
                    yield from self._find_from(keys, first, first + size)

    def _find_from(self, keys: str, first: int, end: int) -> Iterator[tuple[int, int, _WordEntry]]:
        for entry in self._entries.get(keys[first:end], ()):
            yield first, end - 1, entry
        if end - first < self._ANCHOR:
            return
        while end < len(keys) and (part := keys[first : end + 1]) in self._beginnings:
            for entry in self._entries.get(part, ()):
                yield first, end, entry
            end += 1


# Entries


def _check(text: str, place: int) -> None:
    if not text.strip():
        raise BadList("The entry is empty. Remove the line.", place=place)
    if len(text) > MAX_LENGTH:
        raise BadList(f"An entry may have at most {MAX_LENGTH} characters. Shorten it.", place=place)


def _read_entry(text: str) -> _WordEntry | None:
    """None for an entry that is found literally: emoji, c++, 100%."""
    composed = normalize("NFC", text.strip())
    letters: list[str] = []
    for character in composed:
        if character in _IN_ENTRIES:
            letters.append(SPACE)
        elif all(map(is_letter, fold(character))):
            letters.append(fold(character))
        else:
            return None
    words = "".join(letters).split()
    if not words:
        return None
    return _WordEntry(text, words, sum(map(len, words)))


@lru_cache(maxsize=16_384)
def _groups(word: str) -> list[tuple[str, int]]:
    """The letters, and how often in a row; more than three times are no different from three."""
    return [(letter, min(len(list(same)), 3)) for letter, same in groupby(word)]


# What was found, in the original text


def _fits(text: str, view: View, span: tuple[int, int], word: str) -> bool:
    start, end = span
    written, before = text[start:end], text[max(0, start - 2) : start]
    # The same words come again and again, in hostile texts above all. Long ones are not worth their memory.
    fits = _is_word if end - start <= 2 * MAX_LENGTH else _is_word.__wrapped__
    return fits(written, before, view.has_symbols, word)


@lru_cache(maxsize=16_384)
def _is_word(written: str, before: str, has_symbols: bool, word: str) -> bool:
    atoms = _atoms(written, before, has_symbols, at_most=4 * len(word) + 8)
    if atoms is None:
        return False
    doubled = _align(_groups(word), atoms)
    # One doubled letter makes another word (god and good); several, or three in a row, make none.
    return doubled is not None and doubled != 1 and _is_plausible(atoms, word)


def _atoms(written: str, before: str, has_symbols: bool, at_most: int) -> list[_Atom] | None:
    """What can be letters there, of long repetitions three; None if there are far too many for the entry."""
    atoms: list[_Atom] = []
    for place, character in enumerate(written):
        if character in MARKS:
            if atoms and len(composed := normalize("NFC", atoms[-1].character + character)) == 1:
                atoms[-1:] = [_Atom(composed, reading) for reading in readings(composed)]
            continue
        if character in SYMBOLS and not has_symbols:
            continue
        if len(atoms) > 2 and atoms[-1].character == atoms[-2].character == atoms[-3].character == character:
            continue
        for reading in readings(character):
            if character == "I" and _is_after_lower_case(before + written, len(before) + place):
                reading = reading._replace(looks="l")
            atoms.append(_Atom(character, reading))
        if len(atoms) > at_most:
            return None
    return atoms


def _is_after_lower_case(text: str, place: int) -> bool:
    """Whether an I follows a small letter, with at most one I between: so it is likely to be an l, as in kiIl."""
    before = text[max(0, place - 2) : place].removesuffix("I")
    return before[-1:].islower()


def _align(groups: list[tuple[str, int]], atoms: list[_Atom]) -> int | None:
    """How many single letters of the entry are doubled in the text, at least; None if the text is not the entry."""
    reached: list[dict[int, int]] = [{} for _ in range(len(groups) + 1)]
    reached[0][0] = 0

    def reach(group: int, place: int, doubled: int) -> None:
        reached[group][place] = min(doubled, reached[group].get(place, doubled))

    for number, (letter, times) in enumerate(groups):
        is_rn = (letter, times) == ("r", 1) and groups[number + 1 : number + 2] == [("n", 1)]
        for place, doubled in reached[number].items():
            here = place
            while here < len(atoms) and atoms[here].reading.can_be(letter):
                here += 1
                if here - place >= times:
                    reach(number + 1, here, doubled + (here - place == 2 and times == 1))
            pair = {"m": "rn", "w": "vv"}.get(letter)
            if pair and times == 1 and _are(atoms, place, pair):
                reach(number + 1, place + 2, doubled)
            if is_rn and _are(atoms, place, "m"):
                reach(number + 2, place + 1, doubled)
            if (letter, times) == ("v", 2) and _are(atoms, place, "w"):
                reach(number + 1, place + 1, doubled)
    return reached[-1].get(len(atoms))


def _are(atoms: list[_Atom], place: int, letters: str) -> bool:
    following = atoms[place : place + len(letters)]
    return len(following) == len(letters) and all(
        atom.reading.can_be(letter) for atom, letter in zip(following, letters, strict=True)
    )


def _is_plausible(atoms: list[_Atom], word: str) -> bool:
    """Whether these characters are meant to be read as the word."""
    written = "".join(atom.reading.is_[:1] or atom.character for atom in atoms)
    if written == word:
        return True
    digits = sum(atom.character.isdigit() for atom in atoms) - sum(map(str.isdigit, word))
    if digits > (len(word) - 2 if len(word) >= _LONG else len(word) // 2):
        return False  # a number, or the code of a product
    if "ı" in written and "ı" not in word and len(word) < _LONG:
        return False  # short Turkish words differ in the dot alone
    if written in _NO_DISGUISE:
        return False
    letters = [atom for atom in atoms if atom.character.isalpha() or not atom.character.isascii()]
    if not letters:
        return not digits and len(word) > 2
    return any(set(atom.reading.is_) & set(word) or not is_everyday(atom.character) for atom in letters)


def _cuts(first: Run, last: Run, entry: _WordEntry) -> Iterator[tuple[int, int]]:
    """Where an entry inside a word may begin and end: a run of letters at its edge may belong to the word around it."""
    groups = _groups(entry.letters)
    starts = {max(first.start, first.end - groups[0][1]), first.start}
    ends = {min(last.end, last.start + groups[-1][1]), last.end}
    return product(sorted(starts, reverse=True), sorted(ends))


def _written(text: Readable, view: View, runs: list[Run], entry: _WordEntry) -> Iterator[TextHit]:
    """The entry where its key is, if the pieces there are its words.

    A unit is one word or several, in one piece or in several: "fr33 c a s i n o", "f r e e c a s i n o" and "freecasino".
    """
    limits = _limits(view, runs, entry)
    for start in limits[0]:
        reached: list[set[int]] = [{start}, *(set() for _ in entry.words)]
        for word, following in combinations(range(len(limits)), 2):
            for first, end in product(reached[word], limits[following]):
                if first < end and _is_unit(
                    text, view, range(first, end), entry.words[word:following], entry.size
                ):
                    reached[following].add(end)
        if reached[-1]:
            yield TextHit(*view.span(view.starts[start], view.ends[max(reached[-1]) - 1]), entry.text)
            return


def _limits(view: View, runs: list[Run], entry: _WordEntry) -> list[list[int]]:
    """The pieces that each word may begin with, and what may follow the last.

    There are several if a letter is repeated: in "off free casino", only the second f of off is no letter of the phrase.
    """
    limits = [_between(view.starts, runs[0].start, runs[0].end - 1)]
    for end in entry.ends[:-1]:
        near = _between(view.starts, runs[end - 1].start + 1, runs[end].start)
        limits.append([piece for piece in near if view.gap(piece) <= _WIDEST_GAP])
    limits.append([piece + 1 for piece in _between(view.ends, runs[-1].start + 1, runs[-1].end)])
    return limits


def _between(numbers: list[int], least: int, most: int) -> list[int]:
    """The places of the first and the last number from `least` to `most`."""
    places = range(bisect_left(numbers, least), bisect_right(numbers, most))
    return sorted({places[0], places[-1]}) if places else []


def _is_unit(text: Readable, view: View, pieces: range, words: list[str], size: int) -> bool:
    letters = "".join(words)
    if len(words) > 1 and len(letters) < _JOINED and not _are_letters(view, pieces):
        return False
    span = view.span(view.starts[pieces[0]], view.ends[pieces[-1]])
    if len(pieces) > 1 and not _may_be_in_pieces(view, pieces, text.text[slice(*span)], size):
        return False
    return _fits(text.text, view, span, letters)


def _may_be_in_pieces(view: View, pieces: range, written: str, size: int) -> bool:
    """Whether the pieces are those of one word: "the rapist" and "pen is" are two. `size` is that of the entry."""
    if any(view.gap(piece) > _WIDEST_GAP for piece in pieces[1:]):
        return False
    if _are_letters(view, pieces):
        return size > 3 or _are_alone(view, pieces)
    if SPACE in view.keys[view.starts[pieces[0]] : view.ends[pieces[-1]]] or not _are_alone(view, pieces):
        return False
    if len(pieces) > 2:
        return size >= _LONG or all(view.ends[piece] - view.starts[piece] <= 2 for piece in pieces)
    dividers = {character for character in written if not is_letter(character)}
    return size >= _LONGER and dividers <= _DIVIDERS


def _are_letters(view: View, pieces: range) -> bool:
    return all(view.ends[piece] - view.starts[piece] == 1 for piece in pieces)


def _are_alone(view: View, pieces: range) -> bool:
    """Whether the pieces beside them are not of the same kind: letters spelled one by one, or parts of what is divided."""
    are_letters = _are_letters(view, pieces)
    are_divided = SPACE not in view.keys[view.starts[pieces[0]] : view.ends[pieces[-1]]]
    for beside, at in ((pieces[0] - 1, pieces[0]), (pieces[-1] + 1, pieces[-1] + 1)):
        if 0 <= beside < len(view.places):
            gap = view.keys[view.ends[at - 1] : view.starts[at]]
            is_alike = not are_letters or view.ends[beside] - view.starts[beside] == 1
            if is_alike and len(gap) <= _WIDEST_GAP and not (are_divided and SPACE in gap):
                return False
    return True
