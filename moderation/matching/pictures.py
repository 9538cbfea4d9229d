"""Hashes of pictures, and which entries of a list are near them.

PDQ is a perceptual hash of 256 bits, published by Meta: two files that show the same have a small Hamming distance, 31 or less.
Here it is computed as published: luma, a tent filter down to 64 × 64, the 16 × 16 lowest frequencies of its cosine transform
without the constant ones, and a bit for each that is above their median.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.pipelines.errors import InvalidItem
from inference.pipelines.pictures import decode, inspect
from moderation.matching.errors import BadList, NotAPicture

MAX_HASHES = 2_000_000
FARTHEST = 31  # bits that two PDQ hashes of the same picture may differ in
# Below it, hashes of different pictures are alike: there is too little to see, such as one colour or a gradient.
LEAST_QUALITY = 50
_SIDE, _FREQUENCIES, _LEAST_SIDE = 64, 16, 5
_LUMA = np.array([0.299, 0.587, 0.114])
_CHUNK = 65_536  # entries compared at once, so that what is in between stays in the processor's cache
_ENTRY = re.compile(r"(?:(sha256|md5|pdq):)?([0-9a-f]+)")
_DIGITS = {"sha256": 64, "md5": 32, "pdq": 64}


class PictureHashes(NamedTuple):
    """Hashes of a file, in hexadecimal digits."""

    sha256: str
    md5: str
    pdq: str
    pdq_quality: int  # 0 to 100: how much there is to see

    @classmethod
    def of(cls, content: bytes) -> "PictureHashes":
        """Decode a picture and hash it, the first frame turned as its EXIF data says. Raises NotAPicture."""
        try:
            image = decode(inspect(content))
        except InvalidItem as error:
            raise NotAPicture(str(error)) from None
        pdq, quality = hash_pdq(image)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return cls(hashlib.sha256(content).hexdigest(), md5, pdq, quality)


class HashHit(NamedTuple):
    entry: str
    distance: int  # 0 for the same file


class HashList:
    """Hashes of known pictures: "sha256:…", "md5:…" and "pdq:…". Only 32 digits need no name, they are MD5."""

    def __init__(self, entries: Sequence[str], *, distance: int = FARTHEST) -> None:
        """PDQ entries are near up to `distance` bits. Raises BadList."""
        if len(entries) > MAX_HASHES:
            raise BadList(f"A list may have at most {MAX_HASHES:,} hashes.", place=MAX_HASHES)
        self._distance = distance
        self._files: dict[str, list[str]] = defaultdict(list)
        self._pictures: list[str] = []
        digits: list[str] = []
        for place, entry in enumerate(entries):
            kind, hexadecimal = _read(entry, place)
            if kind == "pdq":
                self._pictures.append(entry)
                digits.append(hexadecimal)
            else:
                self._files[f"{kind}:{hexadecimal}"].append(entry)
        self._words = _words_of(digits)

    def find(self, hashes: PictureHashes) -> list[HashHit]:
        """All entries that are this file or near this picture, nearest first."""
        names = (f"sha256:{hashes.sha256}", f"md5:{hashes.md5}")
        found = [HashHit(entry, 0) for name in names for entry in self._files.get(name, ())]
        if self._pictures and hashes.pdq_quality >= LEAST_QUALITY:
            found += self._near(hashes.pdq)
        return sorted(found, key=lambda hit: hit.distance)

    def _near(self, pdq: str) -> list[HashHit]:
        wanted = _words_of([pdq])
        found = []
        for start in range(0, len(self._pictures), _CHUNK):
            part = self._words[:, start : start + _CHUNK]
            distances = np.bitwise_count(part ^ wanted).sum(axis=0, dtype=np.uint16)
            for place in np.flatnonzero(distances <= self._distance):
                found.append(HashHit(self._pictures[start + int(place)], int(distances[place])))
        return found


def hash_pdq(image: Image.Image) -> tuple[str, int]:
    """The PDQ hash of a picture in RGB, in hexadecimal digits, and its quality. Tiny pictures have zeros and quality 0."""
    if min(image.size) < _LEAST_SIDE:
        return "0" * 64, 0
    tiles = _tiles(np.asarray(image))
    frequencies = _COSINES @ tiles @ _COSINES.T
    # The lower of the two in the middle: of 256 values, 128 are above it.
    median = np.partition(frequencies.ravel(), 127)[127]
    bits = (frequencies > median).ravel()[::-1]
    return np.packbits(bits).tobytes().hex(), _quality(tiles)


def _tiles(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The luma of 64 × 64 places of the blurred picture. Never holds more than some lines of a large one as numbers."""
    height, width, _ = pixels.shape
    if (height, width) == (_SIDE, _SIDE):
        return np.asarray(pixels @ _LUMA)
    # Rows and columns are blurred independently, and of each only the 64 that are looked at are needed.
    lines = np.stack([weights @ (pixels[part] @ _LUMA) for part, weights in _blurred_places(height)])
    return np.stack([lines[:, part] @ weights for part, weights in _blurred_places(width)], axis=1)


