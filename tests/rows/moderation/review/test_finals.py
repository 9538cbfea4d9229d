"""What stands: in order for each content, never because of something that holds up all others, and told once."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from moderation.cases import opening
from moderation.cases.models import Case, CaseSource
from moderation.cases.opening import open_cases
from moderation.deciding.models import Awaits
from moderation.review import finals
from moderation.review.finals import latest_final, make_final, stand_now
from moderation.review.models import AccountProposal, FinalDecision, ReviewAction, Strike, Verdict
from moderation.review.restrictions import StatementCategory
from moderation.review.statements import check_statement
from moderation.review.strikes import active_strikes, decide_proposal, weight_of_strikes
from moderation.review.verdicts import decide_many
from moderation.rights import ModerationRole
from registry.errors import Conflict, NotAllowed, StaleState
from registry.record import leases
from registry.record.models import Delivery, Event, Subscription
from tests.support.cases import a_case, a_guideline, a_reviewer, decide, finish, for_review, the_action
from tests.support.decision_rows import a_decision, a_list_policy, listed

pytestmark = [pytest.mark.django_db, pytest.mark.both]
HOUR = timedelta(hours=1)


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


def blocked(policy, **more):
    return a_decision(policy, "block", evidence=(listed(4, 13),), awaits=Awaits.FINAL, **more)


class TestOrder:
    def test_what_its_author_changed_since_is_not_restricted_by_a_verdict(self, policy, rita):
        case = a_case(policy, content_id="c1", at=timezone.now() - HOUR)
        verdict = decide(case, "remove", rita)
        a_decision(policy, content_id="c1", text="changed by its author")
        finish(verdict)

        assert not FinalDecision.objects.exists()
        assert not Event.objects.filter(kind="decision.final").exists()

    def test_the_same_content_sent_again_is(self, policy, rita):
        case = a_case(policy, content_id="c1", at=timezone.now() - HOUR)
        verdict = decide(case, "remove", rita)
        a_decision(policy, content_id="c1", text="you blockhead")
        finish(verdict)

        assert FinalDecision.objects.get().ruling == "block"

    def test_a_detector_that_is_late_changes_nothing_newer(self, policy):
        """The first content waited for a detector; the second one was blocked meanwhile."""
        first = a_decision(policy, "review", content_id="c1", text="fine", at=timezone.now() - HOUR)
        newer = blocked(policy, content_id="c1", text="you blockhead")
        make_final()
        a_decision(
            policy, content_id="c1", text="fine", redecides=first, at=first.received_at, awaits=Awaits.FINAL
        )
        make_final()

        assert latest_final(newer).decision == newer
        assert not Event.objects.filter(kind="decision.final").exists()

    def test_two_that_wait_together_are_in_the_order_of_their_arrival(self, policy):
        newer = blocked(policy, content_id="c1", text="two")
        older = blocked(policy, content_id="c1", text="one", at=timezone.now() - HOUR)
        make_final()

        assert [one.decision for one in FinalDecision.objects.order_by("sequence")] == [older, newer]
        assert all(check_statement(one.statement) == [] for one in FinalDecision.objects.all())

    def test_a_verdict_that_is_final_at_the_same_moment_is_waited_for(self, policy, monkeypatch):
        decision, stand, failed = blocked(policy, content_id="c1"), finals._stand, []

        def fail_once(ids):
            if not failed:
                failed.append(ids)
                raise IntegrityError("final_sequence_of_nobody")
            return stand(ids)

        monkeypatch.setattr(finals, "_stand", fail_once)
        stand_now(decision)

        assert latest_final(decision).ruling == "block"


class TestPoison:
    """Something is wrong with one of them: a column that a restored backup, or a release of tomorrow, has filled."""

    def test_a_verdict_holds_up_no_other(self, policy, rita, monkeypatch):
        bad, good = (
            decide(a_case(policy, text, content_id=text), "remove", rita) for text in ("bad", "good")
        )
        Verdict.objects.filter(pk=bad.pk).update(final_at=bad.final_at - HOUR)
        Case.objects.filter(pk=bad.case_id).update(status="closed", ended_at=timezone.now())

        assert finish(good).status == "final"

        bad.refresh_from_db()
        assert bad.status == "pending"

    def test_a_decision_holds_up_no_other(self, policy):
        bad, good = (blocked(policy, content_id=one, text=one) for one in ("bad", "good"))
        type(bad).objects.filter(pk=bad.pk).update(findings=b"nonsense")

        assert make_final() == 1

        assert (latest_final(bad), latest_final(good).ruling) == (None, "block")

    def test_a_category_that_nobody_knows_any_more_is_another_one(self, policy, rita):
        a_guideline(category="STATEMENT_CATEGORY_OF_YESTERDAY")
        finish(decide(a_case(policy), "remove", rita))

        assert FinalDecision.objects.get().statement["category"] == StatementCategory.OTHER

    def test_another_process_has_the_lease(self, policy):
        blocked(policy)
        leases.claim("moderation.finals", holder="another", for_s=60)

        assert make_final() == 0


class TestSecondReview:
    @pytest.fixture
    def policy(self):
        return a_list_policy(name="twice", review={"second_review_share": 1})

    def test_a_disagreement_is_about_all_contents_of_the_case(self, policy, rita):
        for number in range(3):
            for_review(policy, content_id=f"c{number}", author_id="ann")
        open_cases()
        finish(decide(Case.objects.get(), "remove", rita))
        assert (
            Strike.objects.filter(removed_at=None).count() == 1
        )  # for the verdict, however often it was said
        finish(decide(Case.objects.get(source=CaseSource.SECOND_REVIEW), "allow", a_reviewer()))

        lead = a_reviewer(ModerationRole.LEAD)
        finish(decide(Case.objects.get(source=CaseSource.DISAGREEMENT), "allow", lead))

        assert FinalDecision.objects.filter(sequence=2, ruling="allow").count() == 3
        assert not Strike.objects.filter(removed_at=None).exists()

    def test_one_that_agrees_with_the_first_changes_nothing(self, policy, rita):
        finish(decide(a_case(policy, content_id="c1"), "remove", rita))
        finish(decide(Case.objects.get(source=CaseSource.SECOND_REVIEW), "allow", a_reviewer()))
        finish(decide(Case.objects.get(source=CaseSource.DISAGREEMENT), "remove", a_reviewer("lead")))

        assert FinalDecision.objects.get().verdict.reviewer_name == "rita"

    def test_agreement_opens_nothing(self, policy, rita):
        finish(decide(a_case(policy), "remove", rita))
        finish(decide(Case.objects.get(source=CaseSource.SECOND_REVIEW), "remove", a_reviewer()))

        assert not Case.objects.filter(source=CaseSource.DISAGREEMENT).exists()

    def test_it_is_as_restricted_as_the_verdict(self, policy, rita):
        a_guideline("abuse", is_restricted=True)
        finish(decide(a_case(policy), "remove", rita, codes=["abuse"]))

        assert Case.objects.get(source=CaseSource.SECOND_REVIEW).is_restricted

    def test_a_tenth_is_about_a_tenth(self, rita):
        policy = a_list_policy(name="tenth", context="tenth", review={"second_review_share": 0.1})
        for number in range(100):
            for_review(policy, f"text {number}")
        open_cases()
        decide_many(cases=list(Case.objects.all()), action=the_action("allow"), by=rita)
        make_final(now=timezone.now() + HOUR)

        assert 1 <= Case.objects.filter(source=CaseSource.SECOND_REVIEW).count() <= 25


class TestStrikes:
    def restrict(self, policy, by, number, action="remove"):
        case = a_case(policy, f"text {number}", content_id=f"c{number}", author_id="ann")
        return finish(decide(case, action, by))

    def test_they_add_up_to_a_proposal_that_a_lead_accepts(self, policy, rita):
        for number in range(3):
            assert not AccountProposal.objects.exists()
            self.restrict(policy, rita, number)
        proposal = AccountProposal.objects.get()
        assert (proposal.action.name, proposal.weight, proposal.status) == ("suspend", 3.0, "open")

        with pytest.raises(NotAllowed):
            decide_proposal(proposal=proposal, is_accepted=True, reason="Enough.", by=rita)
        lead = a_reviewer(ModerationRole.LEAD)
        decide_proposal(proposal=proposal, is_accepted=True, reason="Enough.", by=lead)
        with pytest.raises(StaleState):
            decide_proposal(proposal=proposal, is_accepted=False, reason="No.", by=lead)

        event = Event.objects.get(kind="account.action")
        assert event.data["author_id"] == "ann"
        assert (event.data["effect"], event.data["strikes"]) == ("suspend", 3.0)

    def test_a_dismissed_one_is_told_to_nobody(self, policy, rita):
        for number in range(3):
            self.restrict(policy, rita, number)
        lead = a_reviewer(ModerationRole.LEAD)
        decide_proposal(proposal=AccountProposal.objects.get(), is_accepted=False, reason="No.", by=lead)

        assert not Event.objects.filter(kind="account.action").exists()

    def test_reversed_ones_do_not_close_an_account(self, policy, rita):
        for number in range(3):
            self.restrict(policy, rita, number)
        Strike.objects.filter(pk=Strike.objects.first().pk).update(removed_at=timezone.now())

        lead, proposal = a_reviewer(ModerationRole.LEAD), AccountProposal.objects.get()
        with pytest.raises(Conflict, match="2 are left of 3"):
            decide_proposal(proposal=proposal, is_accepted=True, reason="Enough.", by=lead)
        assert (
            decide_proposal(proposal=proposal, is_accepted=False, reason="No.", by=lead).status == "dismissed"
        )

    def test_expired_ones_do_not_count(self, policy, rita):
        self.restrict(policy, rita, 1)
        Strike.objects.update(expires_at=timezone.now())

        assert weight_of_strikes(None, "ann") == 0.0

    def test_of_another_tenant_or_author_do_not_count(self, policy, rita):
        self.restrict(policy, rita, 1)

        assert active_strikes(None, "ann").count() == 1
        assert active_strikes(None, "bob").count() == 0
        assert active_strikes(7, "ann").count() == 0

    def test_what_an_author_changed_and_broke_again_counts_twice(self, policy, rita):
        for text in ("one", "two"):
            finish(decide(a_case(policy, text, content_id="c1", author_id="ann"), "remove", rita))

        assert weight_of_strikes(None, "ann") == 2.0

    def test_an_action_without_a_weight_adds_none(self, policy, rita):
        self.restrict(policy, rita, 1, "limit")

        assert not Strike.objects.exists()


class TestTelling:
    def test_the_actions_own_callback_is_told_besides_subscribers(self, policy, rita):
        everybody = Subscription.objects.create(
            name="all", url="http://a.example", secret_salt="a", kinds=["decision.final"]
        )
        Subscription.objects.create(name="no kinds", url="http://c.example", secret_salt="c")  # not told
        callback = Subscription.objects.create(
            name="callback", url="http://b.example", secret_salt="b", kinds=["split_changed"]
        )
        ReviewAction.objects.filter(name="remove").update(subscription=callback)
        for number, action in enumerate(("remove", "allow")):
            finish(decide(a_case(policy, f"text {number}", content_id=f"c{number}"), action, rita))

        sent = Delivery.objects.filter(event__kind="decision.final").order_by("pk")
        assert [(one.subscription, one.event.data["action"]) for one in sent] == [
            (everybody, "remove"), (callback, "remove"), (everybody, "allow"),
        ]  # fmt: skip
        assert {one.order_key for one in sent} == {"content::c0", "content::c1"}

    def test_a_restored_content_that_nobody_appealed_has_no_notice_of_an_appeal(self, policy, rita):
        case = a_case(policy, content_id="c1")
        finish(decide(case, "remove", rita))
        again = a_case(policy, content_id="c1")
        finish(decide(again, "allow", rita))

        assert latest_final(case.items.get().decision).notice is None


class TestCrash:
    """The process dies after the verdict was made final, and before anybody was told."""

    @pytest.fixture
    def dying(self, monkeypatch):
        def die(*_):
            raise SystemExit

        monkeypatch.setattr(finals, "_tell", die)

    @pytest.mark.django_db(transaction=True)
    def test_the_next_process_makes_it_final_and_tells(self, policy, rita, dying, monkeypatch):
        verdict = decide(a_case(policy, content_id="c1"), "remove", rita)
        with pytest.raises(SystemExit):
            finish(verdict)
        assert not FinalDecision.objects.exists()

        monkeypatch.undo()
        finish(verdict)

        assert FinalDecision.objects.count() == 1
        assert Event.objects.filter(kind="decision.final").count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_without_one_transaction_nobody_would_be_told(self, policy, rita, dying, monkeypatch):
        """Negative control."""
        verdict = decide(a_case(policy, content_id="c1"), "remove", rita)
        monkeypatch.setattr(finals, "_finish", finals._finish.__wrapped__)
        with pytest.raises(SystemExit):
            finish(verdict)

        monkeypatch.undo()
        finish(verdict)

        assert FinalDecision.objects.count() == 1
        assert not Event.objects.filter(kind="decision.final").exists()

    @pytest.mark.django_db(transaction=True)
    def test_no_case_is_lost_or_doubled_while_they_are_opened(self, policy, monkeypatch):
        for number in range(5):
            for_review(policy, f"text {number}")
        join = opening._join

        def die(*_):
            raise SystemExit

        monkeypatch.setattr(opening, "_join", die)
        with pytest.raises(SystemExit):
            open_cases()
        assert not Case.objects.exists()

        monkeypatch.setattr(opening, "_join", join)
        assert open_cases() == 5
        assert Case.objects.count() == 5
