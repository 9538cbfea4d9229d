"""The preview of a draft, beside its editor: in words first, then by change, language and violation, with samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from moderation.deciding.answers import codes_of
from moderation.deciding.findings import Findings
from moderation.deciding.judgements import Judgement
from moderation.deciding.models import Decision, PolicyPreview, RunStatus
from moderation.deciding.previews import StoredRow, decide_stored, request_preview
from moderation.policies.models import Policy
from moderation.policies.rules import read_rules
from registry.errors import NotAllowed, RoundhouseError
from registry.kit.admin.theme import actor

_NO_STORE = {"Cache-Control": "no-store"}
_SLOW = timedelta(seconds=10)
_OPEN = frozenset({RunStatus.WAITING, RunStatus.RUNNING})


@dataclass(frozen=True, slots=True)
class PreviewInWords:
    """What a finished preview says. `sentence` comes first; `basis` says what it rests on."""

    sentence: str
    basis: str
    changes: Sequence[Mapping[str, Any]]
    by_language: Sequence[Mapping[str, Any]]
    by_code: Sequence[Mapping[str, Any]]
    undecided: Sequence[tuple[str, int]]


def preview_in_words(result: Mapping[str, Any]) -> PreviewInWords:
    return PreviewInWords(
        sentence=_sentence(result),
        basis=_basis(result),
        changes=result["changes"],
        by_language=[one for one in result["by_language"] if one["changed"]],
        by_code=[one for one in result["by_code"] if one["before"] != one["after"]],
        undecided=list(result["undecided"].items()),
    )


def draw_preview(request: HttpRequest, policy: Policy, preview: PolicyPreview | None) -> SafeString | str:
    """The panel; nothing without a preview."""
    if preview is None:
        return ""
    context = {
        "policy": policy,
        "preview": preview,
        "is_open": preview.status in _OPEN,
        **_shown(policy, preview),
    }
    return render_to_string("admin/moderation/preview_panel.html", context, request)


def start_preview(request: HttpRequest, policy: Policy) -> HttpResponse:
    """Start a preview of the draft as it is saved; answer with the panel."""
    try:
        preview = request_preview(policy=policy, by=actor(request))
    except RoundhouseError as error:
        return JsonResponse({"detail": str(error)}, status=403 if isinstance(error, NotAllowed) else 422)
    return JsonResponse({"html": draw_preview(request, policy, preview)}, headers=_NO_STORE)


def show_preview(request: HttpRequest, policy: Policy, number: int) -> HttpResponse:
    """What the panel fetches every second until the preview has ended."""
    preview = policy.previews.filter(pk=number).first()
    if preview is None:
        raise Http404
    html = render_to_string("admin/moderation/preview_state.html", _shown(policy, preview), request)
    return JsonResponse({"preview": html, "is_open": preview.status in _OPEN}, headers=_NO_STORE)


def _shown(policy: Policy, preview: PolicyPreview) -> dict[str, Any]:
    result = preview.result if preview.status == RunStatus.DONE else None
    return {
        "preview": preview,
        "policy": policy,
        "words": preview_in_words(result) if result is not None else None,
        "is_slow": timezone.now() - preview.made_at > _SLOW,
        "is_outdated": preview.draft_edits != policy.draft_edits,
        "percent": 100 * preview.done // preview.total if preview.total else 0,
    }


@dataclass(frozen=True, slots=True)
class DraftVerdict:
    """What a previewed draft makes of one decision. `why_not`: why that cannot be told."""

    preview: PolicyPreview
    judgement: Judgement | None
    why_not: str = ""

    @property
    def codes(self) -> list[str]:
        return codes_of(self.judgement) if self.judgement is not None else []


def draft_judgement(decision: Decision, number: str) -> DraftVerdict | None:
    """Decide again with the draft of the preview that the address names; None if it is not of the decision's policy."""
    if not (number.isdecimal() and len(number) < 19):
        return None
    preview = PolicyPreview.objects.filter(pk=int(number), policy=decision.policy_id).first()
    if preview is None:
        return None
    content = getattr(decision, "content", None)
    row = StoredRow(
        **{name: getattr(decision, name) for name in StoredRow._fields if name not in {"text", "title"}},
        text=content.text if content is not None else None,
        title=content.title if content is not None else None,
    )
    judgement = decide_stored(Findings.from_bytes(decision.findings), row, read_rules(preview.content))
    return (
        DraftVerdict(preview, None, judgement)
        if isinstance(judgement, str)
        else DraftVerdict(preview, judgement)
    )


def _sentence(result: Mapping[str, Any]) -> str:
    rates, people = result["rates"], result.get("people")
    changed = sum(one["count"] for one in result["changes"])
    if not result["considered"]:
        return "There is no stored decision of this policy yet, so nothing can be previewed."
    if not changed:
        return f"Nothing changes in the {_decisions(result['considered'])} that were decided again."
    more = rates["more_per_day"]
    if abs(more) < 0.5 or people is None:
        return f"{_decisions(changed)} would change; the number of reviews stays about the same."
    sign = "+" if more > 0 else "−"
    seconds = f"{people['seconds_per_review']:.0f} s"
    pace = (
        f"at the measured handling time ({seconds})"
        if people["is_measured"]
        else f"at an assumed {seconds} each"
    )
    reviewers = people["reviewers"]
    who = f"your {reviewers} reviewers have" if reviewers != 1 else "your one reviewer has"
    have = (
        f"{who} {people['hours_available']:,.0f} hours"
        if reviewers
        else "nobody has the role reviewer or lead"
    )
    return f"{sign}{abs(more):,.0f} reviews a day = {_hours(abs(people['hours_more']))} {pace}; {have}."


def _basis(result: Mapping[str, Any]) -> str:
    changed = sum(one["count"] for one in result["changes"])
    undecided = sum(result["undecided"].values())
    days = result["rates"]["days"]
    span = f"{days:,.1f} days" if days >= 1 else f"{24 * days:,.1f} hours"
    sentence = f"{changed:,} of {_decisions(result['considered'])} from {span} would change"
    if undecided:
        sentence += f"; {undecided:,} cannot be decided again and count as unchanged"
    return (
        f"{sentence}. Reviews a day: {_rate(result, 'before')} now, {_rate(result, 'after')} with the draft."
    )


def _rate(result: Mapping[str, Any], when: str) -> str:
    return f"{result['rates'][f'reviews_per_day_{when}']:,.0f}"


def _decisions(count: int) -> str:
    return f"{count:,} decision{'' if count == 1 else 's'}"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} reviewer hours" if hours >= 0.1 else f"{60 * hours:,.0f} reviewer minutes"
