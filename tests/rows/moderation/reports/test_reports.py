"""Reports: one case for those of a content, an answer for each, and what statements and the reporter's record say of them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import Case, CaseSource
from moderation.cases.opening import withdraw_settled_failures, withdraw_superseded
from moderation.deciding.models import Awaits, Decision
from moderation.reports.models import Report, ReportSource
from moderation.reports.services import make_report, reporter_record
from moderation.review.models import FinalDecision
from moderation.review.taking import take_next
from moderation.rights import ModerationRight, ModerationRole
from registry.errors import Invalid, NotAllowed
from registry.record.models import Event
from tests.support.cases import a_case, a_guideline, a_reviewer, decide, finish, for_review
from tests.support.decision_rows import a_decision, a_list_policy
from tests.support.factories import an_actor
from tests.support.tables import cases

pytestmark = [pytest.mark.django_db, pytest.mark.both]
REPORTER = an_actor(ModerationRight.REPORT)


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def allowed(policy):
    return a_decision(policy, content_id="c1", text="fine", at=timezone.now() - timedelta(hours=1))


def reported(decision, **more):
    return make_report(decision=decision, by=REPORTER, **more)


class TestCase:
    def test_reports_of_a_content_share_one(self, allowed):
        assert len({reported(allowed, reporter_id=f"r{number}").case_id for number in range(5)}) == 1

    def test_the_more_reporters_the_more_urgent(self, allowed):
        scores = []
        for who in ("ann", "ann", "bob", "cem"):
            reported(allowed, reporter_id=who)
            scores.append(Case.objects.get().score)

        assert scores[0] == scores[1] < scores[2] < scores[3] < 1

    def test_trusted_flaggers_come_first(self, allowed):
        reported(allowed, source=ReportSource.TRUSTED_FLAGGER)

        assert Case.objects.get().score >= 0.95

    def test_one_that_waits_for_review_becomes_the_reports(self, policy):
        case = a_case(policy, content_id="c1", at=timezone.now() - timedelta(hours=1))
        assert reported(case.items.get().decision).case == case

        a_decision(policy, content_id="c1", text="changed by its author")
        withdraw_superseded()

        case.refresh_from_db()
        assert (case.source, case.status) == (CaseSource.REPORT, "waiting")

    def test_a_detector_that_is_back_does_not_answer_it(self, policy):
        case = a_case(policy, is_held=True, next_try_at=timezone.now(), evidence=())
        decision = case.items.get().decision
        report = reported(decision)
        Decision.objects.update(is_held=False, next_try_at=None)
        a_decision(policy, redecides=decision, awaits=Awaits.FINAL)
        withdraw_settled_failures()

        case.refresh_from_db()
        assert (case.status, report.case.status) == ("withdrawn", "waiting")
        assert take_next(queue=None, by=a_reviewer()) == report.case

    def test_an_audit_stays_apart(self, policy):
        audit = a_case(policy, ruling="allow", evidence=(), audit_weight=10.0)

        assert reported(audit.items.get().decision).case != audit

    def test_a_name_for_it_does_not_show_it_to_more_people(self, policy):
        a_guideline("slurs", is_restricted=True)
        a_guideline("spam")

        assert reported(for_review(policy), code="spam").case.is_restricted

    def test_a_grave_one_makes_it_restricted(self, allowed):
        a_guideline("abuse", harm=4, is_restricted=True)
        reported(allowed)
        reported(allowed, code="abuse")

        assert take_next(queue=None, by=a_reviewer()) is None
        assert take_next(queue=None, by=a_reviewer(ModerationRole.CHILD_SAFETY)) is not None


class TestAnswer:
    @cases(
        "action, status, subject",
        removed=("remove", "action", "acted"),
        kept=("allow", "no_action", "no action"),
    )
    def test_each_reporter_gets_one(self, allowed, action, status, subject):
        for who in ("ann", "bob"):
            reported(allowed, reporter_id=who, code="slurs")
        finish(decide(Case.objects.get(), action, a_reviewer()))

        assert [one.status for one in Report.objects.all()] == [status] * 2
        assert all(subject in one.answer["subject"] for one in Report.objects.all())
        assert Event.objects.filter(kind="report.answered").count() == 2

    def test_what_its_author_has_changed_is_not_restricted(self, policy, allowed):
        reported(allowed, code="slurs")
        a_decision(policy, content_id="c1", text="changed by its author")
        finish(decide(Case.objects.get(), "remove", a_reviewer()))

        assert not FinalDecision.objects.exists()
        assert Report.objects.get().status == "no_action"

    @cases(
        "source, named",
        user=(ReportSource.USER, "SOURCE_TYPE_OTHER_NOTIFICATION"),
        notice=(ReportSource.NOTICE, "SOURCE_ARTICLE_16"),
        flagger=(ReportSource.TRUSTED_FLAGGER, "SOURCE_TRUSTED_FLAGGER"),
    )
    def test_statements_name_who_brought_it(self, allowed, source, named):
        reported(allowed, code="slurs")
        reported(allowed, code="slurs", source=source)
        finish(decide(Case.objects.get(), "remove", a_reviewer()))

        assert FinalDecision.objects.get().statement["source_type"] == named

    def test_what_nobody_reported_we_found_ourselves(self, policy):
        finish(decide(a_case(policy), "remove", a_reviewer()))

        assert FinalDecision.objects.get().statement["source_type"] == "SOURCE_VOLUNTARY"


def test_a_reporter_has_a_record(policy):
    for number, action in enumerate(("remove", "remove", "allow")):
        decision = a_decision(policy, content_id=f"c{number}", text=f"text {number}")
        reported(decision, reporter_id="ann", code="slurs")
        finish(decide(Case.objects.latest("pk"), action, a_reviewer()))
    reported(a_decision(policy, text="not answered"), reporter_id="ann")
    reported(a_decision(policy, text="another's"), reporter_id="bob")

    assert reporter_record(None, "ann") == {"reports": 4, "answered": 3, "right": 2}


@cases("code", spaces="not a code", long="x" * 65, capital="Slurs")
def test_a_violation_has_a_code(allowed, code):
    with pytest.raises(Invalid, match="code"):
        reported(allowed, code=code)


def test_it_needs_the_right(allowed):
    with pytest.raises(NotAllowed):
        make_report(decision=allowed, by=an_actor(ModerationRight.REVIEW))
