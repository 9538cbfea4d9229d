"""What the search over everything finds of moderation: policies, and decisions by request id or content id."""

from typing import TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from moderation.deciding.models import Decision
from moderation.deciding.selectors import decisions_matching
from moderation.policies.selectors import policies
from moderation.rights import ModerationRight
from registry.kit.admin.search import HITS_PER_SOURCE, Hit
from registry.kit.admin.theme import actor

Row = TypeVar("Row", bound=Model)


def row_named(rows: QuerySet[Row], name: str) -> Row | None:
    """The row with the name that a browser sent. PostgreSQL refuses to be asked for NUL, which no name has."""
    return rows.filter(name=name).first() if name and "\0" not in name else None


def find_policies(request: HttpRequest, text: str) -> list[Hit]:
    if ModerationRight.READ_POLICIES not in actor(request).rights:
        return []
    named = Q(name__icontains=text) | Q(title__icontains=text) | Q(context__iexact=text)
    return [
        Hit(
            policy.name,
            reverse("admin:moderation_policy_change", args=[policy.pk]),
            policy.title or policy.covers,
        )
        for policy in policies().filter(named)[:HITS_PER_SOURCE]
    ]


def find_decisions(request: HttpRequest, text: str) -> list[Hit]:
    if ModerationRight.READ_DECISIONS not in actor(request).rights:
        return []
    rows = Decision.objects.select_related("policy", "revision").only(
        "ruling", "content_id", "received_at", "policy__name", "revision__number"
    )
    return [
        Hit(
            f"Decision {decision.ruling}: {decision.content_id or decision.request_id}",
            reverse("admin:moderation_decision_change", args=[decision.pk]),
            f"{decision.policy} revision {decision.revision.number}, "
            f"{timezone.localtime(decision.received_at):%Y-%m-%d %H:%M}",
        )
        for decision in decisions_matching(rows, text).order_by("-received_at")[:HITS_PER_SOURCE]
    ]
