"""Appeals: never decided by a person who decided before, never by automation alone, and an overturned one is reversed whole."""

from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.appeals.services import make_appeal
from moderation.cases.models import Case, CaseSource
from moderation.cases.opening import open_cases, withdraw_superseded
from moderation.deciding.models import Awaits
from moderation.errors import NothingToAppeal
from moderation.reports.services import make_report
from moderation.review.finals import latest_final, make_final
from moderation.review.models import FinalDecision, Strike
from moderation.review.taking import hand_over, put_back, take, take_next
from moderation.review.verdicts import decide_many, give_verdict, undo_verdict
from moderation.rights import ModerationRight, ModerationRole
from registry.access.key_ring import Principal
from registry.access.policies import actor_from_key
from registry.errors import Conflict, NotAllowed
from registry.record.models import Event
from tests.support.cases import (
    a_case,
    a_guideline,
    a_reviewer,
    decide,
    finish,
    for_review,
    person_behind,
    the_action,
)
from tests.support.decision_rows import OTHER, a_decision, a_list_policy, listed
from tests.support.detectors import publish_content
from tests.support.factories import an_actor
from tests.support.tables import cases

pytestmark = [pytest.mark.django_db, pytest.mark.both]
APPELLANT = an_actor(ModerationRight.REPORT)


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


def appealed(decision, **more):
    return make_appeal(decision=decision, by=APPELLANT, **more)


def removed(policy, by, **more):
    """A content that this person removed."""
    case = a_case(policy, **{"content_id": "c1", "author_id": "ann", **more})
    finish(decide(case, "remove", by))
    return case.items.get().decision


def blocked(policy, **more):
    """A content that the machine blocked alone."""
    more = {"content_id": "c1", "author_id": "ann", "evidence": (listed(4, 13),), **more}
    return a_decision(policy, "block", text=more.pop("text", "you blockhead"), awaits=Awaits.FINAL, **more)


def refused(appeal, by):
    """By whatever way this person tries to decide it."""
    assert take_next(queue=None, by=by) is None
    with pytest.raises(NotAllowed):
        take(case=appeal.case, by=by)
    with pytest.raises(NotAllowed):
        give_verdict(case=appeal.case, action=the_action("allow"), by=by)
    verdicts, reasons = decide_many(cases=[appeal.case], action=the_action("allow"), by=by)
    assert (verdicts, len(reasons)) == ([], 1)
    other = a_reviewer()
    taken = take(case=appeal.case, by=other)
    with pytest.raises(Conflict):
        hand_over(case=taken, to=person_behind(by), note="For you.", by=other)
    put_back(case=taken, by=other)
    return True


