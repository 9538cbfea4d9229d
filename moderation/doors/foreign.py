"""What the doors of other services' protocols share."""

from typing import Any

import orjson
from django.http import HttpResponse
from rest_framework import serializers

from inference.doors.rest.serializers import Base
from moderation.deciding.services import Decided
from moderation.doors.door import ModerationDoor
from registry.errors import NotFound

_OUR_FIELDS = ("decision", "violations", "problems", "policy", "policy_revision", "request_id")


class ForeignDecision(Base):
    """Our decision, beside the other service's answer."""

    decision = serializers.ChoiceField(["allow", "review", "block"])
    violations = serializers.ListField(child=serializers.CharField())
    problems = serializers.ListField(child=serializers.DictField())
    policy = serializers.CharField()
    policy_revision = serializers.IntegerField()
    request_id = serializers.CharField()


def our_part(decided: Decided) -> dict[str, Any]:
    answer = decided.answer()
    return {name: answer[name] for name in _OUR_FIELDS}


def rendered(problem: HttpResponse, body: dict[str, Any], *, status: int) -> HttpResponse:
    """An API problem with another body and status, and with the headers that clients act upon."""
    response = HttpResponse(orjson.dumps(body), status=status, content_type="application/json")
    for header in ("Retry-After", "WWW-Authenticate"):
        if header in problem:
            response[header] = problem[header]
    return response


def missing_page(door: ModerationDoor) -> HttpResponse:
    """The answer at an address where a protocol has nothing here."""
    fields = {"detail": "There is nothing at this address.", "code": NotFound.code}
    return door.render_problem(HttpResponse(orjson.dumps(fields), status=404))
