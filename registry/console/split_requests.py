"""Requests as people read them: what is asked for beside what is live, what the gates say, and who may decide."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.console.request_verbs import REQUEST_VERBS
from registry.kit.actors import Actor
from registry.kit.admin.pages import OwnPage
from registry.kit.admin.theme import ModelAdmin, actor, display
from registry.kit.admin.verb_pages import VerbPages
from registry.traffic.gates import gates_of
from registry.traffic.models import SplitRequest
from registry.traffic.selectors import (
    ArmShare,
    describe_shares,
    live_arms,
    open_requests,
    requested_arms,
    requested_shares,
    requests_for,
)
from registry.traffic.transitions import RequestStatus

_SHOWN_AT_HOME = 10


@dataclass(frozen=True, slots=True)
class ShownRequest:
    """One request as its page tells it."""

    row: SplitRequest
    live: list[ArmShare]
    gates: list[dict[str, str]]

    @property
    def is_open(self) -> bool:
        return self.row.status == RequestStatus.OPEN

    @property
    def arms(self) -> list[ArmShare]:
        return requested_arms(self.row)

    @property
    def versions(self) -> list[Version]:
        arms, _shadows = requested_shares(self.row)
        return sorted(arms, key=lambda version: version.number)

    @property
    def failed(self) -> int:
        return sum(gate["outcome"] == "failed" for gate in self.gates)

    @property
    def moves(self) -> float:
        """Percent of the routing keys that get another version."""
        live = {arm.version: arm.share for arm in self.live}
        return sum(max(0, arm.share - live.get(arm.version, 0)) for arm in self.arms) / 100


def shown_request(request: SplitRequest) -> ShownRequest:
    live = live_arms(request.model) if request.status == RequestStatus.OPEN else []
    return ShownRequest(request, live, gates_of(request))


def draw_requests(request: HttpRequest, model: Model) -> SafeString | str:
    """On a Model's page: what waits for a decision; nothing where nothing does."""
    found = list(open_requests(model).select_related("model"))
    return _drawn(request, found, "Waits for approval", 0) if found else ""


def draw_open_requests(request: HttpRequest, _row: Any) -> SafeString | str:
    """At home: what waits for a decision, over all Models that the reader may see."""
    found = requests_for(actor(request)).filter(status=RequestStatus.OPEN)
    shown = list(found.order_by("pk")[:_SHOWN_AT_HOME])
    more = found.count() - len(shown) if len(shown) == _SHOWN_AT_HOME else 0
    return _drawn(request, shown, "Waits for approval", more) if shown else ""


def _drawn(request: HttpRequest, rows: list[SplitRequest], title: str, more: int) -> SafeString:
    by = actor(request)
    lines = [(row, describe_shares(row), may_decide(row, by)) for row in rows]
    return render_to_string(
        "admin/registry/open_requests.html", {"lines": lines, "title": title, "more": more}, request
    )


def may_decide(request: SplitRequest, by: Actor) -> bool:
    """Whether this person may approve or reject; the service decides again."""
    return by.may(Right.APPROVE, model_id=request.model_id) and request.asker_id != by.user_id


class RequestPage(VerbPages, OwnPage, ModelAdmin[SplitRequest]):
    """What was asked for, and what became of it. Everything here is written by services."""

    empty_text = "Where a Model takes two people, what one asks for stands here until another decides."
    own_template = "admin/registry/split_request.html"
    verbs = REQUEST_VERBS
    list_display = ["__str__", "asked_for", "status", "comment", "asked_by", "asked_at", "decided_by"]
    list_filter = ["status"]
    search_fields = ["model__slug", "comment", "asked_by"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[SplitRequest]:
        return requests_for(actor(request))

    @display(description="asked for")
    def asked_for(self, request: SplitRequest) -> str:
        return render_to_string("admin/registry/split_bar.html", {"arms": requested_arms(request)})

    def shown(self, request: HttpRequest, row: SplitRequest) -> dict[str, Any]:
        by = actor(request)
        return {
            "title": str(row),
            "shown": shown_request(row),
            "buttons": self.buttons(request, row),
            "is_own": row.asker_id is not None and row.asker_id == by.user_id,
            "may_decide": may_decide(row, by),
        }

    def buttons(self, request: HttpRequest, row: SplitRequest) -> list[tuple[str, str]]:
        """Whoever asked cannot decide, so no button says so."""
        found = super().buttons(request, row)
        if may_decide(row, actor(request)):
            return found
        deciding = {verb.title for verb in self.verbs if verb.right is Right.APPROVE}
        return [(title, address) for title, address in found if title not in deciding]


admin.site.register(SplitRequest, RequestPage)