class TestAnotherPerson:
    def test_not_who_decided(self, policy, rita):
        assert refused(appealed(removed(policy, rita)), rita)

    def test_not_who_decided_many_at_once(self, policy, rita):
        case = a_case(policy, content_id="c1")
        verdicts, _ = decide_many(cases=[case], action=the_action("remove"), by=rita)
        finish(verdicts[0])

        assert refused(appealed(case.items.get().decision), rita)

    def test_not_who_undid_a_verdict_and_left_it_to_another(self, policy, rita):
        case = a_case(policy, content_id="c1")
        put_back(case=undo_verdict(verdict=decide(case, "remove", rita), by=rita), by=rita)
        finish(decide(case, "remove", a_reviewer()))

        assert refused(appealed(case.items.get().decision), rita)

    @cases("second", agrees="remove", disagrees="allow")
    def test_not_who_checked_it(self, rita, second):
        policy = a_list_policy(name="twice", review={"second_review_share": 1})
        decision, checker, lead = removed(policy, rita), a_reviewer(), a_reviewer(ModerationRole.LEAD)
        finish(decide(Case.objects.get(source=CaseSource.SECOND_REVIEW), second, checker))
        for disagreement in Case.objects.filter(source=CaseSource.DISAGREEMENT):
            finish(decide(disagreement, "remove", lead))

        appeal = appealed(decision)

        assert refused(appeal, checker)
        assert refused(appeal, rita)
        if second == "allow":
            assert refused(appeal, lead)

    def test_not_who_checked_another_content_of_the_case(self, rita):
        policy = a_list_policy(name="twice", review={"second_review_share": 1})
        for number in range(2):
            for_review(policy, content_id=f"c{number}")
        open_cases()
        case, checker = Case.objects.get(), a_reviewer()
        finish(decide(case, "remove", rita))
        finish(decide(Case.objects.get(source=CaseSource.SECOND_REVIEW), "remove", checker))

        for item in case.items.all():
            assert refused(appealed(item.decision), checker)

    def test_not_who_decided_about_the_same_content_sent_twice(self, policy, rita):
        removed(policy, rita)
        again = removed(policy, a_reviewer())

        assert refused(appealed(again), rita)

    def test_not_who_decides_a_report_of_it_meanwhile(self, policy, rita):
        decision = removed(policy, a_reviewer())
        appeal = appealed(decision)
        report = make_report(decision=decision, by=APPELLANT)
        take(case=report.case, by=rita)
        give_verdict(case=report.case, action=the_action("allow"), by=rita)

        assert refused(appeal, rita)

    def test_not_a_key(self, policy, rita):
        """Nor by a key that the person made."""
        appeal = appealed(removed(policy, rita))
        key = actor_from_key(Principal(1, "mine", 1, "shop", frozenset({"report"}), None, None))

        for by in (key, an_actor()):
            with pytest.raises(NotAllowed):
                give_verdict(case=appeal.case, action=the_action("allow"), by=by)
            with pytest.raises(NotAllowed):
                take_next(queue=None, by=by)

    def test_anybody_else_can(self, policy, rita):
        """Negative control of the tests above."""
        assert decide(appealed(removed(policy, rita)).case, "allow", a_reviewer())


class TestNoAutomation:
    def test_nothing_but_a_verdict_answers_it(self, policy, rita):
        decision = removed(policy, rita, at=timezone.now() - timedelta(hours=1))
        appeal = appealed(decision)

        a_decision(policy, "allow", content_id="c1", text="changed by its author")
        withdraw_superseded()
        open_cases()
        publish_content(policy, {"rules": [OTHER]})
        make_final(now=timezone.now() + timedelta(days=300))

        appeal.refresh_from_db()
        assert (appeal.status, appeal.case.status) == ("open", "waiting")

    def test_what_waits_for_a_detector_does_not_either(self, policy):
        decision = blocked(policy)
        make_final()
        appeal = appealed(decision)
        a_decision(
            policy, content_id="c1", text="you blockhead", redecides=decision, awaits=Awaits.FINAL, at=decision.received_at
        )  # fmt: skip
        make_final()

        appeal.refresh_from_db()
        assert (appeal.status, appeal.case.status) == ("open", "waiting")

    def test_an_undone_verdict_does_not_answer_it(self, policy, rita):
        appeal = appealed(removed(policy, rita))
        other = a_reviewer()
        undo_verdict(verdict=decide(appeal.case, "allow", other), by=other)
        make_final(now=timezone.now() + timedelta(days=1))

        appeal.refresh_from_db()
        assert appeal.status == "open"


