"""Guidelines, and the cases that follow them."""

from dataclasses import replace

import pytest

from moderation.cases.models import Case, Guideline, Harm
from moderation.reports.services import make_report
from moderation.review.guidelines import (
    GuidelineSettings,
    change_guideline,
    create_guideline,
    remove_guideline,
    undescribed_codes,
)
from moderation.rights import ModerationRight, ModerationRole
from registry.errors import Invalid, NameTaken, NotAllowed
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.cases import a_case, a_reviewer, decide, finish, for_review
from tests.support.decision_rows import LISTED, OTHER, a_list_policy
from tests.support.factories import an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]
SLURS = GuidelineSettings(title="Slurs", harm=Harm.HIGH, notices={"en": "Slurs are not allowed here."})


@pytest.fixture
def policy():
    return a_list_policy(LISTED, OTHER)


@pytest.fixture
def lead():
    return a_reviewer(ModerationRole.LEAD, ModerationRole.CHILD_SAFETY)


def now(case):
    return Case.objects.get(pk=case.pk)


class TestWaitingCases:
    def test_they_get_the_harm_of_a_new_guideline(self, policy, lead):
        case, other = a_case(policy), a_case(policy, "something else", evidence=())
        assert case.harm == Harm.MEDIUM

        create_guideline(code="slurs", values=SLURS, by=lead)

        assert (now(case).harm, now(case).weight) == (Harm.HIGH, 9 * case.score)
        assert now(other).harm == Harm.MEDIUM

    def test_they_follow_changes_up_and_down(self, policy, lead):
        case = a_case(policy)
        guideline = create_guideline(code="slurs", values=SLURS, by=lead)

        for harm in (Harm.CRITICAL, Harm.LOW):
            change_guideline(guideline=guideline, values=replace(SLURS, harm=harm), by=lead)
            assert (now(case).harm, now(case).weight) == (harm, harm.weight * case.score)

        remove_guideline(guideline=guideline, by=lead)
        assert now(case).harm == Harm.MEDIUM

    def test_the_gravest_violation_counts(self, policy, lead):
        case = a_case(policy)
        case.items.get().decision.__class__.objects.update(codes=["slurs", "numbers"])
        create_guideline(code="slurs", values=SLURS, by=lead)

        create_guideline(code="numbers", values=replace(SLURS, title="Numbers", harm=Harm.LOW), by=lead)
        assert (now(case).harm, now(case).code) == (Harm.HIGH, "slurs")

        change_guideline(
            guideline=Guideline.objects.get(code="numbers"),
            values=replace(SLURS, harm=Harm.CRITICAL),
            by=lead,
        )
        assert (now(case).harm, now(case).code) == (Harm.CRITICAL, "numbers")

    def test_what_a_report_said_counts(self, policy, lead):
        decision = for_review(policy, ruling="allow", evidence=(), awaits="")
        report = make_report(decision=decision, code="slurs", by=an_actor(ModerationRight.REPORT))

        create_guideline(code="slurs", values=replace(SLURS, is_restricted=True), by=lead)

        assert (now(report.case).harm, now(report.case).is_restricted) == (Harm.HIGH, True)

    def test_ended_ones_keep_their_harm_and_are_restricted(self, policy, lead):
        case = a_case(policy)
        finish(decide(case, "remove", a_reviewer()))

        create_guideline(code="slurs", values=replace(SLURS, is_restricted=True), by=lead)

        assert (now(case).harm, now(case).is_restricted) == (Harm.MEDIUM, True)


class TestRestricting:
    RESTRICTED = replace(SLURS, is_restricted=True)

    def test_its_cases_are_restricted_until_nothing_restricts_them(self, policy, lead):
        case, other = a_case(policy), a_case(policy, "something else", evidence=())
        guideline = create_guideline(code="slurs", values=self.RESTRICTED, by=lead)
        assert (now(case).is_restricted, now(other).is_restricted) == (True, False)

        change_guideline(guideline=guideline, values=SLURS, by=lead)
        assert not now(case).is_restricted

    def test_another_violation_still_restricts_them(self, policy, lead):
        case = a_case(policy)
        case.items.get().decision.__class__.objects.update(codes=["slurs", "numbers"])
        guideline = create_guideline(code="slurs", values=self.RESTRICTED, by=lead)
        create_guideline(code="numbers", values=self.RESTRICTED, by=lead)

        remove_guideline(guideline=guideline, by=lead)

        assert now(case).is_restricted

    def test_whoever_may_not_see_such_contents_cannot_lift_it(self, policy, lead):
        guideline = create_guideline(code="slurs", values=self.RESTRICTED, by=lead)
        plain = a_reviewer(ModerationRole.LEAD)

        change_guideline(guideline=guideline, values=replace(self.RESTRICTED, title="Insults"), by=plain)
        with pytest.raises(NotAllowed, match="see restricted contents"):
            change_guideline(guideline=guideline, values=SLURS, by=plain)
        with pytest.raises(NotAllowed, match="see restricted contents"):
            remove_guideline(guideline=guideline, by=plain)


class TestChanging:
    def test_changes_are_recorded(self, lead):
        guideline = create_guideline(code="slurs", values=SLURS, by=lead)
        change_guideline(guideline=guideline, values=replace(SLURS, hours=4), by=lead)

        record = AuditRecord.objects.get(action="change_guideline")
        assert describe(record) == "changed the guideline “Slurs”: deadline hours: 24 → 4"

    @pytest.mark.parametrize(
        ("code", "values", "message"),
        [
            ("Slurs!", SLURS, "no violation code"),
            ("x", replace(SLURS, notices={"English": "No."}), "no language"),
            ("x", replace(SLURS, notices={"en": " "}), "1 to 1,000"),
            ("x", replace(SLURS, category="STATEMENT_CATEGORY_WEATHER"), "no category"),
            ("x", replace(SLURS, harm=7), "harm"),
        ],
        ids=["code", "language", "empty sentence", "category", "harm"],
    )
    def test_what_is_wrong_is_said(self, lead, code, values, message):
        with pytest.raises(Invalid, match=message):
            create_guideline(code=code, values=values, by=lead)

    def test_codes_are_unique(self, lead):
        create_guideline(code="slurs", values=SLURS, by=lead)

        with pytest.raises(NameTaken):
            create_guideline(code="slurs", values=SLURS, by=lead)

    def test_reviewers_may_not(self, lead):
        guideline, reviewer = create_guideline(code="slurs", values=SLURS, by=lead), a_reviewer()

        with pytest.raises(NotAllowed):
            create_guideline(code="x", values=SLURS, by=reviewer)
        with pytest.raises(NotAllowed):
            change_guideline(guideline=guideline, values=SLURS, by=reviewer)
        with pytest.raises(NotAllowed):
            remove_guideline(guideline=guideline, by=reviewer)


def test_codes_that_nobody_described(policy, lead):
    a_list_policy({**LISTED, "code": "drafted"}, name="draft", context="x", is_published=False)
    assert undescribed_codes() == ["numbers", "slurs"]

    create_guideline(code="slurs", values=SLURS, by=lead)

    assert undescribed_codes() == ["numbers"]
