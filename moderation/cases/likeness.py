"""Which contents are equal, or nearly so: their texts but for disguises, and their pictures by PDQ hash."""

import hashlib
import os
import re
from collections.abc import Sequence
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


def unlike_any() -> Likeness:
    """Of a content that nobody has any more."""
    return Likeness(os.urandom(32), ())


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


class PictureRows:
    """The pictures of many contents, as many of each. To find one that is alike costs about a microsecond per hundred."""

    def __init__(self, contents: Sequence[Sequence[str]]) -> None:
        self._words, self._length = _words(contents), len(contents)

    def add(self, pictures: Sequence[str]) -> None:
        if self._length == len(self._words):  # room for as many again, so that the rows are seldom moved
            self._words = np.concatenate([self._words, _words([pictures] * (self._length + 1))])
        self._words[self._length] = _words([pictures])[0]
        self._length += 1

    def first_alike(self, pictures: Sequence[str]) -> int | None:
        """The place of the first content each of whose pictures is near the one at the same place."""
        rows = self._words[: self._length]
        distances = np.bitwise_count(rows ^ _words([pictures])).sum(axis=2, dtype=np.uint16)
        alike = (distances <= PDQ_DISTANCE).all(axis=1)
        place = int(alike.argmax()) if len(alike) else 0
        return place if len(alike) and alike[place] else None


def _plain(text: str) -> str:
    """Without disguises, case, and what stands between words. A text of symbols alone is itself."""
    undisguised, _ = Readable(text).undisguised
    folded = undisguised.casefold()
    return _BETWEEN_WORDS.sub(" ", folded).strip() or folded.strip()


def _words(contents: Sequence[Sequence[str]]) -> NDArray[np.uint64]:
    """The hashes as numbers: contents × pictures × 4."""
    digits = "".join(picture for pictures in contents for picture in pictures)
    words = np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)
    return words.reshape(len(contents), -1, 4) if contents else words.reshape(0, 0, 4)
