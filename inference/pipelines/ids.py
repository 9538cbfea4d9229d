"""The ids of users or items, one in each line of a file, and which row of a model each one stands for."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.pipelines.errors import BadTaskConfig

MAX_IDS, LONGEST_ID = 20_000_000, 200
Places = NDArray[np.int64]


class IdTable:
    """Ids and their places, in a tenth of the memory of a dictionary: there may be millions."""

    def __init__(self, content: bytes, name: str, *, are_numbers: bool = False) -> None:
        """`name` is that of the file. Raises BadTaskConfig."""
        lines = content.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        _check(lines, content, name)
        self.digest = hashlib.sha256(content).hexdigest()
        self._content = b"\n".join(lines)
        self._ends = np.cumsum([len(line) + 1 for line in lines]) - 1
        self._numbers = _numbers(lines, name) if are_numbers else None
        self._hashes = np.fromiter(map(hash, lines), np.int64, len(lines))
        self._by_hash = np.argsort(self._hashes).astype(np.int32)
        self._hashes = self._hashes[self._by_hash]
        self._check_unique(name)
        self.order = self._order_of(lines)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> str | int:
        return int(self._numbers[place]) if self._numbers is not None else self._line(place).decode()

    def find(self, ids: Sequence[str]) -> Places:
        """The place of each id, -1 for those that are not in the file."""
        wanted = [one.encode() for one in ids]
        hashes = np.fromiter(map(hash, wanted), np.int64, len(wanted))
        at = np.searchsorted(self._hashes, hashes)
        places = self._by_hash[np.minimum(at, len(self) - 1)].astype(np.int64)
        is_known = [self._line(place) == line for place, line in zip(places.tolist(), wanted, strict=True)]
        return np.where(is_known, places, -1)

    def _order_of(self, lines: Sequence[bytes]) -> NDArray[np.int32]:
        """Where each id comes if all are sorted: numbers by size, texts by their code points."""
        if self._numbers is not None:
            by_id = np.argsort(self._numbers)
        else:
            by_id = np.array(sorted(range(len(lines)), key=lines.__getitem__))
        order = np.empty(len(lines), np.int32)
        order[by_id] = np.arange(len(lines), dtype=np.int32)
        return order

    def _line(self, place: int) -> bytes:
        start = int(self._ends[place - 1]) + 1 if place else 0
        return self._content[start : int(self._ends[place])]

    def _check_unique(self, name: str) -> None:
        """Ids with the same hash are neighbours; different ones have the same hash once in 10^19 pairs."""
        twice = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        if twice.size:
            line = self._line(int(self._by_hash[twice[0]])).decode()
            raise BadTaskConfig(f"{name} has the id {line!r} twice; each row needs its own.", field=name)


def _check(lines: Sequence[bytes], content: bytes, name: str) -> None:
    if not content.strip():
        raise BadTaskConfig(f"{name} is empty; it needs an id in each line.", field=name)
    if len(lines) > MAX_IDS:
        raise BadTaskConfig(f"{name} has {len(lines):,} ids; at most {MAX_IDS:,} can be used.", field=name)
    try:
        content.decode()
    except UnicodeDecodeError:
        raise BadTaskConfig(f"{name} is not UTF-8; save it as UTF-8.", field=name) from None
    for number, line in enumerate(lines, start=1):
        if not 0 < len(line) <= LONGEST_ID:
            raise BadTaskConfig(
                f"Line {number:,} of {name} has {len(line):,} bytes; an id has 1 to {LONGEST_ID}.", field=name
            )
    if b"\0" in content or b"\r" in content.replace(b"\r\n", b""):
        raise BadTaskConfig(f"{name} has control characters; remove them.", field=name)


def _numbers(lines: Sequence[bytes], name: str) -> NDArray[np.int64]:
    try:
        numbers = np.array(list(map(int, lines)), np.int64)
    except (ValueError, OverflowError):
        numbers = np.empty(0, np.int64)
    read = numbers.tolist()
    for number, line in enumerate(lines):
        if number >= len(read) or b"%d" % read[number] != line:
            raise BadTaskConfig(
                f"Line {number + 1:,} of {name} is {line.decode()[:40]!r}, not a whole number; leave `item_ids` out if they"
                " are texts.",
                field="item_ids",
            )
    return numbers
