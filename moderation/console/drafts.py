"""Saves the draft that the editor sends: one JSON document, checked by the server."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from inference.doors.wire import check_length, read_exactly
from inference.errors import BadBody
from moderation.console.detector_choices import detector_choices
from moderation.console.policy_panels import warnings_as_json
from moderation.errors import InvalidPolicy
from moderation.policies import services
from moderation.policies.models import Policy
from moderation.policies.rules import MAX_CONTENT_BYTES
from registry.errors import Invalid, NotAllowed, RoundhouseError, StaleState
from registry.kit.admin.theme import actor

_MOST_BYTES = MAX_CONTENT_BYTES + (64 << 10)  # with what is around the rules


def save_draft(request: HttpRequest, policy: Policy) -> HttpResponse:
    """Answer with the number of edits and the warnings; or with what is wrong, and where."""
    try:
        body = _read_body(request)
        saved = services.save_draft(
            policy=policy, content=body["content"], expected=body["expected"], by=actor(request)
        )
    except RoundhouseError as error:
        return JsonResponse(_refusal(error), status=_status(error))
    return JsonResponse(saved_as_json(request, saved))


def saved_as_json(request: HttpRequest, policy: Policy) -> dict[str, Any]:
    content = policy.draft or {}
    return {
        "content": content,
        "edits": policy.draft_edits,
        "warnings": warnings_as_json(content, detector_choices()),
        "saved_by": policy.draft_by,
        "said": f"Saved at {timezone.localtime():%H:%M:%S}. Nothing changes until the draft is published.",
    }


def _read_body(request: HttpRequest) -> dict[str, Any]:
    """The document. It is read from the stream: Django's own limit is smaller than a long list."""
    length = check_length(request.META.get("CONTENT_LENGTH") or "", _MOST_BYTES)
    try:
        body = orjson.loads(read_exactly(request.read, length))
    except (orjson.JSONDecodeError, BadBody):
        raise Invalid("The draft could not be read; send it again.") from None
    if not isinstance(body, Mapping) or not isinstance(body.get("expected"), int):
        raise Invalid("Send `content` and `expected`.")
    return {"content": body.get("content"), "expected": body["expected"]}


def _refusal(error: RoundhouseError) -> dict[str, Any]:
    place = list(error.place) if isinstance(error, InvalidPolicy) else []
    return {"detail": str(error), "place": place, "is_stale": isinstance(error, StaleState)}


def _status(error: RoundhouseError) -> int:
    if isinstance(error, StaleState):
        return 409
    return 403 if isinstance(error, NotAllowed) else 422
