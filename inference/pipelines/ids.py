"""The ids of users or items, one in each line of a file, and which row of a model each one stands for."""

import hashlib
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipelines.errors import BadTaskConfig

MAX_IDS, LONGEST_ID = 20_000_000, 200  # the length is in bytes
_AT_ONCE = 16_384  # ids; other threads may go on between them
_SORTED_BYTES = 32  # by which ids are sorted first
_ODD = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]|^ | $", re.MULTILINE)  # nobody would see it, or send it
Places = NDArray[np.int64]


class IdTable:
    """Ids and their places, in a tenth of the memory of a dictionary: there may be millions.

    It is made in pieces, so that the threads of a process go on meanwhile.
    """

    def __init__(self, content: bytes, name: str, *, are_numbers: bool = False) -> None:
        """`name` is that of the file. Raises BadTaskConfig."""
        self.digest = hashlib.sha256(content).hexdigest()
        content = content.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n")
        self._content = content if content.endswith(b"\n") else content + b"\n"
        self._ends = np.flatnonzero(np.frombuffer(self._content, np.uint8) == ord("\n"))
        self._check(name)
        self._numbers = np.concatenate(list(self._read_numbers(name))) if are_numbers else None
        hashes = np.concatenate([np.array(list(map(hash, lines)), np.int64) for _, lines in self._pieces()])
        self._by_hash = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._by_hash]
        self._check_unique(name)
        by_id = np.argsort(self._numbers) if self._numbers is not None else self._sorted()
        self.order = np.empty(len(self), np.int32)  # where each id comes if all are sorted
        self.order[by_id] = np.arange(len(self), dtype=np.int32)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> str | int:
        return int(self._numbers[place]) if self._numbers is not None else self._line(place).decode()

    def find(self, ids: Sequence[str]) -> Places:
        """The place of each id, -1 for those that are not in the file."""
        wanted = [one.encode() for one in ids]
        at = np.searchsorted(self._hashes, np.array(list(map(hash, wanted)), np.int64))
        places = self._by_hash[np.minimum(at, len(self) - 1)].astype(np.int64)
        is_known = [self._line(place) == line for place, line in zip(places.tolist(), wanted, strict=True)]
        return np.where(is_known, places, -1)

    def _line(self, place: int) -> bytes:
        start = int(self._ends[place - 1]) + 1 if place else 0
        return self._content[start : int(self._ends[place])]

    def _pieces(self) -> Iterator[tuple[int, list[bytes]]]:
        """Some lines at a time, and the place of the first of them."""
        for first in range(0, len(self._ends), _AT_ONCE):
            start = int(self._ends[first - 1]) + 1 if first else 0
            end = int(self._ends[min(first + _AT_ONCE, len(self._ends)) - 1])
            yield first, self._content[start:end].split(b"\n")

    def _check(self, name: str) -> None:
        if len(self._content) == 1:
            raise BadTaskConfig(f"{name} is empty; it needs an id in each line.", field=name)
        if len(self) > MAX_IDS:
            raise BadTaskConfig(f"{name} has {len(self):,} ids; at most {MAX_IDS:,} can be used.", field=name)
        for first, lines in self._pieces():
            if not 0 < min(map(len, lines)) <= max(map(len, lines)) <= LONGEST_ID:
                raise _unfit(
                    name, first, lines, lambda line: not 0 < len(line) <= LONGEST_ID,
                    f"is empty or longer than the {LONGEST_ID} bytes that an id may have",
                )  # fmt: skip
            try:
                is_odd = _ODD.search(b"\n".join(lines).decode()) is not None
            except UnicodeDecodeError:
                raise BadTaskConfig(f"{name} is not UTF-8; save it as UTF-8.", field=name) from None
            if is_odd:
                raise _unfit(
                    name, first, lines, lambda line: _ODD.search(line.decode()) is not None,
                    "has a control character, or begins or ends with a space",
                )  # fmt: skip

    def _read_numbers(self, name: str) -> Iterator[NDArray[np.int64]]:
        for first, lines in self._pieces():
            try:
                numbers = np.array(list(map(int, lines)), np.int64)
                is_plain = [b"%d" % number for number in numbers.tolist()] == lines
            except (ValueError, OverflowError):
                is_plain = False
            if not is_plain:
                raise _unfit(
                    name, first, lines, lambda line: not _is_number(line),
                    "is not a plain whole number of 64 bits; leave `item_ids` out if the ids are texts", field="item_ids",
                )  # fmt: skip
            yield numbers

    def _check_unique(self, name: str) -> None:
        """Ids with the same hash are neighbours; different ones have the same hash once in 10^19 pairs."""
        twice = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        if twice.size:
            line = self._line(int(self._by_hash[twice[0]])).decode()
            raise BadTaskConfig(f"{name} has the id {line!r} twice; each row needs its own.", field=name)

    def _sorted(self) -> Places:
        """The places in the order of their ids' bytes, which is that of code points."""
        width = min(_SORTED_BYTES, int(np.diff(self._ends, prepend=-1).max()) - 1)
        beginnings = np.concatenate(
            [np.array([line[:width] for line in lines], f"S{width}") for _, lines in self._pieces()]
        )
        places: Places = np.argsort(beginnings, kind="stable")
        is_same = beginnings[places[1:]] == beginnings[places[:-1]]
        for start, end in _runs(is_same):
            places[start:end] = sorted(places[start:end].tolist(), key=self._line)
        return places


def _runs(is_same: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """The stretches of neighbours that are the same."""
    edges = np.flatnonzero(np.diff(is_same.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return ((start, end + 1) for start, end in edges.tolist())


def _is_number(line: bytes) -> bool:
    try:
        return b"%d" % np.int64(int(line)) == line
    except (ValueError, OverflowError):
        return False


def _unfit(
    name: str,
    first: int,
    lines: Sequence[bytes],
    is_unfit: Callable[[bytes], Any],
    why: str,
    *,
    field: str = "",
) -> BadTaskConfig:
    """The error that names the first line that is unfit."""
    place = next(place for place, line in enumerate(lines) if is_unfit(line))
    shown = lines[place][:40].decode(errors="replace")
    return BadTaskConfig(f"Line {first + place + 1:,} of {name}, {shown!r}, {why}.", field=field or name)
