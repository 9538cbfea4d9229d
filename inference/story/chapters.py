"""What a story consists of, and the list of its chapters, to which other rooms add."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from inference.serving.request_id import RequestIdFields
from registry.catalogue.models import Model, Version
from registry.kit.actors import Actor
from registry.kit.registrations import Registrations
from registry.traffic.models import Split
from registry.traffic.selectors import ArmShare, arms_of


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """What a request id says, with the rows that it names."""

    request_id: str
    fields: RequestIdFields
    at: datetime
    version: Version
    split: Split | None  # None: the Model had no split, or it is gone

    @property
    def model(self) -> Model:
        return self.version.model

    @property
    def arm(self) -> ArmShare | None:
        """The version's line in the split, if the split chose it."""
        if self.split is None or not self.fields.arm:
            return None
        return next((arm for arm in arms_of(self.split) if arm.version == self.version.number), None)


@dataclass(frozen=True, slots=True)
class ChapterLink:
    """A page with more; `path` is its address in the admin."""

    title: str
    path: str


@dataclass(frozen=True, slots=True)
class ChangeSince:
    """Something that happened after the request."""

    at: datetime
    sentence: str
    by: str
    reason: str
    path: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of the story."""

    title: str
    sentences: Sequence[str] = ()
    facts: Mapping[str, str | int | datetime] = field(default_factory=dict)
    changes: Sequence[ChangeSince] = ()
    links: Sequence[ChapterLink] = ()


TellChapter = Callable[[AnsweredRequest, Actor], Chapter | None]  # None: nothing to tell

CHAPTERS: Registrations[TellChapter] = Registrations("chapter of a request's story")
