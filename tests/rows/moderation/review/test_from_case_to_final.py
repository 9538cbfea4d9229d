"""From a decision that needs a person to what stands."""

from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.appeals.services import make_appeal
from moderation.cases.models import Case, CaseSource
from moderation.cases.opening import open_cases
from moderation.cases.transitions import CaseStatus
from moderation.errors import AlreadyDecided, NothingToAppeal
from moderation.reports.services import make_report
from moderation.review.finals import latest_final, make_final
from moderation.review.models import FinalDecision, Strike
from moderation.review.statements import check_statement
from moderation.review.taking import take_next
from moderation.review.verdicts import give_verdict, undo_verdict
from moderation.rights import ModerationRight
from registry.errors import NotAllowed, StaleState
from registry.record.models import AuditRecord, Event
from tests.support.cases import a_case, a_reviewer, decide, finish, for_review, the_action
from tests.support.decision_rows import a_list_policy
from tests.support.factories import an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def reviewer():
    return a_reviewer(username="rita")


class TestVerdict:
    def test_it_is_final_after_ten_seconds(self, policy, reviewer):
        case = a_case(policy, content_id="c1", author_id="ann")
        verdict = decide(case, "remove", reviewer)

        assert make_final() == 0
        assert finish(verdict).status == "final"

        case.refresh_from_db()
        assert case.status == CaseStatus.CLOSED
        final = FinalDecision.objects.get(content_key="c1")
        assert (final.ruling, final.effect, final.codes, final.sequence) == ("block", "remove", ["slurs"], 1)
        assert final.decided_by == "machine_and_person"
        assert check_statement(final.statement) == []
        assert "restricted" in final.notice["subject"]
        assert Strike.objects.get().author_id == "ann"
        assert Event.objects.get(kind="decision.final").data["sequence"] == 1
        assert AuditRecord.objects.filter(action="decide_case").count() == 1

    def test_it_can_be_undone(self, policy, reviewer):
        case = a_case(policy)
        verdict = decide(case, "remove", reviewer)

        assert undo_verdict(verdict=verdict, by=reviewer) == case

        assert make_final(now=timezone.now() + timedelta(minutes=1)) == 0
        assert take_next(queue=None, by=reviewer) == case

    def test_a_final_one_cannot(self, policy, reviewer):
        verdict = finish(decide(a_case(policy), "allow", reviewer))

        with pytest.raises(StaleState, match="final"):
            undo_verdict(verdict=verdict, by=reviewer)

    def test_the_second_person_is_told_the_first_ones(self, policy, reviewer):
        case = a_case(policy)
        decide(case, "remove", reviewer)

        with pytest.raises(AlreadyDecided, match="rita"):
            give_verdict(case=case, action=the_action("allow"), by=a_reviewer())


class TestJoining:
    def test_disguised_equals_are_one_case(self, policy):
        for text in ("You  BLOCKHEAD!", "you blockhead", "you b\u200blockhead"):
            for_review(policy, text)
        for_review(policy, "something else")

        assert open_cases() == 4

        assert sorted(Case.objects.values_list("item_count", flat=True)) == [1, 3]

    def test_a_verdict_is_for_all_contents_of_the_case(self, policy, reviewer):
        for number in range(3):
            for_review(policy, content_id=f"c{number}")
        open_cases()
        finish(decide(Case.objects.get(), "remove", reviewer))

        assert FinalDecision.objects.count() == 3


class TestAppeal:
    def test_another_person_overturns_it(self, policy, reviewer):
        case = a_case(policy, content_id="c1", author_id="ann")
        finish(decide(case, "remove", reviewer))
        decision = case.items.get().decision

        appeal = make_appeal(decision=decision, text="It was a joke.", by=an_actor(ModerationRight.REPORT))
        assert take_next(queue=None, by=reviewer) is None
        with pytest.raises(NotAllowed):
            give_verdict(case=appeal.case, action=the_action("allow"), by=reviewer)
        finish(decide(appeal.case, "allow", a_reviewer()))

        final = latest_final(decision)
        assert (final.sequence, final.ruling, final.replaces.sequence) == (2, "allow", 1)
        assert Appeal.objects.get().status == "overturned"
        assert Strike.objects.get().removed_at is not None
        assert "successful" in Appeal.objects.get().answer["subject"]

    def test_it_is_upheld(self, policy, reviewer):
        case = a_case(policy, content_id="c1")
        finish(decide(case, "remove", reviewer))
        decision = case.items.get().decision
        appeal = make_appeal(decision=decision, by=an_actor(ModerationRight.REPORT))

        finish(decide(appeal.case, "remove", a_reviewer()))

        assert FinalDecision.objects.count() == 1
        assert Appeal.objects.get().status == "confirmed"
        with pytest.raises(NothingToAppeal):
            make_appeal(decision=decision, by=an_actor(ModerationRight.REPORT))


class TestReport:
    def test_it_is_answered(self, policy, reviewer):
        decision = for_review(policy, content_id="c1", ruling="allow", evidence=(), awaits="")
        report = make_report(decision=decision, code="slurs", by=an_actor(ModerationRight.REPORT))
        again = make_report(decision=decision, reporter_id="bob", by=an_actor(ModerationRight.REPORT))

        assert report.case == again.case
        finish(decide(report.case, "remove", reviewer))

        report.refresh_from_db()
        assert report.status == "action"
        assert FinalDecision.objects.get().decided_by == "person"


class TestSecondReview:
    def test_a_disagreement_is_a_leads(self, reviewer):
        policy = a_list_policy(name="twice", review={"second_review_share": 1})
        finish(decide(a_case(policy, content_id="c1"), "remove", reviewer))
        second = Case.objects.get(source=CaseSource.SECOND_REVIEW)
        assert take_next(queue=None, by=reviewer) is None

        finish(decide(second, "allow", a_reviewer()))

        disagreement = Case.objects.get(source=CaseSource.DISAGREEMENT)
        assert disagreement.is_escalated
        assert FinalDecision.objects.get().ruling == "block"
