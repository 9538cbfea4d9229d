"""Queues: what waits in each, and changing them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import Case, CaseSource, ReviewQueue
from moderation.cases.queues import QueueSettings, change_queue, count_by_queue, create_queue, remove_queue
from moderation.cases.selectors import waiting_cases
from moderation.review.taking import take_next
from moderation.rights import ModerationRole
from registry.errors import Conflict, Invalid, NameTaken, NotAllowed
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.cases import a_case, a_reviewer
from tests.support.decision_rows import a_list_policy
from tests.support.factories import a_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.both]
SPANISH = QueueSettings(title="Spanish", languages=["es"])


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def lead():
    return a_reviewer(ModerationRole.LEAD)


def opened(case, hours_ago):
    at = timezone.now() - timedelta(hours=hours_ago)
    Case.objects.filter(pk=case.pk).update(opened_at=at, opened_s=at.timestamp())
    return at


def state_of(queue):
    return dict(count_by_queue(waiting_cases(), timezone.now()))[queue]


class TestWhatWaits:
    def test_the_oldest_is_the_oldest(self, policy, lead):
        queue = create_queue(name="es", values=SPANISH, by=lead)
        ages = {hours: opened(a_case(policy, f"text {hours}", language="es"), hours) for hours in (2, 50, 1)}
        opened(a_case(policy, "an older one of another queue", language="en"), 99)

        state = state_of(queue)

        assert (state.waiting, state.oldest_at) == (3, ages[50])

    def test_overdue_ones_are_counted(self, policy, lead):
        queue = create_queue(name="es", values=SPANISH, by=lead)
        overdue = a_case(policy, "one", language="es")
        a_case(policy, "two", language="es")
        Case.objects.filter(pk=overdue.pk).update(due_at=timezone.now() - timedelta(minutes=1))

        assert (state_of(queue).waiting, state_of(queue).overdue) == (2, 1)

    def test_nothing(self, lead):
        state = state_of(create_queue(name="es", values=SPANISH, by=lead))

        assert (state.waiting, state.overdue, state.oldest_at) == (0, 0, None)

    def test_only_those_of_its_tenants(self, policy, lead):
        tenant, other = a_tenant(), a_tenant()
        queue = create_queue(name="t", values=QueueSettings(title="T", tenants=[tenant]), by=lead)
        a_case(policy, "one", tenant=tenant)
        a_case(policy, "two", tenant=other)
        a_case(policy, "three")

        assert state_of(queue).waiting == 1


class TestRemoving:
    def test_its_cases_wait_in_the_others(self, policy, lead):
        queue = create_queue(name="es", values=SPANISH, by=lead)
        case = a_case(policy, language="es")

        remove_queue(queue=queue, by=lead)

        assert waiting_cases().get() == case
        assert take_next(queue=None, by=a_reviewer()) == case

    def test_the_last_one_with_escalated_cases_stays(self, lead):
        only = ReviewQueue.objects.get(takes_escalated=True)

        with pytest.raises(Conflict, match="only queue for leads"):
            remove_queue(queue=only, by=lead)
        with pytest.raises(Conflict, match="only queue for leads"):
            change_queue(queue=only, values=QueueSettings(title="Not for leads any more"), by=lead)

        create_queue(name="more", values=QueueSettings(title="More", takes_escalated=True), by=lead)
        remove_queue(queue=only, by=lead)
        assert not ReviewQueue.objects.filter(pk=only.pk).exists()


class TestChanging:
    def test_changes_are_recorded(self, lead):
        queue = create_queue(name="es", values=SPANISH, by=lead)
        change_queue(queue=queue, values=replace(SPANISH, sources=[CaseSource.REPORT]), by=lead)

        record = AuditRecord.objects.get(action="change_queue")
        assert record.after["sources"] == ["report"]
        assert describe(record) == "changed the queue “Spanish”: sources: none → report"

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (QueueSettings(title="X", languages=["English"]), "no language"),
            (QueueSettings(title="X", languages=["en-GB"]), "no language"),
            (QueueSettings(title="X", sources=["rumour"]), "no source"),
            (QueueSettings(title=""), "title"),
        ],
        ids=["a name", "a region", "a source", "no title"],
    )
    def test_what_is_wrong_is_said(self, lead, values, message):
        with pytest.raises(Invalid, match=message):
            create_queue(name="x", values=values, by=lead)

    def test_names_are_unique(self, lead):
        with pytest.raises(NameTaken, match="appeals"):
            create_queue(name="appeals", values=SPANISH, by=lead)

    def test_reviewers_may_not(self):
        reviewer, queue = a_reviewer(), ReviewQueue.objects.get(name="reports")

        with pytest.raises(NotAllowed):
            create_queue(name="x", values=SPANISH, by=reviewer)
        with pytest.raises(NotAllowed):
            change_queue(queue=queue, values=SPANISH, by=reviewer)
        with pytest.raises(NotAllowed):
            remove_queue(queue=queue, by=reviewer)