class TestOverturned:
    def test_everything_is_reversed(self, policy, rita):
        decision = removed(policy, rita)
        assert Strike.objects.filter(removed_at=None).count() == 1

        finish(decide(appealed(decision).case, "allow", a_reviewer()))

        final = latest_final(decision)
        assert (final.sequence, final.ruling, final.effect, final.statement) == (2, "allow", "none", None)
        assert final.replaces.ruling == "block"
        assert not Strike.objects.filter(removed_at=None).exists()
        events = [one.data for one in Event.objects.filter(kind="decision.final").order_by("pk")]
        assert [(one["sequence"], one["safe"], one["replaces"]) for one in events] == [
            (1, False, None), (2, True, 1),
        ]  # fmt: skip
        answered = Event.objects.get(kind="appeal.answered").data
        assert (answered["status"], answered["contested_sequence"]) == ("overturned", 1)
        # For the report card: the first verdict, and the one that says something else.
        appeal = Appeal.objects.get()
        assert appeal.case.about.ruling == "block"
        assert appeal.case.verdicts.get().ruling == "allow"

    def test_of_a_machine_alone(self, policy):
        decision = blocked(policy)
        finish(decide(appealed(decision).case, "allow", a_reviewer()))

        assert [one.decided_by for one in FinalDecision.objects.order_by("sequence")] == [
            "machine", "machine_and_person",
        ]  # fmt: skip
        assert latest_final(decision).ruling == "allow"

    def test_a_milder_effect_is_a_change(self, policy):
        decision = blocked(policy)
        finish(decide(appealed(decision).case, "limit", a_reviewer()))

        final, appeal = latest_final(decision), Appeal.objects.get()
        assert (final.effect, appeal.status) == ("limit", "overturned")
        assert "fewer people" in appeal.answer["body"]
        assert "appeal free of charge" not in appeal.answer["body"]

    def test_what_another_person_restored_meanwhile_is_not_upheld(self, policy, rita):
        decision = removed(policy, rita)
        appeal, report = appealed(decision), make_report(decision=decision, by=APPELLANT)
        other = a_reviewer()
        take(case=report.case, by=other)
        finish(give_verdict(case=report.case, action=the_action("allow"), by=other))

        finish(decide(appeal.case, "allow", a_reviewer()))

        appeal.refresh_from_db()
        assert appeal.status == "overturned"
        assert "successful" in appeal.answer["subject"]

    def test_what_its_author_made_of_it_since_is_not_allowed_by_it(self, policy, rita):
        """A person allows the content that they saw; the machine has blocked the one that is there now."""
        decision = removed(policy, rita, at=timezone.now() - timedelta(hours=1))
        appeal = appealed(decision)
        newer = blocked(policy, text="blockhead, and worse")
        make_final()

        finish(decide(appeal.case, "allow", a_reviewer()))

        appeal.refresh_from_db()
        assert appeal.status == "overturned"
        assert latest_final(newer).ruling == "block"
        assert not Strike.objects.filter(removed_at=None).exists()

    def test_the_answer_is_in_the_language_of_the_appeal(self, policy, rita):
        decision = removed(policy, rita)
        finish(decide(appealed(decision, language="de").case, "allow", a_reviewer()))

        assert Appeal.objects.get().answer["language"] == "de"


class TestNothingToAppeal:
    def test_an_allowed_content(self, policy):
        with pytest.raises(NothingToAppeal):
            appealed(a_decision(policy, content_id="c1"))

    def test_a_content_that_is_not_restricted_any_more(self, policy, rita):
        decision = removed(policy, rita, at=timezone.now() - timedelta(hours=1))
        newer = a_decision(policy, "allow", content_id="c1", text="changed by its author")

        for one in (decision, newer):
            with pytest.raises(NothingToAppeal):
                appealed(one)

    def test_twice(self, policy, rita):
        decision = removed(policy, rita)
        appealed(decision)

        with pytest.raises(NothingToAppeal, match="before"):
            appealed(decision)

    def test_the_answer_to_an_appeal(self, policy):
        decision = blocked(policy)
        finish(decide(appealed(decision).case, "limit", a_reviewer()))

        with pytest.raises(NothingToAppeal, match="answers an appeal"):
            appealed(decision)

    def test_too_late(self, policy, rita):
        decision = removed(policy, rita)
        FinalDecision.objects.update(made_at=timezone.now() - timedelta(days=184))
        type(decision).objects.update(received_at=timezone.now() - timedelta(days=185))
        decision.refresh_from_db()

        with pytest.raises(NothingToAppeal, match="183 days"):
            appealed(decision)


def test_it_is_as_restricted_as_what_it_is_about(policy):
    a_guideline("slurs")
    a_guideline("abuse", is_restricted=True)
    both = a_reviewer(ModerationRole.REVIEWER, ModerationRole.CHILD_SAFETY)
    decision = a_case(policy, content_id="c1").items.get().decision
    finish(decide(Case.objects.get(), "remove", both, codes=["slurs", "abuse"]))

    appeal = appealed(decision)

    assert appeal.case.is_restricted
    assert take_next(queue=None, by=a_reviewer()) is None
