"""Decisions that await a person become cases: once each, joined where they are alike, and withdrawn when nobody is needed."""

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.cases import opening
from moderation.cases.models import Case, CaseItem, CaseSource, ReviewQueue
from moderation.cases.opening import open_cases, withdraw_settled_failures, withdraw_superseded
from moderation.cases.transitions import CaseStatus
from moderation.deciding.audits import audit_sample
from moderation.deciding.findings import Findings
from moderation.deciding.judgements import Judgement
from moderation.deciding.models import Awaits, Decision, StoredContent
from moderation.policies.rules import PolicyRules, ReviewTerms, Ruling
from moderation.review.taking import take, take_next
from moderation.review.verdicts import give_verdict, undo_verdict
from registry.errors import StaleState
from registry.record import leases
from tests.support.cases import a_case, a_guideline, a_reviewer, decide, finish, for_review, the_action
from tests.support.decision_rows import a_decision, a_list_policy, listed
from tests.support.factories import a_tenant
from tests.support.tables import cases
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.both]
HOUR = timedelta(hours=1)


@pytest.fixture
def policy():
    return a_list_policy()


def waiting():
    return Case.objects.filter(status=CaseStatus.WAITING)


def held(policy, text="you blockhead", **more):
    """A content that waits for a detector."""
    now = timezone.now()
    return for_review(policy, text, is_held=True, next_try_at=now, evidence=(), **more)


def decided_again(policy, before, ruling, text="you blockhead"):
    """As the writer stores it when the detector is back."""
    Decision.objects.filter(pk=before.pk).update(is_held=False, next_try_at=None)
    StoredContent.objects.filter(decision=before).delete()
    evidence = (listed(4, 13),) if ruling == "block" else ()
    awaits = Awaits.CASE if ruling == "review" else Awaits.FINAL
    return a_decision(
        policy, ruling, evidence=evidence, text=text, redecides=before, content_id=before.content_id,
        at=before.received_at, awaits=awaits,
    )  # fmt: skip


class TestSuperseded:
    def test_the_newer_of_two_in_one_batch_gets_the_case(self, policy):
        for_review(policy, "old", content_id="c1", at=timezone.now() - HOUR)
        newer = for_review(policy, "new", content_id="c1")

        open_cases()

        assert CaseItem.objects.get().decision == newer

    def test_one_that_comes_late_takes_no_case_from_the_newer_one(self, policy):
        """Two processes: the older content was stored last."""
        newer = for_review(policy, "new", content_id="c1")
        open_cases()
        for_review(policy, "old", content_id="c1", at=timezone.now() - HOUR)
        open_cases()

        assert waiting().get().items.get().decision == newer

    def test_an_older_case_is_withdrawn(self, policy):
        old = a_case(policy, "old", content_id="c1", at=timezone.now() - HOUR)
        new = a_case(policy, "new", content_id="c1")

        old.refresh_from_db()
        assert (old.status, new.status) == (CaseStatus.WITHDRAWN, CaseStatus.WAITING)

    def test_also_if_the_newer_one_is_allowed(self, policy):
        a_case(policy, "old", content_id="c1", at=timezone.now() - HOUR)
        a_decision(policy, content_id="c1", text="new")

        assert withdraw_superseded() == 1

    def test_others_in_its_case_stay(self, policy):
        case = a_case(policy, content_id="c1", at=timezone.now() - HOUR)
        a_case(policy, content_id="c2")
        a_decision(policy, content_id="c1", text="new")

        assert withdraw_superseded() == 0
        assert case.items.get(is_withdrawn=False).decision.content_id == "c2"

    def test_another_tenants_content_of_the_same_id_changes_nothing(self, policy):
        a_case(policy, "one", content_id="c1", at=timezone.now() - HOUR, tenant=a_tenant())
        for_review(policy, "two", content_id="c1", tenant=a_tenant())
        for_review(policy, "three", content_id="c1")
        open_cases()

        assert waiting().count() == 3


