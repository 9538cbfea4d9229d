"""Which contents are equal, or nearly so: their texts but for disguises, and their pictures by PDQ hash."""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from moderation.deciding.findings import Findings
from moderation.matching.pictures import LEAST_QUALITY
from moderation.matching.texts import Readable
from moderation.policies.rules import PDQ_DISTANCE

_BETWEEN_WORDS = re.compile(r"[\W_]+")


class Likeness(NamedTuple):
    """Contents with the same key, and with pictures near one another, are alike."""

    key: bytes
    pictures: tuple[str, ...]


def likeness_of(text: str, title: str, findings: Findings) -> Likeness:
    """A picture with too little to see in it is only like itself; one that nobody could read is like no other."""
    pictures: list[str] = []
    exact: list[str] = []
    hashed = {part: (sha256, pdq, quality) for part, sha256, _, pdq, quality in findings.pictures}
    for part in (part for part in findings.parts if part.startswith("image")):
        sha256, pdq, quality = hashed.get(part, ("", "", 0))
        if not sha256:
            exact.append(os.urandom(16).hex())
        elif quality < LEAST_QUALITY:
            exact.append(sha256)
        else:
            pictures.append(pdq)
    parts = [_plain(text), _plain(title), exact, len(pictures)]
    return Likeness(hashlib.sha256(orjson.dumps(parts)).digest(), tuple(pictures))


def first_alike(one: Likeness, others: Sequence[Sequence[str]]) -> int | None:
    """The place of the first content that is alike, among the pictures of contents with the same key."""
    if not one.pictures:
        return 0 if others else None
    if not others:
        return None
    distances = np.bitwise_count(_words(others) ^ _words([one.pictures])).sum(axis=2, dtype=np.uint16)
    alike = np.flatnonzero((distances <= PDQ_DISTANCE).all(axis=1))
    return int(alike[0]) if len(alike) else None


def _plain(text: str) -> str:
    """Without disguises, case, and what stands between words. A text of symbols alone is itself."""
    undisguised, _ = Readable(text).undisguised
    folded = undisguised.casefold()
    return _BETWEEN_WORDS.sub(" ", folded).strip() or folded.strip()


def _words(contents: Iterable[Sequence[str]]) -> NDArray[np.uint64]:
    """The hashes as numbers: contents × pictures × 4."""
    digits = [[bytes.fromhex(picture) for picture in pictures] for pictures in contents]
    return np.array([[np.frombuffer(one, ">u8") for one in row] for row in digits], np.uint64)
