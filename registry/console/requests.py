"""Approval requests: their list and page, the verbs that decide them, and the rule that requires them."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.console.splits import written_split_text
from registry.kit.actors import Actor, in_scope
from registry.kit.admin.columns import Tone, moment_column, state_column, text_column
from registry.kit.admin.navigation import Badge
from registry.kit.admin.pages import OwnPage, exact_filter
from registry.kit.admin.panels import PanelPage, panels_for
from registry.kit.admin.theme import ModelAdmin, actor, display
from registry.kit.admin.verbs import ReasonForm, Verb, VerbPages
from registry.kit.text import MAX_REASON
from registry.traffic import services as traffic
from registry.traffic.gates import GateOutcome, gates_of
from registry.traffic.models import SplitRequest
from registry.traffic.selectors import (
    ArmShare,
    Waiting,
    describe_shares,
    live_arms,
    open_requests,
    requested_arms,
    requested_shares,
    requests_for,
    waiting_for,
)
from registry.traffic.transitions import RequestStatus

_WORST_FIRST = (GateOutcome.FAILED, GateOutcome.WARNED, GateOutcome.UNKNOWN, GateOutcome.PASSED)
_TONES = {
    RequestStatus.OPEN: Tone.BUSY, RequestStatus.APPROVED: Tone.GOOD, RequestStatus.REJECTED: Tone.BAD,
}  # fmt: skip


def _approve(request: SplitRequest, form: ReasonForm, by: Actor) -> str:
    split = traffic.approve_request(request=request, reason=form.cleaned_data["reason"], by=by)
    return f"Approved. {written_split_text(split)}"


def _reject(request: SplitRequest, form: ReasonForm, by: Actor) -> str:
    traffic.reject_request(request=request, reason=form.cleaned_data["reason"], by=by)
    return f"Rejected. {request.asked_by} can see the reason on this page."


def _withdraw(request: SplitRequest, form: ReasonForm, by: Actor) -> str:
    traffic.withdraw_request(request=request, reason=form.cleaned_data["reason"], by=by)
    return "Withdrawn. It no longer needs a decision."


def _require_approval(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.set_approval_rule(model=model, needed=True, reason=form.cleaned_data["reason"], by=by)
    return f"{model} now needs a second person's approval."


def _allow_one_person(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.set_approval_rule(model=model, needed=False, reason=form.cleaned_data["reason"], by=by)
    return f"{model} no longer needs a second person's approval."


def _is_open(request: SplitRequest) -> bool:
    return request.status == RequestStatus.OPEN


REQUEST_VERBS = (
    Verb("approve", "Approve", Right.APPROVE, ReasonForm, _approve, _is_open,
         "The gates are checked again. The split goes live as soon as every engine that serves the Model is warm."),
    Verb("reject", "Reject", Right.APPROVE, ReasonForm, _reject, _is_open, "What is live stays live."),
    Verb("withdraw", "Withdraw", Right.REQUEST_CHANGE, ReasonForm, _withdraw, _is_open, "What is live stays live."),
)  # fmt: skip
RULE_VERBS = (
    Verb("one-person", "Turn off approval", Right.MANAGE_SETTINGS, ReasonForm, _allow_one_person,
         lambda model: model.needs_approval,
         "Anyone who may set splits can then give any ready version live share on their own."),
    Verb("two-people", "Turn on approval", Right.MANAGE_SETTINGS, ReasonForm, _require_approval,
         lambda model: not model.needs_approval,
         "Every change that gives a version live share then needs a second person's approval. "
         "Lowering shares, stopping and rolling back never need approval."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShownRequest:
    """One request as its page shows it."""

    row: SplitRequest
    live: list[ArmShare]
    gates: list[dict[str, str]]
    waiting: Waiting | None  # of the split that it became

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
    def changes(self) -> list[tuple[int, float, float]]:
        """(version, percent now, percent then) of every version whose share would change."""
        now = {arm.version: arm.percent for arm in self.live}
        then = {arm.version: arm.percent for arm in self.arms}
        return [
            (number, now.get(number, 0), then.get(number, 0))
            for number in sorted(now.keys() | then.keys(), reverse=True)
            if now.get(number, 0) != then.get(number, 0)
        ]

    @property
    def outcomes(self) -> list[tuple[str, list[str]]]:
        """The names of the gates with each outcome, worst first; outcomes that no gate has are left out."""
        names = {
            outcome: [gate["name"] for gate in self.gates if gate["outcome"] == outcome]
            for outcome in _WORST_FIRST
        }
        return [(outcome, names[outcome]) for outcome in _WORST_FIRST if names[outcome]]

    @property
    def moves(self) -> float:
        """Percentage of routing keys that would move to another version."""
        live = {arm.version: arm.share for arm in self.live}
        return sum(max(0, arm.share - live.get(arm.version, 0)) for arm in self.arms) / 100


def shown_request(request: SplitRequest) -> ShownRequest:
    live = live_arms(request.model) if request.status == RequestStatus.OPEN else []
    waiting = waiting_for(request.split) if request.split is not None else None
    return ShownRequest(request, live, gates_of(request), waiting)


def draw_model_requests(request: HttpRequest, model: Model) -> SafeString | str:
    """The open requests of a Model; nothing if there are none."""
    return _draw(request, list(open_requests(model).select_related("model")))


def _draw(request: HttpRequest, rows: list[SplitRequest]) -> SafeString | str:
    if not rows:
        return ""
    by = actor(request)
    lines = [(row, describe_shares(row), may_decide(row, by)) for row in rows]
    return render_to_string("admin/registry/open_requests.html", {"lines": lines}, request)


def may_decide(request: SplitRequest, by: Actor) -> bool:
    """Whether this person may approve or reject; the service checks again."""
    return by.may(Right.APPROVE, model_id=request.model_id) and request.asker_id != by.user_id


def decisions_badge(request: HttpRequest) -> Badge | None:
    """How many open requests this person may decide."""
    by = actor(request)
    others = SplitRequest.objects.filter(status=RequestStatus.OPEN).exclude(asker_id=by.user_id)
    count = in_scope(others, by, right=Right.APPROVE).count()
    requests = "request needs" if count == 1 else "requests need"
    return Badge(count, f"{count:,} {requests} your decision") if count else None


class RequestPage(VerbPages, OwnPage, ModelAdmin[SplitRequest]):
    """Read-only: requests are written by services."""

    empty_text = "Changes that need a second person's approval appear here until someone decides on them."
    own_template = "admin/registry/split_request.html"
    verbs = REQUEST_VERBS
    list_display = [
        "__str__", "requested_split", state_column("status", _TONES), text_column("comment", "comment"), "asked_by",
        moment_column("asked_at", "asked"), "decided_by", moment_column("decided_at", "decided"),
    ]  # fmt: skip
    list_filter = ["status", exact_filter("model__slug", "Model"), exact_filter("asked_by", "asked by")]
    list_filter_submit = True
    search_fields = ["model__slug", "comment", "asked_by"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[SplitRequest]:
        return requests_for(actor(request))

    @display(description="requested split")
    def requested_split(self, request: SplitRequest) -> str:
        return render_to_string("admin/registry/split_bar.html", {"arms": requested_arms(request)})

    def shown(self, request: HttpRequest, row: SplitRequest) -> dict[str, Any]:
        by = actor(request)
        return {
            "title": str(row),
            "original": row,
            "shown": shown_request(row),
            "buttons": self.buttons(request, row),
            "panels": panels_for(PanelPage.REQUEST, request, row),
            "longest_reason": MAX_REASON,
            "is_own": row.asker_id is not None and row.asker_id == by.user_id,
            "may_decide": may_decide(row, by),
        }

    def buttons(self, request: HttpRequest, row: SplitRequest) -> list[tuple[str, str]]:
        """Without Approve and Reject for the person who made the request."""
        buttons = super().buttons(request, row)
        if may_decide(row, actor(request)):
            return buttons
        deciding = {verb.title for verb in self.verbs if verb.right is Right.APPROVE}
        return [(title, address) for title, address in buttons if title not in deciding]


admin.site.register(SplitRequest, RequestPage)
