"""What moderation reports on the home page: revisions that wait, contents that are held, and a missing default policy."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from moderation.deciding.findings import Findings
from moderation.deciding.models import Decision
from moderation.deciding.selectors import held_decisions
from moderation.policies.models import Policy, PolicyRevision
from moderation.policies.transitions import RevisionStatus
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.admin.attention import READ_AT_MOST, AttentionItem, ItemKind, PageLink, Severity

_HELD_LONG = timedelta(minutes=10)
_COUNTED_AT_MOST = 10_000
_POLICIES = "admin:moderation_policy_changelist"
_WAITING = ItemKind("revisions of policies that wait for approval", _POLICIES)
_HELD = ItemKind("groups of held contents", "admin:moderation_decision_changelist", "?is_held__exact=1")
_NO_DEFAULT = ItemKind("missing policies", _POLICIES)


def waiting_revisions(by: Actor) -> list[AttentionItem]:
    """Revisions that another person has to approve."""
    if ModerationRight.READ_POLICIES not in by.rights:
        return []
    waiting = (
        PolicyRevision.objects.filter(status=RevisionStatus.REQUESTED)
        .select_related("policy")
        .defer("content")
    )
    return [_waiting(revision, by) for revision in waiting.order_by("made_at")[: READ_AT_MOST + 1]]


def _waiting(revision: PolicyRevision, by: Actor) -> AttentionItem:
    page = f"{reverse('admin:moderation_policy_change', args=[revision.policy_id])}?tab=publish"
    may_decide = by.may(ModerationRight.PUBLISH_POLICIES) and not revision.was_made_by(by.user_id)
    return AttentionItem(
        kind=_WAITING,
        severity=Severity.NOTICE,
        sentence=f"Revision {revision.number} of policy {revision.policy} waits for another person’s approval.",
        notes=[f"{revision.made_by}: “{revision.reason}”"],
        link=page,
        since=revision.made_at,
        name=str(revision.policy),
        action=PageLink("Decide", page) if may_decide else None,
    )


def held_contents(by: Actor) -> list[AttentionItem]:
    """Contents that have been held for a while, with the detectors that fail."""
    if ModerationRight.READ_DECISIONS not in by.rights:
        return []
    held = held_decisions(due_only=False).filter(received_at__lt=timezone.now() - _HELD_LONG)
    sample = list(held.order_by("received_at").only("received_at", "findings")[:READ_AT_MOST])
    if not sample:
        return []
    count = held.order_by().values("pk")[: _COUNTED_AT_MOST + 1].count()
    said = f"{count:,}" if count <= _COUNTED_AT_MOST else f"More than {_COUNTED_AT_MOST:,}"
    contents = "content has" if count == 1 else "contents have"
    sources = Counter(source for decision in sample for source in _failing(decision))
    why = f" because {_joined(sources)} {'fails' if len(sources) == 1 else 'fail'}" if sources else ""
    return [
        AttentionItem(
            kind=_HELD,
            severity=Severity.WARNING,
            sentence=f"{said} {contents} been held for more than 10 minutes{why}.",
            notes=["They are in review, and are decided again by themselves when this works again."],
            link=_HELD.address,
            since=sample[0].received_at,
        )
    ]


def _failing(decision: Decision) -> Iterator[str]:
    """The detectors and parts that failed in a way that may pass."""
    failures = Findings.from_bytes(decision.findings).failures
    return (source for source, failure in failures.items() if failure.passes)


def _joined(sources: Counter[str]) -> str:
    names = [source for source, _ in sources.most_common(3)]
    more = len(sources) - len(names)
    return f"{', '.join(names)}{f' and {more} more' if more else ''}"


def missing_default_policy(by: Actor) -> Iterable[AttentionItem]:
    """Other policies decide, and no default one: contents that none of them covers are refused."""
    if ModerationRight.READ_POLICIES not in by.rights:
        return []
    published = Policy.objects.filter(retired_at=None, current__isnull=False)
    if not published.exists() or published.filter(tenant=None, context="").exists():
        return []
    may_add = ModerationRight.EDIT_POLICIES in by.rights
    return [
        AttentionItem(
            kind=_NO_DEFAULT,
            severity=Severity.WARNING,
            sentence="There is no default policy: contents that no other policy covers are refused.",
            link=_NO_DEFAULT.address,
            action=PageLink("Add a default policy", reverse("admin:moderation_policy_add"))
            if may_add
            else None,
        )
    ]
