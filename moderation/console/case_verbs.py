"""What leads can do with a case: hand it over, escalate it, give it back, and keep its contents."""

from typing import Any

from django import forms
from django.utils import timezone

from moderation.cases.models import Case
from moderation.cases.transitions import CaseStatus
from moderation.review.guidelines import codes_to_choose
from moderation.review.interventions import end_escalation, return_to_queue
from moderation.review.models import ReviewAction
from moderation.review.reviewers import people_who_review
from moderation.review.taking import escalate, hand_over, set_legal_hold
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.admin.theme import TextInput
from registry.kit.admin.verbs import ReasonForm, Verb, VerbGroup
from registry.kit.text import MAX_REASON
from registry.record.sentences import counted


class HandOverForm(ReasonForm):
    focus = "to"
    to = forms.ChoiceField(label="To", widget=forms.Select(attrs={"class": "rh-input"}))
    reason = forms.CharField(
        label="Note", max_length=MAX_REASON, widget=TextInput(), help_text="They read it with the case."
    )
    field_order = ("to", "reason")

    def __init__(self, *args: Any, row: Case, **kwargs: Any) -> None:
        super().__init__(*args, row=row, **kwargs)
        self.people = {str(person.pk): person for person in people_who_review()}
        field = self.fields["to"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101  for the type checker
        field.choices = [
            (pk, person.get_full_name() or person.username) for pk, person in self.people.items()
        ]


class DecideManyForm(forms.Form):
    """One verdict for several cases."""

    fields_template = "admin/registry/verb_fields.html"
    action = forms.ChoiceField(widget=forms.Select(attrs={"class": "rh-input"}))
    codes = forms.MultipleChoiceField(
        label="Violations",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None: each case’s own. They count only if the action restricts the contents.",
    )
    note = forms.CharField(required=False, max_length=MAX_REASON, widget=TextInput())

    def __init__(self, *args: Any, cases: list[Case], actions: list[ReviewAction], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cases, self.actions = cases, {action.name: action for action in actions}
        action, codes = self.fields["action"], self.fields["codes"]
        assert isinstance(action, forms.ChoiceField) and isinstance(codes, forms.MultipleChoiceField)  # noqa: S101
        action.choices = [("", "Choose…"), *((name, one.title) for name, one in self.actions.items())]
        codes.choices = codes_to_choose(case.code for case in cases)

    @property
    def preview(self) -> list[str]:
        return [
            f"Case {case.pk}: {counted(case.item_count, 'content')}, {case.code or 'no violation named'}"
            for case in self.cases
        ]


def has_somebody(case: Case) -> bool:
    return case.assigned_to_id is not None or _looker(case) != ""


def _looker(case: Case) -> str:
    """Who is looking at the case now."""
    is_claimed = case.claimed_until is not None and case.claimed_until > timezone.now()
    return str(case.claimed_by) if is_claimed and case.claimed_by is not None else ""


def _is_waiting(case: Case) -> bool:
    return case.status == CaseStatus.WAITING


def _who_looks(case: Case) -> str:
    looker = _looker(case)
    return f"{looker} is looking at {case} now. Return it to its queue first, or wait." if looker else ""


def _hand_over(case: Case, form: HandOverForm, by: Actor) -> str:
    to = form.people[form.cleaned_data["to"]]
    hand_over(case=case, to=to, note=form.cleaned_data["reason"], by=by)
    return f"{to} gets {case} next."


def _escalate(case: Case, form: ReasonForm, by: Actor) -> str:
    escalate(case=case, note=form.cleaned_data["reason"], by=by)
    return f"{case} waits for a lead.".capitalize()


def _end_escalation(case: Case, form: ReasonForm, by: Actor) -> str:
    end_escalation(case=case, reason=form.cleaned_data["reason"], by=by)
    return f"{case} waits for the reviewers again.".capitalize()


def _return(case: Case, form: ReasonForm, by: Actor) -> str:
    return_to_queue(case=case, reason=form.cleaned_data["reason"], by=by)
    return f"{case} is back in its queue.".capitalize()


def _set_legal_hold(is_held: bool) -> Any:
    def run(case: Case, form: ReasonForm, by: Actor) -> str:
        set_legal_hold(case=case, is_held=is_held, reason=form.cleaned_data["reason"], by=by)
        return f"{case} is {'on' if is_held else 'off'} legal hold.".capitalize()

    return run


_LEAD = ModerationRight.LEAD
CASE_VERBS = (
    Verb(
        "hand-over", "Hand over", _LEAD, HandOverForm, _hand_over, fits=_is_waiting, why_not=_who_looks,
        group=VerbGroup.RELEASE, warning="Only this person gets the case then, before all others.",
    ),
    Verb(
        "return", "Return to its queue", _LEAD, ReasonForm, _return,
        fits=lambda case: _is_waiting(case) and has_somebody(case), group=VerbGroup.RELEASE,
        warning="It is taken from the current reviewer, and anybody can get it again.",
    ),
    Verb(
        "escalate", "Escalate", _LEAD, ReasonForm, _escalate, why_not=_who_looks, group=VerbGroup.RELEASE,
        fits=lambda case: _is_waiting(case) and not case.is_escalated, warning="Only leads get the case then.",
    ),
    Verb(
        "end-escalation", "End escalation", _LEAD, ReasonForm, _end_escalation, group=VerbGroup.RELEASE,
        fits=lambda case: _is_waiting(case) and case.is_escalated, warning="Reviewers get the case again.",
    ),
    Verb(
        "legal-hold", "Put on legal hold", _LEAD, ReasonForm, _set_legal_hold(True),
        fits=lambda case: not case.is_on_legal_hold,
        warning="Its contents are kept, whatever the policy says about how long, and cannot be erased.",
    ),
    Verb(
        "end-legal-hold", "End legal hold", _LEAD, ReasonForm, _set_legal_hold(False),
        fits=lambda case: case.is_on_legal_hold, warning="Its contents are removed when their time is over.",
    ),
)  # fmt: skip
