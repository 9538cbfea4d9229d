"""What can be done with a policy: publish, ask for approval, decide about a request, go back, and settings."""

from typing import Any

from django import forms

from moderation.console.rules_in_words import differences
from moderation.policies import services
from moderation.policies.models import Policy, PolicyRevision
from moderation.policies.selectors import editable_content, previous_revision, waiting_revision
from moderation.rights import ModerationRight
from registry.access.policies import Right
from registry.errors import StaleState
from registry.kit.actors import Actor
from registry.kit.admin.theme import TextInput
from registry.kit.admin.verbs import ReasonForm, Verb, VerbGroup

_SHOWN = 12


def has_changed_draft(policy: Policy) -> bool:
    """Whether the draft says something else than the current revision."""
    if policy.draft is None or policy.retired_at is not None:
        return False
    before = policy.current.content if policy.current is not None else services.EMPTY
    return bool(policy.draft != before)


def changes_of_draft(policy: Policy) -> list[str]:
    """What publishing the draft would change, in sentences."""
    return change_sentences(policy.current, editable_content(policy))


def change_sentences(before: PolicyRevision | None, after: Any) -> list[str]:
    found = [
        f"{one.name} ({one.kind}): {' '.join(f'{sentence}.'.replace('..', '.') for sentence in one.sentences)}"
        for one in differences(before.content if before is not None else {}, after)
    ]
    more = len(found) - _SHOWN
    return [*found[:_SHOWN], f"{more} more rules change."] if more > 0 else found


class DraftForm(ReasonForm):
    """A reason for the draft as it was seen: `expected` is refused if somebody has changed it since."""

    expected = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Policy, **kwargs: Any) -> None:
        super().__init__(*args, row=row, **kwargs)
        self.fields["expected"].initial = row.draft_edits

    @property
    def preview(self) -> list[str]:
        return changes_of_draft(self.row)


class WaitingRevisionForm(ReasonForm):
    """A reason for a decision about the revision that was seen."""

    revision = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, row: Policy, **kwargs: Any) -> None:
        super().__init__(*args, row=row, **kwargs)
        self.waiting = waiting_revision(row)
        self.fields["revision"].initial = self.waiting.pk if self.waiting else None

    @property
    def preview(self) -> list[str]:
        return change_sentences(self.row.current, self.waiting.content) if self.waiting else []


class GoBackForm(ReasonForm):
    is_destructive = True

    @property
    def preview(self) -> list[str]:
        previous = previous_revision(self.row)
        if previous is None:
            return []
        first = f"Revision {previous.number} decides again. It was published for: “{previous.reason}”."
        return [first, *change_sentences(self.row.current, previous.content)]


class TitleForm(ReasonForm):
    reason = None  # type: ignore[assignment]  # Django leaves the field out
    title = forms.CharField(max_length=200, required=False, widget=TextInput())

    def __init__(self, *args: Any, row: Policy, **kwargs: Any) -> None:
        super().__init__(*args, row=row, **kwargs)
        self.fields["title"].initial = row.title

    def suggest_reasons(self, by: Actor, verb: str) -> None:
        """It has none."""


class DiscardForm(ReasonForm):
    reason = None  # type: ignore[assignment]
    is_destructive = True

    @property
    def preview(self) -> list[str]:
        return [f"This is lost. {sentence}" for sentence in changes_of_draft(self.row)]

    def suggest_reasons(self, by: Actor, verb: str) -> None:
        """It has none."""


def _publish(policy: Policy, form: DraftForm, by: Actor) -> str:
    values = form.cleaned_data
    revision = services.publish(policy=policy, reason=values["reason"], expected=values["expected"], by=by)
    return f"Revision {revision.number} is published. All processes decide by it within a few seconds."


def _request(policy: Policy, form: DraftForm, by: Actor) -> str:
    values = form.cleaned_data
    revision = services.request_publication(
        policy=policy, reason=values["reason"], expected=values["expected"], by=by
    )
    return f"Revision {revision.number} waits for another person’s approval."


def _seen_revision(policy: Policy, form: WaitingRevisionForm) -> PolicyRevision:
    revision = policy.revisions.filter(pk=form.cleaned_data["revision"]).first()
    if revision is None:
        raise StaleState(f"That revision of {policy} does not exist any more; reload the page.")
    return revision


def _approve(policy: Policy, form: WaitingRevisionForm, by: Actor) -> str:
    reason = form.cleaned_data["reason"]
    revision = services.approve_revision(revision=_seen_revision(policy, form), reason=reason, by=by)
    return f"Revision {revision.number} is published. All processes decide by it within a few seconds."


