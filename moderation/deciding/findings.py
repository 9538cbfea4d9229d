"""Findings: what detectors and lists found in a content, as raw as it came, so that any policy can decide it again."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson


class Failure(NamedTuple):
    """Why something could not be found out. `passes`: whether asking again later may help."""

    code: str
    detail: str
    passes: bool


@dataclass(slots=True)
class DetectorAnswer:
    """`found`: part, label, score and place of each thing that the detector named.

    A part is `text`, `title`, or `image` with its number. The place of an entity is its start and end, in code points; that
    of an object its corners, in pixels; a label of a whole part has none.
    """

    version: int
    preprocessing: str
    found: list[Any]
    arm: str = ""


@dataclass(slots=True)
class Findings:
    """`matches`: for each list part, start, end and entry of its hits; of a picture, the distance stands as the end."""

    parts: list[str]  # that the content has
    named_language: str = ""
    detectors: dict[str, DetectorAnswer] = field(default_factory=dict)
    matches: dict[str, list[Any]] = field(default_factory=dict)  # by digest of the list
    failures: dict[str, Failure] = field(default_factory=dict)  # by detector, digest, or part
    looked_at: dict[str, list[str]] = field(
        default_factory=dict
    )  # by detector or digest: parts that it read to their end
    pictures: list[Any] = field(default_factory=list)  # part, sha256, md5, PDQ hash and its quality

    def to_bytes(self) -> bytes:
        return orjson.dumps(
            {
                "parts": self.parts,
                "language": self.named_language,
                "detectors": {
                    name: [answer.version, answer.preprocessing, answer.arm, answer.found]
                    for name, answer in self.detectors.items()
                },
                "matches": self.matches,
                "failures": {name: tuple(failure) for name, failure in self.failures.items()},
                "looked_at": self.looked_at,
                "pictures": self.pictures,
            }
        )

    @classmethod
    def from_bytes(cls, stored: bytes | memoryview) -> "Findings":
        values = orjson.loads(stored)
        return cls(
            values["parts"],
            values["language"],
            {
                name: DetectorAnswer(version, preprocessing, found, arm)
                for name, (version, preprocessing, arm, found) in values["detectors"].items()
            },
            values["matches"],
            {name: Failure(*failure) for name, failure in values["failures"].items()},
            values["looked_at"],
            values["pictures"],
        )


def image_part(number: int, of: int) -> str:
    """The name of a picture: `image`, or `image 2` where there are several."""
    return f"image {number + 1}" if of > 1 else "image"


_ALONE = frozenset({"text", "title", "image"})


def kind_of_part(part: str) -> str:
    return part if part in _ALONE else part.partition(" ")[0]
