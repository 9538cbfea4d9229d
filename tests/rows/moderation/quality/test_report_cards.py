"""From verdicts to precision, recall and prevalence."""

from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.cases.models import CaseSource
from moderation.quality.judged_contents import ReceivedPeriod, read_judged_contents
from moderation.quality.report_cards import is_enough, report_cards
from moderation.review.finals import make_final
from tests.support.cases import a_case, a_reviewer, decide, finish
from tests.support.decision_rows import a_list_policy
from tests.support.factories import a_tenant
from tests.support.judged import a_flagged, a_toxicity_policy, an_allowed, found, judge

pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.fixture
def policy():
    return a_toxicity_policy()


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


def the_period(days=30):
    now = timezone.now()
    return ReceivedPeriod(now - timedelta(days=days), now + timedelta(minutes=1))


def cards(**filters):
    tenant_id = filters.pop("tenant_id", None)
    return report_cards(read_judged_contents(the_period(), tenant_id=tenant_id), **filters)


def card_of(name, **filters):
    return next(card for card in cards(**filters) if name in (card.policy, card.detector))


class TestPrecision:
    def test_hits_and_false_alarms(self, policy, rita):
        for number in range(8):
            judge(a_flagged(policy), action="remove" if number < 6 else "allow", by=rita)

        for name in ("toxicity", "default"):
            figures = card_of(name).figures
            assert (figures.hits, figures.false_alarms) == (6, 2)
            assert figures.precision.value == 0.75
            assert 0.3 < figures.precision.low < 0.75 < figures.precision.high < 1

    def test_it_is_told_once_there_is_enough(self, policy, rita):
        for _ in range(29):
            judge(a_flagged(policy), action="remove", by=rita)
        assert not is_enough(card_of("toxicity").figures.precision)

        judge(a_flagged(policy), action="remove", by=rita)

        assert is_enough(card_of("toxicity").figures.precision)

    def test_another_violation_is_a_false_alarm_of_this_one(self, policy, rita):
        judge(a_flagged(policy), action="remove", codes=("spam",), by=rita)

        assert card_of("toxicity").figures.false_alarms == 1
        assert card_of("default").figures.hits == 1  # something was wrong with it
        by_code = {one.name: one.figures for one in card_of("default").by_code}
        assert (by_code["toxic"].hits, by_code["toxic"].false_alarms) == (0, 1)
        assert by_code["spam"].missed == 1

    def test_equal_contents_are_one_verdict_that_weighs_more(self, policy, rita):
        judge(*[a_flagged(policy) for _ in range(9)], action="remove", by=rita)
        judge(a_flagged(policy), action="allow", by=rita)

        precision = card_of("toxicity").figures.precision

        assert (precision.value, precision.count) == (0.9, 2)
        assert precision.low < 0.3

    def test_notes_and_rules_in_shadow_stop_nothing(self, policy, rita):
        for evidence in (found(effect="note"), found(is_shadow=True)):
            judge(an_allowed(policy, evidence=(evidence,)), action="remove", source=CaseSource.AUDIT, by=rita)

        assert card_of("toxicity").figures.hits == 0
        assert card_of("toxicity").figures.missed == 2


class TestRecall:
    def test_audits_stand_for_what_was_not_looked_at(self, policy, rita):
        for _ in range(30):
            judge(a_flagged(policy), action="remove", by=rita)
        judge(an_allowed(policy, weight=10), action="remove", source=CaseSource.AUDIT, by=rita)
        for _ in range(19):
            judge(an_allowed(policy, weight=10), action="allow", source=CaseSource.AUDIT, by=rita)

        figures = card_of("toxicity").figures

        assert figures.recall.value == 0.75  # 30 found, 10 missed
        assert figures.prevalence.value == 0.05
        assert figures.recall.count == figures.audits == 20
        assert figures.recall.low < 0.75 < figures.recall.high

    def test_without_audits_nothing_is_known(self, policy, rita):
        judge(a_flagged(policy), action="remove", by=rita)

        assert card_of("toxicity").figures.recall.value is None

    def test_a_detector_missed_what_another_one_found(self, policy, rita):
        judge(a_flagged(policy, evidence=(found(detector="other"),)), action="remove", by=rita)
        judge(an_allowed(policy, weight=1), action="allow", source=CaseSource.AUDIT, by=rita)

        assert card_of("toxicity").figures.missed == 1
        assert card_of("default").figures.missed == 0

    def test_violations_that_it_is_not_asked_for_are_not_missed(self, policy, rita):
        judge(an_allowed(policy), action="remove", codes=("spam",), source=CaseSource.AUDIT, by=rita)

        assert card_of("toxicity").figures.missed == 0
        assert card_of("default").figures.missed == 1

    def test_reports_estimate_nothing(self, policy, rita):
        """People report what they see, which is not a random sample."""
        judge(an_allowed(policy, weight=None), action="remove", source=CaseSource.REPORT, by=rita)

        figures = card_of("toxicity").figures

        assert figures.reported == 1
        assert (figures.missed, figures.audits, figures.recall.value) == (0, 0, None)

    def test_what_waited_for_review_when_it_was_reported_is_in_the_sample(self, policy, rita):
        judge(a_flagged(policy), a_flagged(policy), action="remove", source=CaseSource.REPORT, by=rita)
        judge(a_flagged(policy), action="allow", by=rita)

        figures = card_of("toxicity").figures

        assert (figures.hits, figures.false_alarms, figures.reported) == (2, 1, 0)


