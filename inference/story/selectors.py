"""Finds what a request id names, and tells its story."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from inference.serving import request_id
from inference.story.chapters import CHAPTERS, AnsweredRequest, Chapter, TellChapter
from registry.catalogue.models import Version
from registry.catalogue.selectors import versions_for
from registry.errors import NotFound
from registry.kit.actors import Actor
from registry.traffic.models import Split
from registry.traffic.selectors import with_arms

log = structlog.get_logger("roundhouse.story")

NOT_OURS = (
    "This is not a request id of this installation. Signed ids come with answered predictions; "
    "look up the id of any other request in the log or in the audit records."
)
GONE = (
    "This installation signed the id, but the version that answered no longer exists: "
    "the database was replaced or restored since."
)
_CLOCKS_DIFFER = timedelta(minutes=1)  # at most, between the machines of an installation


@dataclass(frozen=True, slots=True)
class Story:
    """A request, and the chapters about it by name."""

    request: AnsweredRequest
    chapters: list[tuple[str, Chapter]]


def story_of(text: str, by: Actor) -> Story:
    """Tell the story of the request with this id.

    Raises NotFound for ids that we did not sign. Those of Models that the actor may not see get the same answer.
    """
    request = find_request(text, by)
    told = ((name, _tell(name, tell, request, by)) for name, tell in CHAPTERS.items())
    return Story(request, [(name, chapter) for name, chapter in told if chapter is not None])


def find_request(text: str, by: Actor) -> AnsweredRequest:
    fields = request_id.read(text)
    if fields is None:
        raise NotFound(NOT_OURS)
    at = datetime.fromtimestamp(fields.at_ms / 1000, UTC)
    # After a database was replaced, another version may have the number that the id names.
    then = Version.objects.filter(pk=fields.version_id, created_at__lte=at + _CLOCKS_DIFFER)
    version = versions_for(by).filter(pk__in=then).first()
    if version is None:
        raise NotFound(NOT_OURS if by.models is not None or then.exists() else GONE)
    splits = with_arms(Split.objects.filter(model=version.model_id, number=fields.split))
    return AnsweredRequest(
        request_id=text,
        fields=fields,
        at=at,
        version=version,
        split=splits.first() if fields.split else None,
    )


def _tell(name: str, tell: TellChapter, request: AnsweredRequest, by: Actor) -> Chapter | None:
    """One chapter. One that fails says so; the others still tell what they know."""
    try:
        return tell(request, by)
    except Exception as error:
        log.error("chapter failed", chapter=name, exc_info=error)
        return Chapter(name.capitalize(), ["This part could not be told. The server's log has the error."])