class TestJoining:
    def test_never_across_tenants_and_policies(self, policy):
        other = a_list_policy(name="other", context="other")
        for place in range(2):
            for one, tenant in ((policy, a_tenant(f"a{place}")), (policy, None), (other, None)):
                for_review(one, tenant=tenant)
        open_cases()
        withdraw_settled_failures()

        assert waiting().count() == 4

    def test_what_is_joined_makes_a_case_as_restricted_and_as_grave(self, policy):
        """Equal texts, decided by different revisions."""
        a_guideline("slurs", harm=1)
        a_guideline("abuse", harm=4, is_restricted=True, hours=1)
        case = a_case(policy)
        grave = listed(4, 13)._replace(code="abuse", score=0.9)
        for_review(policy, evidence=(grave,))
        open_cases()

        case.refresh_from_db()
        assert (case.item_count, case.harm, case.is_restricted) == (2, 4, True)
        assert (case.code, case.weight) == ("abuse", 27.0)
        assert case.due_at < timezone.now() + 2 * HOUR
        assert take_next(queue=None, by=a_reviewer()) is None

    def test_a_case_that_was_decided_takes_no_more(self, policy):
        case = a_case(policy)
        decide(case, "remove", a_reviewer())
        later = a_case(policy)

        assert later != case
        assert case.items.count() == 1

    def test_contents_that_are_gone_are_not_alike(self, policy):
        for _ in range(2):
            for_review(policy, text=None)
        open_cases()

        assert waiting().count() == 2

    def test_pictures_that_nobody_could_read_are_not_alike(self, policy):
        for _ in range(2):
            for_review(policy, text="", findings=Findings(["image"]))
        open_cases()

        assert waiting().count() == 2

    def test_a_failure_does_not_join_a_review(self, policy):
        for_review(policy)
        held(policy)
        open_cases()

        assert sorted(waiting().values_list("source", flat=True)) == ["failure", "review"]


class TestOneAtATime:
    def test_a_decision_that_cannot_be_read_holds_up_no_other(self, policy):
        bad = for_review(policy, "bad")
        Decision.objects.filter(pk=bad.pk).update(findings=b"nonsense")
        for_review(policy, "good")

        assert open_cases() == 1

        bad.refresh_from_db()
        assert bad.awaits == Awaits.CASE
        assert waiting().get().items.get().decision.content.text == "good"

    def test_another_process_has_the_lease(self, policy):
        for_review(policy)
        leases.claim("moderation.cases", holder="another", for_s=60)

        assert open_cases() == 0


@pytest.mark.django_db(transaction=True)
class TestTwoThreads:
    """A worker's threads begin the task in the same moment, and the lease has run out."""

    @pytest.fixture
    def without_lease(self, monkeypatch):
        monkeypatch.setattr(leases, "claim", lambda *_, **__: True)
        monkeypatch.setattr(leases, "release", lambda *_, **__: None)

    def test_the_second_one_finds_the_lease_taken(self, policy, monkeypatch):
        for_review(policy)
        found = []
        monkeypatch.setattr(opening, "_open", lambda _ids: found.extend(at_once([open_cases])) or 0)
        open_cases()

        assert found == [0]

    def test_each_decision_has_one_case(self, policy, without_lease):
        for number in range(60):
            for_review(policy, f"text {number}")

        at_once([open_cases] * 4)

        assert CaseItem.objects.count() == 60
        assert waiting().count() == 60

    def test_a_content_joins_under_a_verdict(self, policy, without_lease):
        """It is in the case that is decided, or in one of its own: never in none, never without a verdict of its case."""
        by = a_reviewer()
        for number in range(10):
            case = take(case=a_case(policy, f"text {number}"), by=by)
            for_review(policy, f"text {number}", content_id=f"c{number}")

            at_once(
                [open_cases, lambda case=case: give_verdict(case=case, action=the_action("allow"), by=by)]
            )

            item = CaseItem.objects.get(decision__content_id=f"c{number}")
            assert item.case == case or item.case.status == CaseStatus.WAITING
            case.refresh_from_db()
            assert case.item_count == case.items.count()


