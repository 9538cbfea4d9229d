"""Reads about decisions."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from moderation.deciding.models import Decision
from moderation.deciding.selectors import held_decisions, newer_decisions
from tests.support.decision_rows import a_decision, a_list_policy
from tests.support.factories import a_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.fixture
def policy():
    return a_list_policy()


def test_newer_decisions_supersede_older_ones_of_the_same_tenant_or_of_none(policy):
    now, shop, other = timezone.now(), a_tenant("shop"), a_tenant("other")
    for minutes, content_id, tenant in [
        (9, "a", None), (8, "a", None), (7, "a", shop), (6, "a", shop), (5, "a", other), (4, "b", None), (3, "", None),
        (2, "", None),
    ]:  # fmt: skip
        at = now - timedelta(minutes=minutes)
        a_decision(policy, content_id=content_id, tenant=tenant, author_id=str(minutes), at=at)

    superseded = Decision.objects.filter(newer_decisions())
    shown = Decision.objects.annotate(is_superseded=newer_decisions())

    assert {one.author_id for one in superseded} == {"9", "7"}
    assert {one.author_id for one in shown if one.is_superseded} == {"9", "7"}


def test_held_decisions_are_found_by_their_index(policy):
    a_decision(
        policy, "review", is_held=True, next_try_at=timezone.now() - timedelta(minutes=1), at=timezone.now()
    )
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
    for rows in (held_decisions(), held_decisions(due_only=False)):
        assert rows.count() == 1
        assert "decision_held" in rows.explain()
