"""The tabs of a policy's page: its rules with the editor, publishing, revisions, what each rule does, and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from moderation.console.detector_choices import choices_as_json, detector_choices, draft_warnings
from moderation.console.policy_verbs import POLICY_VERBS, has_changed_draft
from moderation.console.preview_panel import draw_preview
from moderation.console.rules_in_words import differences, review_in_words, rules_in_words
from moderation.deciding.models import Decision
from moderation.policies.models import Policy, PolicyRevision, RuleDay
from moderation.policies.rules import MAX_RULES, PDQ_DISTANCE
from moderation.policies.selectors import (
    editable_content,
    previous_revision,
    revision_before,
    rule_days,
    waiting_revision,
)
from moderation.policies.transitions import RevisionStatus
from moderation.rights import ModerationRight
from registry.kit.admin.columns import Tone
from registry.kit.admin.plots import SparkBars, spark_bars
from registry.kit.admin.theme import actor
from registry.kit.text import MAX_REASON

DAYS = 14
COUNTED_AT_MOST = 10_000
_REVISIONS_SHOWN = 100
_SETTINGS = {"title", "require-approval", "end-approval", "retire"}
_STATUS_TONES = {
    RevisionStatus.PUBLISHED: Tone.IDLE,
    RevisionStatus.REQUESTED: Tone.BUSY,
    RevisionStatus.REJECTED: Tone.BAD,
}


@dataclass(frozen=True, slots=True)
class PolicyState:
    word: str
    tone: Tone


def states_of(policy: Policy, *, has_draft: bool, is_waiting: bool) -> list[PolicyState]:
    """What the policy's badges say."""
    if policy.retired_at is not None:
        return [PolicyState("retired", Tone.IDLE)]
    decides = policy.current_id is not None
    states = [PolicyState("decides", Tone.GOOD) if decides else PolicyState("not published", Tone.WARN)]
    if has_draft:
        states.append(PolicyState("draft waiting", Tone.BUSY))
    if is_waiting:
        states.append(PolicyState("approval waiting", Tone.BUSY))
    return states


def decisions_of_a_day(policy: Policy) -> str:
    """How many contents it decided in the last 24 hours; counting stops at 10,000."""
    since = timezone.now() - timedelta(days=1)
    recent = Decision.objects.filter(policy=policy, received_at__gte=since).order_by()
    count = recent.values("pk")[: COUNTED_AT_MOST + 1].count()
    return f"{count:,}" if count <= COUNTED_AT_MOST else f"more than {COUNTED_AT_MOST:,}"


def policy_header(policy: Policy) -> dict[str, Any]:
    waiting = waiting_revision(policy)
    return {
        "states": states_of(
            policy,
            has_draft=has_changed_draft(policy) and (waiting is None or waiting.content != policy.draft),
            is_waiting=waiting is not None,
        ),
        "waiting": waiting,
        "decided": decisions_of_a_day(policy),
        "decisions_url": f"{reverse('admin:moderation_decision_changelist')}?policy__id__exact={policy.pk}",
    }


def draw_rules(request: HttpRequest, policy: Policy) -> SafeString:
    """The editor of the draft; for people who may not edit, its rules in words."""
    content = editable_content(policy)
    may_edit = actor(request).may(ModerationRight.EDIT_POLICIES) and policy.retired_at is None
    context = {
        "policy": policy,
        "may_edit": may_edit,
        "is_draft": policy.draft is not None,
        "rules": rules_in_words(content),
        "review": review_in_words(content),
        "data": editor_data(policy, content) if may_edit else None,
        "preview_url": reverse("admin:moderation_policy_preview", args=[policy.pk]),
        "preview": draw_preview(request, policy, policy.previews.first()) if may_edit else "",
    }
    return render_to_string("admin/moderation/rules_panel.html", context, request)


def editor_data(policy: Policy, content: Mapping[str, Any]) -> dict[str, Any]:
    """What the editor's script needs."""
    choices = detector_choices()
    return {
        "content": content,
        "edits": policy.draft_edits,
        "detectors": choices_as_json(choices),
        "warnings": warnings_as_json(content, choices),
        "save_url": reverse("admin:moderation_policy_draft", args=[policy.pk]),
        "most_rules": MAX_RULES,
        "distance": PDQ_DISTANCE,
    }


def warnings_as_json(content: Mapping[str, Any], choices: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"place": one.place, "sentence": one.sentence} for one in draft_warnings(content, choices)]


def draw_publishing(request: HttpRequest, policy: Policy) -> SafeString:
    """What the draft changes, and what waits for approval, with the forms for both."""
    waiting, by = waiting_revision(policy), actor(request)
    current = policy.current.content if policy.current is not None else {}
    previous = previous_revision(policy)
    context = {
        "policy": policy,
        "has_draft": has_changed_draft(policy),
        "changes": differences(current, editable_content(policy)),
        "waiting": waiting,
        "waiting_changes": differences(current, waiting.content) if waiting else [],
        "is_own": waiting is not None and waiting.was_made_by(by.user_id),
        "previous": previous,
        "back_changes": differences(current, previous.content) if previous else [],
        "may_edit": by.may(ModerationRight.EDIT_POLICIES),
        "may_publish": by.may(ModerationRight.PUBLISH_POLICIES),
        "longest_reason": MAX_REASON,
    }
    return render_to_string("admin/moderation/publish_panel.html", context, request)


