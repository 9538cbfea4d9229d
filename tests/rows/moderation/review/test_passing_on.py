"""Holding a case, handing it over, skipping, escalating, putting it back, and legal hold: no case is ever lost."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import Case, ReviewQueue
from moderation.review.models import Exposure, Reviewer
from moderation.review.taking import (
    LONGEST_HOLD,
    escalate,
    hand_over,
    hold,
    keep,
    put_back,
    set_legal_hold,
    skip,
    take,
    take_next,
)
from moderation.review.verdicts import give_verdict, undo_verdict
from moderation.rights import ModerationRole
from registry.errors import Conflict, Invalid, NotAllowed, StaleState
from tests.support.cases import a_case, a_guideline, a_reviewer, decide, person_behind, the_action
from tests.support.decision_rows import a_decision, a_list_policy
from tests.support.factories import a_tenant
from tests.support.tables import cases

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


@pytest.fixture
def otto():
    return a_reviewer(username="otto")


@pytest.fixture
def lead():
    return a_reviewer(ModerationRole.LEAD, username="lena")


def taken(case, by):
    return take(case=case, by=by)


def make_overdue(case):
    Case.objects.filter(pk=case.pk).update(due_at=timezone.now() - timedelta(minutes=1))


class TestHold:
    def test_nobody_gets_it_until_then(self, policy, rita, otto):
        case = taken(a_case(policy), rita)
        hold(case=case, until=timezone.now() + timedelta(hours=1), note="The author was asked.", by=rita)

        assert take_next(queue=None, by=rita) is None
        assert take_next(queue=None, by=otto) is None
        with pytest.raises(Conflict, match="rita"):
            take(case=case, by=otto)

    def test_afterwards_it_is_theirs(self, policy, rita, otto):
        case = taken(a_case(policy), rita)
        hold(case=case, until=timezone.now() + timedelta(hours=1), note="The author was asked.", by=rita)
        Case.objects.update(on_hold_until=timezone.now() - timedelta(seconds=1))

        assert take_next(queue=None, by=otto) is None
        assert take_next(queue=None, by=rita) == case

    def test_an_overdue_one_is_anybodys(self, policy, rita, otto):
        case = taken(a_case(policy), rita)
        hold(case=case, until=timezone.now() + timedelta(hours=1), note="The author was asked.", by=rita)
        Case.objects.update(on_hold_until=timezone.now() - timedelta(seconds=1))
        make_overdue(case)

        assert take_next(queue=None, by=otto) == case

    @cases(
        "until",
        past=timezone.now() - timedelta(seconds=1),
        too_far=timezone.now() + LONGEST_HOLD + timedelta(days=1),
        without_a_time_zone=datetime(2999, 1, 1),
    )
    def test_it_cannot_be_held_until(self, policy, rita, until):
        case = taken(a_case(policy), rita)

        with pytest.raises(Invalid):
            hold(case=case, until=until, note="Later.", by=rita)

        assert give_verdict(case=case, action=the_action("allow"), by=rita)

    def test_only_who_has_it_can_hold_it(self, policy, rita, otto):
        case = taken(a_case(policy), rita)

        with pytest.raises(StaleState):
            hold(case=case, until=timezone.now() + timedelta(hours=1), note="Later.", by=otto)


class TestHandOver:
    def test_the_other_gets_it_next(self, policy, rita, otto):
        case = taken(a_case(policy), rita)
        hand_over(case=case, to=person_behind(otto), note="It is Swedish.", by=rita)

        assert take_next(queue=None, by=rita) is None
        assert take_next(queue=None, by=otto) == case

    def test_also_if_they_skipped_it(self, policy, rita, otto):
        case = taken(a_case(policy), otto)
        skip(case=case, by=otto)
        hand_over(case=taken(case, rita), to=person_behind(otto), note="It is Swedish.", by=rita)

        assert take_next(queue=None, by=otto) == case

    def test_an_overdue_one_is_anybodys(self, policy, rita, otto, lead):
        case = taken(a_case(policy), rita)
        hand_over(case=case, to=person_behind(otto), note="It is Swedish.", by=rita)
        make_overdue(case)

        assert take_next(queue=None, by=rita) == case

    def test_not_to_oneself(self, policy, rita):
        with pytest.raises(Invalid):
            hand_over(case=taken(a_case(policy), rita), to=person_behind(rita), note="Me.", by=rita)

    def test_not_to_somebody_who_cannot_decide_it(self, policy, rita, otto, lead):
        case = taken(a_case(policy), rita)
        stranger = a_reviewer("viewer")
        gone = person_behind(a_reviewer())
        gone.is_active = False
        gone.save()
        case.not_for.add(person_behind(otto))

        for somebody in (person_behind(stranger), gone, person_behind(otto)):
            with pytest.raises(Conflict, match="may not decide"):
                hand_over(case=case, to=somebody, note="Please.", by=rita)

        Case.objects.update(is_escalated=True)
        with pytest.raises(Conflict, match="may not decide"):
            hand_over(case=case, to=person_behind(a_reviewer()), note="Please.", by=lead)

    def test_a_restricted_one_goes_to_who_may_see_it(self, policy):
        a_guideline(is_restricted=True)
        both = a_reviewer(ModerationRole.REVIEWER, ModerationRole.CHILD_SAFETY)
        case = take(case=a_case(policy), by=both)

        with pytest.raises(Conflict, match="may not decide"):
            hand_over(case=case, to=person_behind(a_reviewer()), note="Please.", by=both)


class TestSkip:
    def test_others_get_it(self, policy, rita, otto):
        case = taken(a_case(policy), rita)
        skip(case=case, by=rita)

        assert take_next(queue=None, by=rita) is None
        assert take_next(queue=None, by=otto) == case

    def test_of_an_assigned_one_too(self, policy, rita, otto):
        case = taken(a_case(policy), rita)
        hand_over(case=case, to=person_behind(otto), note="It is Swedish.", by=rita)
        skip(case=taken(case, otto), by=otto)

        assert take_next(queue=None, by=rita) == case

    def test_the_third_one_escalates(self, policy, lead):
        case = a_case(policy)
        for by in (a_reviewer(), lead, a_reviewer()):
            skip(case=taken(case, by), by=by)

        case.refresh_from_db()
        assert case.is_escalated
        assert take_next(queue=None, by=a_reviewer()) is None
        assert take_next(queue=ReviewQueue.objects.get(name="escalated"), by=lead) == case


class TestEscalate:
    def test_only_leads_get_it(self, policy, rita, lead):
        case = taken(a_case(policy), rita)
        escalate(case=case, note="A politician.", by=rita)

        assert take_next(queue=None, by=rita) is None
        with pytest.raises(NotAllowed):
            take(case=case, by=rita)
        with pytest.raises(NotAllowed):
            take_next(queue=ReviewQueue.objects.get(name="escalated"), by=rita)
        assert take_next(queue=None, by=lead) == case

    def test_without_a_queue_for_them_they_are_not_lost(self, policy, rita, lead):
        case = taken(a_case(policy), rita)
        escalate(case=case, note="A politician.", by=rita)
        ReviewQueue.objects.all().delete()

        assert take_next(queue=None, by=lead) == case

    def test_an_assigned_one_too(self, policy, rita, otto, lead):
        case = taken(a_case(policy), rita)
        hand_over(case=case, to=person_behind(otto), note="It is Swedish.", by=rita)
        escalate(case=taken(case, otto), note="A politician.", by=otto)

        assert take_next(queue=None, by=lead) == case

    def test_while_one_decides_it(self, policy, rita, lead):
        """Somebody escalates it between the check of the right and the verdict."""
        case = taken(a_case(policy), rita)
        Case.objects.update(is_escalated=True)

        with pytest.raises(StaleState):
            give_verdict(case=case, action=the_action("allow"), by=rita)


class TestPutBack:
    def test_anybody_gets_it(self, policy, rita, otto):
        case = taken(a_case(policy), rita)
        hand_over(case=case, to=person_behind(otto), note="It is Swedish.", by=rita)
        put_back(case=taken(case, otto), by=otto)

        assert take_next(queue=None, by=rita) == case

    def test_a_lead_passes_on_what_nobody_has_and_goes_on_with_their_own(self, policy, rita, lead):
        own, other = taken(a_case(policy, "one"), lead), a_case(policy, "two")
        hand_over(case=other, to=person_behind(rita), note="For you.", by=lead)

        assert Exposure.objects.get(ended_at=None).case == own
        assert keep(case=own, by=lead) > timezone.now()
        assert take_next(queue=None, by=rita) == other

    def test_a_reviewer_cannot_pass_on_what_they_do_not_have(self, policy, rita, otto, lead):
        case = taken(a_case(policy), rita)

        for by in (otto, lead):
            with pytest.raises(StaleState):
                put_back(case=case, by=by)


class TestQueues:
    def test_a_deleted_queue_loses_no_case(self, policy, rita):
        queue = ReviewQueue.objects.create(name="slurs", title="Slurs", codes=["slurs"])
        case = a_case(policy)
        queue.delete()

        assert take_next(queue=None, by=rita) == case

    def test_a_queue_of_one_tenant_has_no_case_of_another(self, policy, rita):
        mine, other = a_tenant("mine"), a_tenant("other")
        a_case(policy, tenant=other)
        queue = ReviewQueue.objects.create(name="mine", title="Mine")
        queue.tenants.add(mine)

        assert take_next(queue=queue, by=rita) is None
        case = a_case(policy, tenant=mine)
        assert take_next(queue=queue, by=rita) == case

    def test_withdrawn_ones_at_the_top_hide_no_others(self, policy, rita):
        """More contents than are tried at once were changed by their authors."""
        long_ago = timezone.now() - timedelta(hours=1)
        for number in range(25):
            a_case(policy, f"old {number}", content_id=f"c{number}", at=long_ago)
        for number in range(25):
            a_decision(policy, text=f"new {number}", content_id=f"c{number}")
        left = a_case(policy, "left")
        Case.objects.filter(pk=left.pk).update(weight=0.0)

        assert take_next(queue=None, by=rita) == left


class TestLegalHold:
    def test_it_is_set_and_ended_by_leads(self, policy, rita, lead):
        case = a_case(policy)

        with pytest.raises(NotAllowed):
            set_legal_hold(case=case, is_held=True, reason="A court asked.", by=rita)
        set_legal_hold(case=case, is_held=True, reason="A court asked.", by=lead)
        with pytest.raises(StaleState):
            set_legal_hold(case=case, is_held=True, reason="A court asked.", by=lead)
        assert Case.objects.get().is_on_legal_hold
        set_legal_hold(case=case, is_held=False, reason="It is over.", by=lead)
        assert not Case.objects.get().is_on_legal_hold

    def test_it_needs_a_reason(self, policy, lead):
        with pytest.raises(Invalid):
            set_legal_hold(case=a_case(policy), is_held=True, reason=" ", by=lead)


class TestUndo:
    def test_with_a_spent_budget_the_case_waits_for_others(self, policy, rita, otto):
        case = a_case(policy)
        verdict = decide(case, "remove", rita)
        Reviewer.objects.filter(user=rita.user_id).update(minutes_a_day=0)

        assert undo_verdict(verdict=verdict, by=rita).claimed_by_id is None

        verdict.refresh_from_db()
        assert verdict.status == "undone"
        assert take_next(queue=None, by=otto) == case

    def test_nobody_undoes_anothers(self, policy, rita, otto):
        verdict = decide(a_case(policy), "remove", rita)

        with pytest.raises(StaleState):
            undo_verdict(verdict=verdict, by=otto)
