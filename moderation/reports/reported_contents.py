"""The content that a report is about. One that was never moderated is moderated first."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inference.serving import runtime
from moderation.deciding.contents import MAX_TEXT, MAX_TITLE, Content, read_content
from moderation.deciding.findings import Findings
from moderation.deciding.models import Decision
from moderation.deciding.selectors import decision_that_counts
from moderation.deciding.services import decide_contents
from moderation.errors import InvalidContent, UnknownDecision
from moderation.rights import MODERATE_SCOPE, ModerationRight, is_test_key
from registry.access.key_ring import Principal
from registry.access.policies import rights_of_scopes
from registry.errors import NotAllowed
from registry.kit.compute_lock import compute_lock
from registry.kit.text import storable

_PLACE = ("content",)


def reported_decision(
    *, content_id: str = "", request_id: str = "", content: Mapping[str, Any] | None = None, by: Principal
) -> Decision:
    """The decision about a reported content. Not to be called in a transaction: detectors may be asked.

    A content that is sent along is moderated if it is not known, if it has another text by now, or if its pictures were
    not kept.
    """
    if content is None:
        decision = decision_that_counts(by.tenant_id, content_id=content_id, request_id=request_id)
        if decision is None:
            raise UnknownDecision(
                "No content is known by this id. Send the content itself as `content`; it is moderated and then reported."
            )
        return decision
    sent = _read(content, content_id, by)
    known = decision_that_counts(by.tenant_id, content_id=sent.content_id) if sent.content_id else None
    if known is not None and _is_kept(known, sent):
        return known
    if ModerationRight.MODERATE not in rights_of_scopes(by.scopes):
        sent = _as_reporters_may(sent, known)
    with compute_lock.released():
        (decided,) = runtime.started().loop.wait_for(decide_contents([sent], by=by, for_person=True))
    return Decision.objects.select_related("revision", "tenant", "content").get(pk=decided.decision.pk)


def _read(fields: Mapping[str, Any], content_id: str, by: Principal) -> Content:
    content = read_content(fields, _PLACE)
    if content_id and content.content_id not in ("", content_id):
        raise InvalidContent("It is another `content_id` than the report's.", *_PLACE, "content_id")
    if content.do_not_store:
        raise InvalidContent(
            "A person looks at a reported content, so it has to be stored.", *_PLACE, "do_not_store"
        )
    if is_test_key(by):
        raise InvalidContent("With a test key nothing is stored, so no new content can be reported.", *_PLACE)
    return replace(content, content_id=content_id or content.content_id)


def _as_reporters_may(sent: Content, known: Decision | None) -> Content:
    """What users send through an application: it neither changes a content that is known, nor names its author."""
    if known is not None and not _says_the_same(known, sent):
        raise NotAllowed(
            f"{sent.content_id} says something else here. Report it by its id, or send its new text with a key of the scope"
            f" {MODERATE_SCOPE}."
        )
    return replace(sent, author_id=known.author_id if known is not None else "")


def _is_kept(decision: Decision, sent: Content) -> bool:
    """Whether a person can still see what is reported."""
    return _says_the_same(decision, sent) and not decision.pictures.filter(file=None).exists()


def _says_the_same(decision: Decision, sent: Content) -> bool:
    """Of pictures the files are compared by their hashes, and those that are sent as URLs by these."""
    kept = getattr(decision, "content", None)
    if kept is None:
        return False
    texts = storable(sent.text, MAX_TEXT), storable(sent.title, MAX_TITLE)
    hashes = [sha256 for _, sha256, *_ in Findings.from_bytes(decision.findings).pictures]
    urls = list(decision.pictures.values_list("url", flat=True))
    if (kept.text, kept.title) != texts or len(urls) != len(sent.pictures):
        return False
    return all(
        hashlib.sha256(one.content).hexdigest() in hashes if one.content else one.url in urls
        for one in sent.pictures
    )