def draw_revisions(request: HttpRequest, policy: Policy) -> SafeString:
    """All revisions, newest first, and the one that the address names with its rules."""
    newest = list(
        policy.revisions.select_related("goes_back_to").defer("content", "goes_back_to__content")[
            : _REVISIONS_SHOWN + 1
        ]
    )
    context = {
        "policy": policy,
        "revisions": [(one, _state_of(policy, one)) for one in newest[:_REVISIONS_SHOWN]],
        "has_more": len(newest) > _REVISIONS_SHOWN,
        "opened": _opened_revision(request, policy),
    }
    return render_to_string("admin/moderation/revisions_panel.html", context, request)


def _state_of(policy: Policy, revision: PolicyRevision) -> PolicyState:
    if revision.pk == policy.current_id and policy.retired_at is None:
        return PolicyState("decides", Tone.GOOD)
    status = RevisionStatus(revision.status)
    return PolicyState(str(status.label).lower(), _STATUS_TONES.get(status, Tone.IDLE))


def _opened_revision(request: HttpRequest, policy: Policy) -> dict[str, Any] | None:
    number = request.GET.get("revision", "")
    revision = (
        policy.revisions.filter(number=int(number)).first()
        if number.isdecimal() and len(number) < 9
        else None
    )
    if revision is None:
        return None
    before = revision_before(revision)
    return {
        "revision": revision,
        "rules": rules_in_words(revision.content),
        "review": review_in_words(revision.content),
        "before": before,
        "changes": differences(before.content if before else {}, revision.content),
        "content": revision.content,
    }


@dataclass(frozen=True, slots=True)
class RuleEffects:
    """What a rule did in the days that are shown; separately while it was in shadow."""

    name: str
    state: str  # in the current revision; empty: it is not in it any more
    is_shadow: bool
    noted: int
    reviewed: int
    blocked: int
    decisive: int
    bars: SparkBars | None
    days: Sequence[tuple[date, RuleDay | None]]

    @property
    def found(self) -> int:
        return self.noted + self.reviewed + self.blocked


def draw_effects(request: HttpRequest, policy: Policy) -> SafeString:
    """In how many contents each rule found something, by day."""
    today = timezone.now().date()  # counts are kept by days of UTC
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    context = {"policy": policy, "effects": rule_effects(policy, days), "days": days, "count": DAYS}
    return render_to_string("admin/moderation/effects_panel.html", context, request)


def rule_effects(policy: Policy, days: Sequence[date]) -> list[RuleEffects]:
    """Every rule of the current revision, also those that found nothing; then others that did something."""
    counted: dict[tuple[str, bool], dict[date, RuleDay]] = {}
    for row in rule_days(policy, days[0]):
        counted.setdefault((row.rule, row.is_shadow), {})[row.day] = row
    rules = policy.current.rules if policy.current is not None else []
    states = {rule["name"]: rule.get("state") or "on" for rule in rules}
    present = [(name, state == "shadow") for name, state in states.items()]
    keys = list(dict.fromkeys([*present, *sorted(counted)]))
    return [
        _effects(name, shadow, states.get(name, ""), counted.get((name, shadow), {}), days)
        for name, shadow in keys
    ]


def _effects(
    name: str, is_shadow: bool, state: str, counted: Mapping[date, RuleDay], days: Sequence[date]
) -> RuleEffects:
    rows = [(day, counted.get(day)) for day in days]
    bars = [
        (float(row.noted + row.reviewed + row.blocked), float(row.blocked)) if row else (0.0, 0.0)
        for _, row in rows
    ]
    title = f"{name}{' in shadow' if is_shadow else ''}, contents a day"
    return RuleEffects(
        name=name,
        state=state,
        is_shadow=is_shadow,
        **{
            field: sum(getattr(row, field) for row in counted.values())
            for field in ("noted", "reviewed", "blocked", "decisive")
        },
        bars=spark_bars(title, bars, write=lambda value: f"{value:,.0f}", bad_is="blocks"),
        days=rows,
    )


def draw_settings(request: HttpRequest, policy: Policy) -> SafeString:
    by = actor(request)
    buttons = [
        (verb.title, reverse(f"admin:moderation_policy_{verb.name.replace('-', '_')}", args=[policy.pk]))
        for verb in POLICY_VERBS
        if verb.name in _SETTINGS and by.may(verb.right) and verb.fits(policy)
    ]
    context = {"policy": policy, "buttons": buttons}
    return render_to_string("admin/moderation/settings_panel.html", context, request)