class TestOutage:
    def test_its_cases_are_in_a_queue_of_their_own_that_empties_itself(self, policy):
        rows = [held(policy, f"text {number}", content_id=f"c{number}") for number in range(40)]
        open_cases()
        failures = ReviewQueue.objects.get(name="failures")
        assert waiting().filter(source=CaseSource.FAILURE).count() == 40
        assert take_next(queue=None, by=a_reviewer()) is None
        assert take_next(queue=failures, by=a_reviewer()) is not None

        for number, row in enumerate(rows):
            decided_again(policy, row, "review" if number < 4 else "allow", row.content.text)
        open_cases()
        withdraw_settled_failures()

        assert waiting().count() == 4
        assert set(waiting().values_list("source", flat=True)) == {CaseSource.REVIEW}
        assert Case.objects.filter(status=CaseStatus.WITHDRAWN).count() == 40

    def test_what_a_person_decided_first_stays_decided(self, policy):
        row = held(policy, content_id="c1")
        open_cases()
        by = a_reviewer()
        case = take_next(queue=ReviewQueue.objects.get(name="failures"), by=by)
        finish(give_verdict(case=case, action=the_action("allow"), by=by))

        row.refresh_from_db()
        assert (row.is_held, row.next_try_at) == (False, None)

    def test_what_the_detector_decided_first_stays_decided(self, policy):
        row = held(policy, content_id="c1")
        open_cases()
        by = a_reviewer()
        case = take_next(queue=ReviewQueue.objects.get(name="failures"), by=by)
        decided_again(policy, row, "allow")

        with pytest.raises(StaleState, match="detector is back"):
            give_verdict(case=case, action=the_action("allow"), by=by)

    def test_what_no_detector_came_back_for_is_an_ordinary_case(self, policy):
        row = held(policy)
        open_cases()
        by = a_reviewer()
        case = take_next(queue=ReviewQueue.objects.get(name="failures"), by=by)
        Decision.objects.filter(pk=row.pk).update(is_held=False, next_try_at=None)

        assert give_verdict(case=case, action=the_action("allow"), by=by)

    def test_an_undone_verdict_does_not_give_it_back_to_the_detector(self, policy):
        held(policy)
        open_cases()
        by = a_reviewer()
        case = take_next(queue=ReviewQueue.objects.get(name="failures"), by=by)
        verdict = give_verdict(case=case, action=the_action("allow"), by=by)
        case = undo_verdict(verdict=verdict, by=by)

        assert give_verdict(case=case, action=the_action("remove"), codes=["slurs"], by=by)


class TestAudits:
    @cases("share", small=0.01, large=0.3)
    def test_the_weights_estimate_how_many_there_were(self, share):
        """20,000 draws at scores near and far from a cut-off; the estimate is off by chance only."""
        random.seed(20_000)
        rules = PolicyRules((), "", "", ReviewTerms(audit_share=share))
        rules.__dict__["least_cut_offs"] = {"text": 0.8}
        count, total, variance = 20_000, 0.0, 0.0
        for number in range(count):
            judgement = Judgement(Ruling.ALLOW, (), (), Ruling.ALLOW, "en", 0.8 * number / count, None)
            weight = audit_sample(rules, judgement)
            if weight is not None:
                total += weight
                variance += weight * (weight - 1)

        assert abs(total - count) < 4 * variance**0.5
        assert total != count

    def test_only_what_was_allowed(self, policy):
        rules = PolicyRules((), "", "", ReviewTerms(audit_share=1.0))
        blocked = Judgement(Ruling.BLOCK, (), (), Ruling.BLOCK, "en", None, None)

        assert audit_sample(rules, blocked) is None

    def test_the_weight_goes_with_the_content(self, policy):
        for_review(policy, ruling="allow", evidence=(), audit_weight=20.0)
        open_cases()

        assert CaseItem.objects.get().audit_weight == 20.0
        assert waiting().get().source == CaseSource.AUDIT
