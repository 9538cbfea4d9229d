"""Contents go when policies say so, decisions later; what somebody still needs stays."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.appeals.services import make_appeal
from moderation.cases.models import Case
from moderation.cases.opening import open_cases
from moderation.deciding.models import Decision, StoredContent, StoredPicture
from moderation.policies import services
from moderation.privacy.retention import remove_old_contents, remove_old_decisions
from moderation.reports.models import Report
from moderation.reports.services import make_report
from moderation.review.models import FinalDecision, Verdict
from moderation.review.taking import set_legal_hold
from moderation.rights import ModerationRight
from tests.support.cases import a_case, a_reviewer, decide, finish, for_review
from tests.support.decision_rows import a_decision, a_list_policy, a_png
from tests.support.factories import an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]

KEPT_DAYS = 30
LONG_AGO = timedelta(days=KEPT_DAYS + 1)


@pytest.fixture
def policy():
    return a_list_policy(review={"content_days": KEPT_DAYS, "appeal_days": 183})


def days_ahead(days):
    return timezone.now() + timedelta(days=days)


def kept():
    return set(StoredContent.objects.values_list("decision", flat=True))


def reported(decision):
    return make_report(decision=decision, text="Look at this", by=an_actor(ModerationRight.REPORT))


def verdict_on(policy, action, **more):
    """A decision with a final verdict."""
    case = a_case(policy, **more)
    finish(decide(case, action, a_reviewer()))
    return case.items.get().decision


class TestContents:
    def test_they_go_and_decisions_stay(self, policy):
        old = a_decision(policy, text="old", pictures=(a_png(),), at=timezone.now() - LONG_AGO)
        new = a_decision(policy, text="new", pictures=(a_png(),))

        assert remove_old_contents() == 1

        assert kept() == {new.pk}
        assert StoredPicture.objects.get().decision == new
        assert Decision.objects.filter(pk=old.pk).exists()
        assert remove_old_contents() == 0

    def test_without_days_they_stay_as_long_as_decisions(self):
        a_decision(a_list_policy(), text="old", at=timezone.now() - timedelta(days=80))

        assert remove_old_contents() == 0

    def test_the_current_revision_says_how_long(self, policy):
        a_decision(policy, text="old", at=timezone.now() - timedelta(days=10))
        content = {**policy.current.content, "review": {"content_days": 5}}
        services.save_draft(policy=policy, content=content, expected=None, by=an_actor())
        assert remove_old_contents() == 0

        services.publish(policy=policy, reason="Shorter", by=an_actor())

        assert remove_old_contents() == 1

    def test_of_a_retired_policy_the_revision_that_decided_does(self):
        policy = a_list_policy(name="old", context="old", review={"content_days": KEPT_DAYS})
        a_decision(policy, text="old", at=timezone.now() - LONG_AGO)
        services.retire_policy(policy=policy, reason="Not used", by=an_actor())

        assert remove_old_contents() == 1

    @pytest.mark.parametrize("status", ["waiting", "decided"])
    def test_of_open_cases_they_stay(self, policy, status):
        case = a_case(policy)
        if status == "decided":
            decide(case, "allow", a_reviewer())

        assert remove_old_contents(now=days_ahead(90)) == 0

    def test_what_waits_for_a_detector_stays(self, policy):
        a_decision(policy, "review", text="held", is_held=True, next_try_at=timezone.now())

        assert remove_old_contents(now=days_ahead(90)) == 0

    def test_reported_ones_stay_until_the_answer(self, policy):
        reported(a_decision(policy, text="reported"))
        assert remove_old_contents(now=days_ahead(90)) == 0

        finish(decide(Case.objects.get(), "allow", a_reviewer()))

        assert remove_old_contents(now=days_ahead(90)) == 1
        assert Report.objects.get().text == ""

    def test_restricted_ones_stay_while_they_can_be_appealed(self, policy):
        verdict_on(policy, "remove")

        assert remove_old_contents(now=days_ahead(182)) == 0
        assert remove_old_contents(now=days_ahead(184)) == 1

    def test_allowed_ones_do_not(self, policy):
        verdict_on(policy, "allow")

        assert remove_old_contents(now=days_ahead(182)) == 1

    def test_appealed_ones_stay_until_the_answer(self, policy):
        decision = verdict_on(policy, "remove", content_id="c1")
        make_appeal(decision=decision, text="Why?", by=an_actor(ModerationRight.REPORT))
        assert remove_old_contents(now=days_ahead(184)) == 0

        finish(decide(Case.objects.get(source="appeal"), "remove", a_reviewer()))

        assert remove_old_contents(now=days_ahead(184)) == 1
        assert Appeal.objects.get().text == ""

    def test_on_legal_hold_they_stay(self, policy):
        decision = verdict_on(policy, "allow")
        case = decision.case_items.get().case
        lead = a_reviewer("lead")
        set_legal_hold(case=case, is_held=True, reason="Court order", by=lead)
        assert remove_old_contents(now=days_ahead(900)) == 0

        set_legal_hold(case=case, is_held=False, reason="It is over", by=lead)

        assert remove_old_contents(now=days_ahead(900)) == 1

    def test_a_hold_waits_for_a_removal_that_has_begun(self, policy):
        case = a_case(policy)
        if not connection.features.has_select_for_update:
            pytest.skip("SQLite has one writer at a time")
        with CaptureQueriesContext(connection) as queries:
            set_legal_hold(case=case, is_held=True, reason="Court order", by=a_reviewer("lead"))

        locks = [one["sql"] for one in queries if "FOR UPDATE" in one["sql"]]
        assert any('OF "moderation_decision"' in sql for sql in locks)


class TestDecisions:
    def test_they_go_and_nothing_of_the_content_is_left(self, policy):
        case = a_case(policy, "you blockhead", content_id="c1")
        finish(decide(case, "allow", a_reviewer(), note="It says blockhead"))

        assert remove_old_decisions(now=days_ahead(91)) == 1

        case.refresh_from_db()
        assert (bytes(case.likeness), case.pictures, case.note) == (b"", [], "")
        assert Verdict.objects.get().note == ""
        assert FinalDecision.objects.get().decision is None
        assert not StoredContent.objects.exists()

    def test_those_that_somebody_needs_stay(self, policy):
        for_review(policy)
        open_cases()

        assert remove_old_decisions(now=days_ahead(900)) == 0

    def test_a_reports_words_go_with_them(self):
        policy = a_list_policy()
        reported(a_decision(policy, text="reported"))
        finish(decide(Case.objects.get(), "allow", a_reviewer()))

        assert remove_old_decisions(now=days_ahead(91)) == 1

        report = Report.objects.get()
        assert (report.text, report.decision) == ("", None)
