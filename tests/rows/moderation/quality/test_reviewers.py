"""How much reviewers agree, who differs too often, and how long they take."""

from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import CaseSource
from moderation.deciding.previews import ASSUMED_SECONDS, _people
from moderation.quality.capacity import measured_capacity
from moderation.quality.judged_contents import ReceivedPeriod
from moderation.quality.reviewers import read_reviewers, settle_flag
from moderation.review.models import Reviewer, Verdict
from moderation.rights import ModerationRight
from registry.errors import Invalid, NotAllowed
from registry.record.models import AuditRecord
from tests.support.cases import a_reviewer, person_behind
from tests.support.factories import an_actor
from tests.support.judged import a_flagged, a_toxicity_policy, judge

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.fixture
def policy():
    return a_toxicity_policy()


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


@pytest.fixture
def ann():
    return a_reviewer(username="ann")


@pytest.fixture
def zoe():
    return a_reviewer(username="zoe")


def the_report():
    now = timezone.now()
    return read_reviewers(ReceivedPeriod(now - timedelta(days=90), now + timedelta(minutes=1)))


def the_figures(name):
    return next(one for one in the_report().reviewers if one.name == name)


def twice(policy, first, second, *, first_says="remove", second_says="remove", third=None):
    """A content that two people judged, and a lead if they differ and `third` is what the lead said."""
    decision = a_flagged(policy)
    verdict = judge(decision, action=first_says, by=first)
    judge(decision, action=second_says, source=CaseSource.SECOND_REVIEW, about=verdict, by=second)
    if third is not None:
        judge(decision, action=third, source=CaseSource.DISAGREEMENT, about=verdict, by=a_reviewer("lead"))


class TestAgreement:
    def test_of_all_and_of_one(self, policy, rita, ann):
        for number in range(20):
            says = "remove" if number % 2 else "allow"
            twice(policy, rita, ann, first_says=says, second_says="remove" if number == 0 else says)

        report = the_report()

        assert (report.double_reviews, report.differing) == (20, 1)
        assert report.agreement.value == pytest.approx(0.9, abs=0.01)
        assert the_figures("rita").agreement == report.agreement

    def test_it_is_not_told_of_a_few(self, policy, rita, ann):
        twice(policy, rita, ann)

        assert the_report().agreement.value is None

    def test_verdicts_and_appeals(self, policy, rita, ann):
        for says in ("allow", "remove"):
            decision = a_flagged(policy)
            verdict = judge(decision, action="remove", by=rita)
            judge(decision, action=says, source=CaseSource.APPEAL, about=verdict, by=ann)

        figures = the_figures("rita")

        assert (figures.verdicts, figures.appealed, figures.overturned) == (2, 2, 1)
        assert the_figures("ann").appealed == 0


class TestCareless:
    def careless(self, policy, rita, ann, zoe):
        """Rita is wrong in a third of her reviews, and the others agree with each other."""
        for number in range(60):
            partner = ann if number % 2 else zoe
            if number % 3:
                twice(policy, rita, partner)
            else:
                twice(policy, rita, partner, first_says="allow", third="remove")
            twice(policy, ann, zoe)

    def test_is_noticed(self, policy, rita, ann, zoe):
        self.careless(policy, rita, ann, zoe)

        assert the_report().reviewers[0].name == "rita"
        assert {one.name for one in the_report().reviewers if one.record.is_flagged} == {"rita"}
        assert the_figures("rita").record.found_wrong == 20

    def test_until_somebody_talked_with_her(self, policy, rita, ann, zoe):
        self.careless(policy, rita, ann, zoe)

        settle_flag(
            user=person_behind(rita), note="The guideline was unclear.", by=an_actor(ModerationRight.LEAD)
        )

        assert not the_figures("rita").record.is_flagged
        assert the_figures("rita").double_reviews == 60
        assert AuditRecord.objects.get(action="settle_reviewer_flag").reason == "The guideline was unclear."

    def test_it_clears_nobody_else(self, policy, rita, ann, zoe):
        """Rita is careless, and mostly reviews with Ann, who is assessed afresh."""
        for number in range(60):
            partner, is_wrong = (zoe if number % 6 == 0 else ann), number % 3 == 0
            twice(
                policy,
                rita,
                partner,
                first_says="allow" if is_wrong else "remove",
                third="remove" if is_wrong else None,
            )
        assert the_figures("rita").record.is_flagged

        settle_flag(user=person_behind(ann), note="We talked.", by=an_actor(ModerationRight.LEAD))

        assert the_figures("rita").record.is_flagged
        assert not the_figures("ann").record.is_flagged
        assert (the_figures("rita").record.count, the_figures("ann").record.count) == (60, 0)

    def test_only_a_lead_says_so(self, rita):
        with pytest.raises(NotAllowed):
            settle_flag(user=person_behind(rita), note="fine", by=rita)
        with pytest.raises(Invalid):
            settle_flag(user=person_behind(rita), note=" ", by=an_actor(ModerationRight.LEAD))
        assert not Reviewer.objects.filter(assessed_from__isnull=False).exists()


class TestCapacity:
    def test_the_median_of_twenty_verdicts(self, policy, rita, ann):
        Reviewer.objects.create(user=person_behind(rita), minutes_a_day=90)
        for number in range(19):
            judge(a_flagged(policy), action="remove", seconds=30 + number, by=rita)
        assert measured_capacity().seconds_per_review is None

        judge(a_flagged(policy), action="remove", seconds=600, by=rita)

        capacity = measured_capacity()
        assert capacity.seconds_per_review == 39.5
        assert (capacity.reviewers, capacity.hours_a_day) == (2, 6.5)  # 90 minutes, and the usual 300

    def test_previews_use_it(self, policy, rita):
        assert _people(120)["seconds_per_review"] == ASSUMED_SECONDS
        assert not _people(120)["is_measured"]
        for _ in range(20):
            judge(a_flagged(policy), action="remove", seconds=45, by=rita)

        people = _people(120)

        assert (people["seconds_per_review"], people["is_measured"], people["hours_more"]) == (45, True, 1.5)
        assert people["hours_available"] == 5

    def test_older_and_joint_verdicts_say_nothing(self, policy, rita):
        for _ in range(20):
            judge(a_flagged(policy), action="remove", seconds=0.01, by=rita)
        for _ in range(20):
            judge(a_flagged(policy), action="remove", seconds=45, by=rita)
        assert measured_capacity().seconds_per_review == 45

        Verdict.objects.update(made_at=timezone.now() - timedelta(days=31))

        assert measured_capacity().seconds_per_review is None
