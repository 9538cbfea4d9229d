"""Reads about policies."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db.models import Q, QuerySet

from moderation.errors import UnknownPolicy
from moderation.policies.models import Policy, PolicyRevision, RuleDay
from moderation.policies.transitions import RevisionStatus


def policies() -> QuerySet[Policy]:
    """All policies, without their drafts, which may be large."""
    return Policy.objects.select_related("tenant", "current").defer("draft", "current__content")


def policies_within(tenant_id: int | None) -> QuerySet[Policy]:
    """Those that a tenant's keys reach: its own, and those for all tenants. Without a tenant: all."""
    return policies() if tenant_id is None else policies().filter(Q(tenant=None) | Q(tenant=tenant_id))


def policy_named(name: str, within: QuerySet[Policy] | None = None) -> Policy:
    rows = Policy.objects.select_related("tenant", "current") if within is None else within.defer(None)
    policy = rows.filter(name=name).first() if "\0" not in name else None
    if policy is None:
        raise UnknownPolicy(f"There is no policy {name!r}.")
    return policy


def revision_of(policy: Policy, number: int) -> PolicyRevision:
    revision = policy.revisions.filter(number=number).first()
    if revision is None:
        raise UnknownPolicy(f"{policy} has no revision {number}.")
    return revision


def waiting_revision(policy: Policy) -> PolicyRevision | None:
    """The revision that waits for approval."""
    return policy.revisions.filter(status=RevisionStatus.REQUESTED).first()


def previous_revision(policy: Policy) -> PolicyRevision | None:
    """What going back would publish again: the revision that decided before the current one.

    Going back twice goes back twice: a revision that went back stands where the one stands that it went back to.
    """
    current = policy.current
    if current is None:
        return None
    place = (current.goes_back_to or current).number
    published = policy.revisions.filter(status=RevisionStatus.PUBLISHED, number__lt=place)
    before = published.select_related("goes_back_to").order_by("-number").first()
    return before and (before.goes_back_to or before)


def revision_before(revision: PolicyRevision) -> PolicyRevision | None:
    """The revision that decided when this one was made."""
    published = PolicyRevision.objects.filter(policy=revision.policy_id, status=RevisionStatus.PUBLISHED)
    return published.filter(number__lt=revision.number).order_by("-number").first()


def editable_content(policy: Policy) -> Mapping[str, Any]:
    """The draft; without one, what the current revision says."""
    if policy.draft is not None:
        return dict(policy.draft)
    return dict(policy.current.content) if policy.current is not None else {"rules": []}


def rule_days(policy: Policy, since: date) -> QuerySet[RuleDay]:
    return policy.rule_days.filter(day__gte=since).order_by("day", "rule")