def _reject(policy: Policy, form: WaitingRevisionForm, by: Actor) -> str:
    reason = form.cleaned_data["reason"]
    revision = services.reject_revision(revision=_seen_revision(policy, form), reason=reason, by=by)
    return f"Revision {revision.number} is rejected. The draft is still there."


def _withdraw(policy: Policy, form: WaitingRevisionForm, by: Actor) -> str:
    reason = form.cleaned_data["reason"]
    revision = services.withdraw_revision(revision=_seen_revision(policy, form), reason=reason, by=by)
    return f"The request for revision {revision.number} is withdrawn. The draft is still there."


def _go_back(policy: Policy, form: GoBackForm, by: Actor) -> str:
    revision = services.roll_back_policy(policy=policy, reason=form.cleaned_data["reason"], by=by)
    origin = revision.goes_back_to
    return f"Revision {origin.number if origin else ''} decides again, as revision {revision.number}."


def _set_approval(needed: bool) -> Any:
    def run(policy: Policy, form: ReasonForm, by: Actor) -> str:
        reason = form.cleaned_data["reason"]
        services.set_policy_approval(policy=policy, needs_approval=needed, reason=reason, by=by)
        return (
            "Revisions need a second person’s approval now." if needed else "Revisions need no approval now."
        )

    return run


def _retire(policy: Policy, form: ReasonForm, by: Actor) -> str:
    services.retire_policy(policy=policy, reason=form.cleaned_data["reason"], by=by)
    return f"{policy} is retired. Its revisions and decisions are kept."


def _discard(policy: Policy, form: DiscardForm, by: Actor) -> str:
    services.discard_draft(policy=policy, by=by)
    return "The draft is discarded. The editor shows the current revision again."


def _change_title(policy: Policy, form: TitleForm, by: Actor) -> str:
    services.change_policy_title(policy=policy, title=form.cleaned_data["title"], by=by)
    return "The title is changed."


def _is_waiting(policy: Policy) -> bool:
    return waiting_revision(policy) is not None


_PUBLISH, _EDIT = ModerationRight.PUBLISH_POLICIES, ModerationRight.EDIT_POLICIES
POLICY_VERBS = (
    Verb(
        "publish", "Publish", _PUBLISH, DraftForm, _publish,
        fits=lambda policy: not policy.needs_approval and has_changed_draft(policy), group=VerbGroup.RELEASE,
        warning="The draft becomes the current revision and decides from then on. What it changes:",
    ),
    Verb(
        "request-approval", "Request approval", _EDIT, DraftForm, _request,
        fits=lambda policy: policy.needs_approval and has_changed_draft(policy) and not _is_waiting(policy),
        group=VerbGroup.RELEASE, warning="Another person has to approve the draft as it is now. What it changes:",
    ),
    Verb(
        "approve", "Approve", _PUBLISH, WaitingRevisionForm, _approve, fits=_is_waiting, group=VerbGroup.RELEASE,
        warning="The requested revision becomes the current one and decides from then on. What it changes:",
    ),
    Verb("reject", "Reject", _PUBLISH, WaitingRevisionForm, _reject, fits=_is_waiting, group=VerbGroup.RELEASE),
    Verb("withdraw", "Withdraw request", _EDIT, WaitingRevisionForm, _withdraw, fits=_is_waiting),
    Verb(
        "roll-back", "Roll back", _PUBLISH, GoBackForm, _go_back,
        fits=lambda policy: policy.retired_at is None and previous_revision(policy) is not None,
        group=VerbGroup.EMERGENCY, warning="This never waits for approval. The draft stays as it is.",
    ),
    Verb("discard-draft", "Discard draft", _EDIT, DiscardForm, _discard, fits=has_changed_draft),
    Verb("title", "Change title", _EDIT, TitleForm, _change_title, fits=lambda policy: policy.retired_at is None),
    Verb(
        "require-approval", "Require approval", Right.MANAGE_SETTINGS, ReasonForm, _set_approval(True),
        fits=lambda policy: policy.retired_at is None and not policy.needs_approval,
        warning="From then on, a second person must approve each revision. Rolling back never waits.",
    ),
    Verb(
        "end-approval", "Stop requiring approval", Right.MANAGE_SETTINGS, ReasonForm, _set_approval(False),
        fits=lambda policy: policy.retired_at is None and policy.needs_approval,
        warning="From then on, one person can publish a revision alone.",
    ),
    Verb(
        "retire", "Retire", _PUBLISH, ReasonForm, _retire, fits=lambda policy: policy.retired_at is None,
        warning="Its contents get the next wider policy. Its revisions and decisions are kept. This cannot be undone.",
    ),
)  # fmt: skip
