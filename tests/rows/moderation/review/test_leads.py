"""What leads do with other people's cases, with strikes, and with what people review on a day."""

from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import Case
from moderation.errors import BudgetSpent
from moderation.review.interventions import end_escalation, return_to_queue
from moderation.review.models import Strike
from moderation.review.reviewers import people_who_review, set_reviewer
from moderation.review.strikes import remove_strike, weight_of_strikes
from moderation.review.taking import escalate, hand_over, hold, take_next
from moderation.review.verdicts import give_verdict
from moderation.rights import ModerationRole
from registry.access.policies import Role
from registry.errors import Conflict, Invalid, NotAllowed, StaleState
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.cases import a_case, a_reviewer, decide, finish, person_behind, the_action
from tests.support.decision_rows import a_list_policy
from tests.support.factories import a_person

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def lead():
    return a_reviewer(ModerationRole.LEAD)


@pytest.fixture
def reviewer():
    return a_reviewer(username="rita")


def test_a_hold_is_ended(policy, lead, reviewer):
    case = a_case(policy)
    take_next(queue=None, by=reviewer)
    hold(case=case, until=timezone.now() + timedelta(days=2), note="Asked the author", by=reviewer)
    assert take_next(queue=None, by=a_reviewer()) is None

    return_to_queue(case=case, reason="Rita is ill", by=lead)

    assert take_next(queue=None, by=a_reviewer()) == case
    record = AuditRecord.objects.get(action="return_to_queue")
    assert describe(record) == f"returned {case}, which rita had, to its queue"


def test_a_look_is_ended(policy, lead, reviewer):
    case = a_case(policy)
    take_next(queue=None, by=reviewer)

    return_to_queue(case=case, reason="Rita is ill", by=lead)

    assert take_next(queue=None, by=a_reviewer()) == case
    with pytest.raises(StaleState):
        decide_now(case, reviewer)


def decide_now(case, by):
    give_verdict(case=case, action=the_action("remove"), by=by)


def test_one_that_nobody_has_is_not_returned(policy, lead):
    with pytest.raises(StaleState, match="in its queue already"):
        return_to_queue(case=a_case(policy), reason="Because", by=lead)


def test_an_escalation_is_ended(policy, lead, reviewer):
    case = a_case(policy)
    take_next(queue=None, by=reviewer)
    escalate(case=case, note="Not sure", by=reviewer)

    end_escalation(case=case, reason="It is plain", by=lead)

    assert take_next(queue=None, by=reviewer) == case
    with pytest.raises(StaleState):
        end_escalation(case=case, reason="Again", by=lead)


def test_a_restricted_case_is_not_there_for_a_lead_who_may_not_see_it(policy, lead, reviewer):
    case = a_case(policy)
    take_next(queue=None, by=reviewer)
    Case.objects.filter(pk=case.pk).update(is_restricted=True)

    with pytest.raises(StaleState):
        return_to_queue(case=case, reason="Because", by=lead)
    return_to_queue(
        case=case, reason="Because", by=a_reviewer(ModerationRole.LEAD, ModerationRole.CHILD_SAFETY)
    )


def test_reviewers_may_not(policy, reviewer):
    case = a_case(policy)
    take_next(queue=None, by=a_reviewer())

    with pytest.raises(NotAllowed):
        return_to_queue(case=case, reason="Because", by=reviewer)
    with pytest.raises(NotAllowed):
        end_escalation(case=case, reason="Because", by=reviewer)


class TestHandingOver:
    def test_nobody_gets_a_case_that_they_may_not_decide(self, policy, lead):
        case = a_case(policy)

        with pytest.raises(Conflict, match="may not decide"):
            hand_over(case=case, to=a_person(Role.VIEWER), note="Yours", by=lead)
        Case.objects.filter(pk=case.pk).update(is_escalated=True)
        case.refresh_from_db()
        with pytest.raises(Conflict, match="may not decide"):
            hand_over(case=case, to=a_person(ModerationRole.REVIEWER), note="Yours", by=lead)

        other = a_reviewer(ModerationRole.LEAD)
        hand_over(case=case, to=person_behind(other), note="Yours", by=lead)
        assert take_next(queue=None, by=other) == case


class TestStrikes:
    def test_one_is_removed(self, policy, lead, reviewer):
        finish(decide(a_case(policy, author_id="ann"), "remove", reviewer))
        strike = Strike.objects.get()

        remove_strike(strike=strike, reason="A misunderstanding", by=lead)

        assert weight_of_strikes(None, "ann") == 0
        assert (
            describe(AuditRecord.objects.get(action="remove_strike"))
            == "removed a strike of ann, of weight 1"
        )
        with pytest.raises(StaleState):
            remove_strike(strike=strike, reason="Again", by=lead)

    def test_reviewers_may_not(self, policy, reviewer):
        finish(decide(a_case(policy, author_id="ann"), "remove", reviewer))

        with pytest.raises(NotAllowed):
            remove_strike(strike=Strike.objects.get(), reason="Because", by=reviewer)


class TestBudgets:
    def test_they_count_at_once(self, policy, lead, reviewer):
        a_case(policy)

        set_reviewer(user_id=reviewer.user_id, minutes_a_day=0, severe_a_day=5, by=lead)
        with pytest.raises(BudgetSpent):
            take_next(queue=None, by=reviewer)

        set_reviewer(user_id=reviewer.user_id, minutes_a_day=60, severe_a_day=5, by=lead)
        assert take_next(queue=None, by=reviewer)
        assert "minutes a day: 0 → 60" in describe(
            AuditRecord.objects.filter(action="set_reviewer").latest("seq")
        )

    def test_a_reviewer_gets_cases_in_languages_that_they_read(self, policy, lead, reviewer):
        spanish, unknown = a_case(policy, "uno", language="es"), a_case(policy, "two", language="")
        a_case(policy, "drei", language="de")
        set_reviewer(
            user_id=reviewer.user_id, minutes_a_day=60, severe_a_day=5, languages=["es", "en"], by=lead
        )

        taken = [decide_next(reviewer) for _ in range(2)]

        assert {case.pk for case in taken} == {spanish.pk, unknown.pk}
        assert take_next(queue=None, by=reviewer) is None
        assert take_next(queue=None, by=a_reviewer()).language == "de"

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"minutes_a_day": 1441, "severe_a_day": 1}, "minutes"),
            ({"minutes_a_day": 1, "severe_a_day": -1}, "severe"),
            ({"minutes_a_day": 1, "severe_a_day": 1, "languages": ["Klingon!"]}, "language"),
        ],
        ids=["minutes", "severe", "language"],
    )
    def test_what_is_wrong_is_said(self, lead, reviewer, values, message):
        with pytest.raises(Invalid, match=message):
            set_reviewer(user_id=reviewer.user_id, by=lead, **values)

    def test_reviewers_may_not(self, reviewer):
        with pytest.raises(NotAllowed):
            set_reviewer(user_id=reviewer.user_id, minutes_a_day=1, severe_a_day=1, by=reviewer)

    def test_who_reviews(self, lead, reviewer):
        a_person(Role.VIEWER)

        assert {person.pk for person in people_who_review()} == {lead.user_id, reviewer.user_id}


def decide_next(by):
    case = take_next(queue=None, by=by)
    decide_now(case, by)
    return case