class TestLaterVerdicts:
    def test_an_appeal_makes_a_hit_a_false_alarm(self, policy, rita):
        decision = a_flagged(policy)
        first = judge(decision, action="remove", by=rita)
        assert card_of("toxicity").figures.hits == 1

        judge(decision, action="allow", source=CaseSource.APPEAL, about=first, by=a_reviewer())

        figures = card_of("toxicity").figures
        assert (figures.hits, figures.false_alarms) == (0, 1)
        assert (figures.appeals, figures.overturned) == (1, 1)

    def test_a_second_review_alone_changes_nothing(self, policy, rita):
        decision = a_flagged(policy)
        first = judge(decision, action="remove", by=rita)
        judge(decision, action="allow", source=CaseSource.SECOND_REVIEW, about=first, by=a_reviewer())
        assert card_of("toxicity").figures.hits == 1

        judge(decision, action="allow", source=CaseSource.DISAGREEMENT, about=first, by=a_reviewer())

        assert card_of("toxicity").figures.false_alarms == 1

    def test_what_can_still_be_undone_does_not_count(self, policy, rita):
        judge(a_flagged(policy), action="remove", status="pending", by=rita)

        assert cards() == []


class TestBlockedAtOnce:
    def test_an_appeal_tells_of_it_and_precision_does_not(self, policy, rita):
        """Nobody chooses at random what is appealed against."""
        blocked = [a_flagged(policy, "block", awaits="final") for _ in range(4)]
        make_final()
        judge(blocked[0], action="allow", source=CaseSource.APPEAL, by=rita)
        judge(blocked[1], action="remove", source=CaseSource.APPEAL, by=rita)
        judge(an_allowed(policy, weight=1), action="remove", source=CaseSource.AUDIT, by=rita)

        figures = card_of("toxicity").figures

        assert figures.precision.count == 0
        assert (figures.blocked_alone, figures.appeals, figures.overturned) == (4, 2, 1)
        assert figures.recall.value == 0.75  # three were found, one was missed


class TestFilters:
    def test_versions_have_cards_of_their_own(self, policy, rita):
        judge(a_flagged(policy, version=1), action="remove", by=rita)
        judge(a_flagged(policy, version=2), action="allow", by=rita)

        found_cards = [card for card in cards() if card.detector]

        assert [(card.version, card.figures.hits) for card in found_cards] == [(2, 0), (1, 1)]
        assert [card.version for card in cards(detector="toxicity", version=1)] == [1]

    def test_by_language(self, policy, rita):
        judge(a_flagged(policy), action="remove", by=rita)
        judge(a_flagged(policy, language="de"), action="allow", by=rita)

        by_language = {one.name: one.figures.hits for one in card_of("toxicity").by_language}

        assert by_language == {"en": 1, "de": 0}
        assert card_of("toxicity", language="de").figures.false_alarms == 1

    def test_of_one_violation(self, policy, rita):
        judge(a_flagged(policy), action="remove", by=rita)

        assert card_of("default", code="toxic").figures.hits == 1
        assert cards(code="spam") == []

    def test_contents_of_the_period(self, policy, rita):
        judge(a_flagged(policy, at=timezone.now() - timedelta(days=40)), action="remove", by=rita)

        assert cards() == []

    def test_tenants_are_apart(self, policy, rita):
        mine, theirs = a_tenant(), a_tenant()
        judge(a_flagged(policy, tenant=mine), action="remove", by=rita)
        judge(a_flagged(policy, tenant=theirs), action="allow", by=rita)

        assert card_of("toxicity", tenant_id=mine.pk).figures.false_alarms == 0
        assert card_of("toxicity").figures.false_alarms == 1

    def test_the_newest_are_read_of_both_kinds_since_the_same_time(self, policy, rita):
        now = timezone.now()
        for hours in (1, 2, 3):
            judge(a_flagged(policy, at=now - timedelta(hours=hours)), action="remove", by=rita)
            a_flagged(policy, "block", awaits="final", at=now - timedelta(hours=hours, minutes=30))
        make_final()

        whole = read_judged_contents(the_period(), tenant_id=None)
        judged = read_judged_contents(the_period(), tenant_id=None, most=2)

        assert (len(whole.contents), whole.is_cut) == (6, False)
        assert judged.is_cut
        assert judged.since == now - timedelta(hours=3)
        assert sorted(now - one.received_at for one in judged.contents) == [
            timedelta(hours=1), timedelta(hours=1, minutes=30), timedelta(hours=2), timedelta(hours=2, minutes=30),
        ]  # fmt: skip


def test_from_a_verdict_in_the_console_to_the_card(rita):
    """The rows that reviewing really makes."""
    finish(decide(a_case(a_list_policy()), "remove", rita))

    figures = card_of("default").figures

    assert (figures.hits, figures.precision.value) == (1, 1.0)