def _blurred_places(length: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """For each of 64 places of a line, which pixels are in it after two box filters, and their weights."""
    for centre in ((np.arange(_SIDE) + 0.5) * length / _SIDE).astype(int):
        starts, ends = _boxes(length, np.array([centre]))
        firsts, lasts = _boxes(length, np.arange(starts[0], ends[0]))
        changes = np.zeros(lasts[-1] - firsts[0] + 1)  # of the weight, from one pixel to the next
        parts = 1 / (len(firsts) * (lasts - firsts))
        np.add.at(changes, firsts - firsts[0], parts)
        np.add.at(changes, lasts - firsts[0], -parts)
        yield slice(firsts[0], lasts[-1]), changes.cumsum()[:-1]


def _boxes(length: int, at: NDArray[np.int_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """What a box filter averages for these pixels; at the ends, what there is."""
    window = -(-length // (2 * _SIDE))
    ahead = (window + 2) // 2  # an even window looks farther ahead than back
    return np.maximum(0, at + ahead - window), np.minimum(length, at + ahead)


def _cosines() -> NDArray[np.float64]:
    frequency, place = np.arange(1, _FREQUENCIES + 1)[:, None], np.arange(_SIDE)[None, :]
    return np.asarray(np.sqrt(2 / _SIDE) * np.cos(np.pi / (2 * _SIDE) * frequency * (2 * place + 1)))


_COSINES = _cosines()


def _quality(tiles: NDArray[np.float64]) -> int:
    """From the sum of the differences between neighbours that can be seen."""
    steps = [np.trunc(np.diff(tiles, axis=axis) * 100 / 255) for axis in (0, 1)]
    return min(100, int(sum(np.abs(step).sum() for step in steps)) // 90)


def _read(entry: str, place: int) -> tuple[str, str]:
    match = _ENTRY.fullmatch(entry.strip().lower())
    if match is None:
        raise BadList(
            "The entry is no hash. Write sha256:, md5: or pdq: and hexadecimal digits.", place=place
        )
    kind, digits = match.groups()
    if kind is None and len(digits) == 64:
        raise BadList("Both SHA-256 and PDQ have 64 digits. Write sha256: or pdq: before them.", place=place)
    kind = kind or "md5"
    if len(digits) != _DIGITS[kind]:
        raise BadList(f"Such a hash has {_DIGITS[kind]} digits, this one {len(digits)}.", place=place)
    return kind, digits


def _words_of(digits: Sequence[str]) -> NDArray[np.uint64]:
    """Four rows of 64 bits, a column for each hash."""
    raw = np.frombuffer(bytes.fromhex("".join(digits)), dtype=np.uint64)
    return np.ascontiguousarray(raw.reshape(-1, 4).T)
