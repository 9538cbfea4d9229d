"""Pages of cases: who sees which, what leads do, and what second reviewers do not learn."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse, reverse_lazy
from django.utils import timezone

from moderation.appeals.services import make_appeal
from moderation.cases.models import Case, CaseSource
from moderation.cases.transitions import CaseStatus
from moderation.console.case_view import case_context as review_context
from moderation.deciding.models import Decision
from moderation.reports.services import make_report
from moderation.review.models import FinalDecision, Verdict
from moderation.review.taking import hold, take, take_next
from moderation.review.verdicts import decide_many, give_verdict, undo_verdict
from moderation.rights import ModerationRight, ModerationRole
from registry.access.policies import Role
from tests.support.cases import a_case, a_guideline, a_reviewer, decide, finish, person_behind, the_action
from tests.support.decision_rows import a_list_policy
from tests.support.factories import a_person, a_tenant, an_actor

pytestmark = pytest.mark.django_db
LIST = reverse_lazy("admin:moderation_case_changelist")


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def lead(client):
    by = a_reviewer(ModerationRole.LEAD, username="lena")
    client.force_login(person_behind(by))
    return by


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


def address(case, page="change"):
    return reverse(f"admin:moderation_case_{page}", args=[case.pk])


def page_of(client, case):
    response = client.get(address(case))
    assert response.status_code == 200
    return response.content.decode()


def rows(client, **query):
    response = client.get(LIST, query)
    assert response.status_code == 200
    return {case.pk for case in response.context["cl"].result_list}


def act(client, case, verb, **values):
    response = client.post(address(case, verb), values)
    case.refresh_from_db()
    return response


class TestTheList:
    def test_filters(self, client, policy, lead, rita):
        now = timezone.now()
        overdue, mine, escalated = (a_case(policy, f"text {number}") for number in range(3))
        Case.objects.filter(pk=overdue.pk).update(
            due_at=now - timedelta(minutes=1), language="es", code="insults"
        )
        Case.objects.filter(pk=mine.pk).update(
            assigned_to=lead.user_id, on_hold_until=now + timedelta(days=1), is_on_legal_hold=True
        )
        Case.objects.filter(pk=escalated.pk).update(
            is_escalated=True, claimed_by=rita.user_id, claimed_until=now + timedelta(minutes=1)
        )

        assert rows(client) == {overdue.pk, mine.pk, escalated.pk}
        assert rows(client, who="me") == {mine.pk}
        assert rows(client, who="somebody") == {mine.pk, escalated.pk}
        assert rows(client, who="nobody") == {overdue.pk}
        assert rows(client, due="overdue") == {overdue.pk}
        assert rows(client, due="ahead") == {mine.pk, escalated.pk}
        assert rows(client, is_escalated__exact="1") == {escalated.pk}
        assert rows(client, is_on_legal_hold__exact="1") == {mine.pk}
        assert rows(client, language="es") == rows(client, code="insults") == {overdue.pk}

    def test_a_claim_that_ended_is_nobodys(self, client, policy, lead, rita):
        case = a_case(policy)
        ended = timezone.now() - timedelta(seconds=1)
        Case.objects.filter(pk=case.pk).update(claimed_by=rita.user_id, claimed_until=ended)

        assert rows(client, who="nobody") == {case.pk}
        assert "is looking" not in client.get(LIST).content.decode()

    def test_search(self, client, policy, lead):
        case = a_case(policy, "one", content_id="c-1", author_id="ann", tenant=a_tenant())
        a_case(policy, "two", content_id="c-2", author_id="bob")
        request_id = case.items.get().decision.request_id

        for text in ("c-1", "ann", request_id, str(case.pk), f"case {case.pk}", f"#{case.pk}", " c-1 "):
            assert case.pk in rows(client, q=text), text
        assert rows(client, q="c-") == set()
        assert rows(client, q="ann") == {case.pk}

    def test_a_date_that_is_none_stops_nothing(self, client, policy, lead):
        case = a_case(policy)

        assert rows(client, opened_at_from_0="tomorrow-ish", opened_at_to_0="2026-13-99") == {case.pk}

    def test_a_page_takes_few_queries(self, client, policy, lead, rita, django_assert_max_num_queries):
        for number in range(30):
            a_case(policy, f"text {number}")
        for case in Case.objects.all()[:10]:
            decide_case(case, rita)

        with django_assert_max_num_queries(20):
            assert len(rows(client)) == 30

    def test_who_may_open_it(self, client, policy):
        case = a_case(policy)
        client.force_login(a_person(Role.ADMIN))

        assert client.get(LIST).status_code == 403
        assert client.get(address(case)).status_code in {302, 403}


def decide_case(case, by, action="remove", **more):
    return give_verdict(case=take(case=case, by=by), action=the_action(action), by=by, **more)


class TestThePage:
    def test_history(self, client, policy, lead, rita):
        a_guideline(title="Slurs", notices={"en": "Slurs are not allowed."})
        case = a_case(policy, content_id="c-1", author_id="ann")
        verdict = finish(decide(case, "remove", rita, note="Plain to see"))
        final = FinalDecision.objects.get()
        make_report(
            decision=case.items.get().decision, text="I saw <b>this</b>", by=an_actor(ModerationRight.REPORT)
        )

        page = page_of(client, case)

        decision = case.items.get().decision
        assert reverse("admin:moderation_decision_change", args=[decision.pk]) in page
        assert "you blockhead" in page
        assert "rita" in page and "Plain to see" in page
        assert "Slurs are not allowed." in page  # the notice
        assert final.statement["puid"] in page
        assert f'id="rh-statement-{final.pk}"' in page
        assert f'data-copy="#rh-statement-{final.pk}"' in page
        assert verdict.get_status_display().lower() in page

    def test_an_appeal_and_its_case(self, client, policy, lead, rita):
        case = a_case(policy, content_id="c-1", author_id="ann")
        finish(decide(case, "remove", rita))
        appeal = make_appeal(
            decision=case.items.get().decision, text="It was a joke", by=an_actor(ModerationRight.REPORT)
        )

        first, second = page_of(client, case), page_of(client, appeal.case)

        assert address(appeal.case) in first and "It was a joke" in first
        assert address(case) in second and "It was a joke" in second

    def test_texts_are_escaped(self, client, policy, lead):
        page = page_of(client, a_case(policy, "<script>alert(1)</script>"))

        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert" not in page

    def test_an_undone_verdict_is_listed(self, client, policy, lead, rita):
        case = a_case(policy)
        undo_verdict(verdict=decide(case, "limit", rita), by=rita)

        page = page_of(client, case)

        assert "Show to fewer people" in page and "undone" in page

    def test_reviewers_see_no_names_of_others(self, client, policy, rita):
        case = a_case(policy)
        finish(decide(case, "remove", rita))
        client.force_login(a_person(ModerationRole.REVIEWER))
        assert "another person" in page_of(client, case)
        assert "rita" not in page_of(client, case)

        client.force_login(person_behind(rita))
        assert ">you<" in page_of(client, case)


def test_deciding_many_leaves_the_open_case_open(policy, lead):
    open_one, other = a_case(policy, "one"), a_case(policy, "two")
    take(case=open_one, by=lead)

    verdicts, refused = decide_many(cases=[other], action=the_action("allow"), by=lead)

    assert (len(verdicts), refused) == (1, [])
    assert take_next(queue=None, by=lead) == open_one
    open_one.refresh_from_db()
    assert open_one.claimed_by_id == lead.user_id


@pytest.mark.parametrize(
    ("address", "is_link"), [("https://example.org/1", True), ("javascript:alert(1)", False)]
)
def test_only_web_addresses_are_links(policy, rita, address, is_link):
    case = a_case(policy, url=address)

    assert review_context(case, rita)["links_item"] is is_link


class TestSecondReviews:
    @pytest.fixture
    def two(self, client, rita):
        """A decided case, and another that looks at it again."""
        policy = a_list_policy(name="twice", review={"second_review_share": 1})
        first = a_case(policy, content_id="c-1")
        finish(decide(first, "remove", rita))
        return first, Case.objects.get(source=CaseSource.SECOND_REVIEW)

    def test_nobody_learns_the_first_verdict(self, client, two):
        client.force_login(a_person(ModerationRole.REVIEWER))

        for case in two:
            page = page_of(client, case)
            assert "without knowing what was decided" in page
            assert "Remove" not in page
        listed = client.get(LIST).content.decode()
        assert "second review" in listed
        assert ">Remove<" not in listed

    def test_reports_and_appeals_do_not_tell_it(self, client, rita):
        policy = a_list_policy(name="twice", review={"second_review_share": 1})
        first = a_case(policy, content_id="c-1", author_id="ann")
        decision, by = first.items.get().decision, an_actor(ModerationRight.REPORT)
        report = make_report(decision=decision, text="I saw this", by=by)
        finish(decide(first, "remove", rita))
        appeal = make_appeal(decision=decision, text="It was a joke", by=by)
        pages = [
            reverse("admin:moderation_report_change", args=[report.pk]),
            reverse("admin:moderation_appeal_change", args=[appeal.pk]),
        ]
        client.force_login(a_person(ModerationRole.REVIEWER))

        assert [client.get(page).status_code for page in pages] == [302, 302]
        for listed in ("report", "appeal"):
            page = client.get(reverse(f"admin:moderation_{listed}_changelist"))
            assert page.context["cl"].result_count == 0
        assert "I saw this" not in page_of(client, first)
        assert "Remove" not in page_of(client, appeal.case)

        finish(decide(Case.objects.get(source=CaseSource.SECOND_REVIEW), "remove", a_reviewer()))
        assert [client.get(page).status_code for page in pages] == [200, 200]
        assert "I saw this" in page_of(client, first)

    def test_leads_know_it(self, client, two, lead):
        for case in two:
            assert "Remove" in page_of(client, case)
        assert ">Remove<" in client.get(LIST).content.decode()

    def test_everybody_knows_it_afterwards(self, client, two):
        finish(decide(two[1], "remove", a_reviewer()))
        client.force_login(a_person(ModerationRole.REVIEWER))

        for case in two:
            assert "Remove" in page_of(client, case)


class TestRestricted:
    @pytest.fixture
    def restricted(self, policy):
        a_guideline("slurs", is_restricted=True)
        return a_case(policy, "you blockhead", content_id="c-1", author_id="ann")

    def test_it_is_nowhere_for_others(self, client, restricted, lead):
        assert rows(client) == set()
        for query in ("c-1", "ann", str(restricted.pk), restricted.items.get().decision.request_id):
            assert rows(client, q=query) == set()
        assert client.get(address(restricted)).status_code == 302  # there is no such case
        for verb in ("hand_over", "escalate", "legal_hold"):
            assert client.get(address(restricted, verb)).status_code == 404
        decide_page = client.get(reverse("admin:moderation_case_decide"), {"cases": restricted.pk})
        assert "None of these cases waits" in decide_page.content.decode()

    def test_it_is_there_for_those_who_may_see_it(self, client, restricted):
        client.force_login(a_person(ModerationRole.REVIEWER, ModerationRole.CHILD_SAFETY))

        assert rows(client) == rows(client, q="ann") == {restricted.pk}
        page = page_of(client, restricted)
        assert "c-1" in page
        assert "you blockhead" not in page  # it is on the decision's page, where each look is recorded

    def test_another_queue_does_not_show_it(self, client, restricted, lead):
        Case.objects.filter(pk=restricted.pk).update(source=CaseSource.REPORT, is_escalated=True)

        assert rows(client, is_escalated__exact="1") == rows(client, source__exact="report") == set()


class TestLeads:
    def test_hand_over(self, client, policy, lead, rita):
        case = a_case(policy)

        response = act(client, case, "hand_over", to=rita.user_id, reason="Yours")

        assert response.status_code == 302
        assert (case.assigned_to_id, case.note) == (rita.user_id, "Yours")
        assert "rita" in page_of(client, case)
        assert take_next(queue=None, by=rita) == case

    def test_one_that_somebody_looks_at_is_returned_first(self, client, policy, lead, rita):
        case = a_case(policy)
        take_next(queue=None, by=rita)

        refused = client.get(address(case, "hand_over")).content.decode()
        assert "rita is looking at" in refused

        act(client, case, "return", reason="Rita is ill")
        assert case.claimed_by_id is None
        assert (
            act(client, case, "hand_over", to=lead.user_id, reason="Mine").status_code == 200
        )  # not to oneself

    def test_a_hold_is_ended(self, client, policy, lead, rita):
        case = a_case(policy)
        take_next(queue=None, by=rita)
        hold(case=case, until=timezone.now() + timedelta(days=1), note="Asked", by=rita)
        assert "holds it until" in page_of(client, case)

        act(client, case, "return", reason="Rita is ill")

        assert (case.assigned_to_id, case.on_hold_until) == (None, None)

    def test_escalation(self, client, policy, lead):
        case = a_case(policy)

        act(client, case, "escalate", reason="Difficult")
        assert case.is_escalated
        assert "escalated" in page_of(client, case)
        act(client, case, "end_escalation", reason="It is plain")
        assert not case.is_escalated

    def test_legal_hold(self, client, policy, lead):
        case = a_case(policy)

        assert act(client, case, "legal_hold", reason="").status_code == 200  # a reason is needed
        assert not case.is_on_legal_hold
        act(client, case, "legal_hold", reason="A court asked")
        assert case.is_on_legal_hold
        assert "A court asked" in client.get(address(case, "history")).content.decode()
        act(client, case, "end_legal_hold", reason="It is over")
        assert not case.is_on_legal_hold

    @pytest.mark.parametrize(
        "verb", ["hand_over", "return", "escalate", "end_escalation", "legal_hold", "end_legal_hold"]
    )
    def test_reviewers_may_not(self, client, policy, rita, verb):
        case = a_case(policy)
        client.force_login(person_behind(rita))

        assert client.post(address(case, verb), {"reason": "Because"}).status_code == 403
        assert "Hand over" not in page_of(client, case)


class TestDecidingMany:
    def choose(self, client, *cases):
        return client.post(
            LIST, {"action": "decide_selected", "_selected_action": [case.pk for case in cases]}
        )

    def test_one_verdict_for_all(self, client, policy, lead, rita):
        cases = [a_case(policy, f"text {number}") for number in range(3)]
        taken = take_next(queue=None, by=rita)

        chosen = self.choose(client, *cases)
        shown = client.get(chosen["Location"]).content.decode()
        assert all(f"Case {case.pk}: 1 content, slurs" in shown for case in cases)
        response = client.post(chosen["Location"], {"action": "remove", "note": "All of one kind"})

        told = [str(message) for message in get_messages(response.wsgi_request)]
        assert told[-1] == "2 cases decided: Remove."
        assert told[0].startswith(f"Case {taken.pk}: another person is looking at")
        assert set(Verdict.objects.values_list("case", "action__name", "note")) == {
            (case.pk, "remove", "All of one kind") for case in cases if case != taken
        }

    def test_a_violation_for_all(self, client, policy, lead):
        a_guideline("spam")
        cases = [a_case(policy, f"text {number}", evidence=()) for number in range(2)]
        location = self.choose(client, *cases)["Location"]

        response = client.post(location, {"action": "remove"})
        told = [str(message) for message in get_messages(response.wsgi_request)]
        assert len([one for one in told if "which violation" in one]) == 2
        assert not Verdict.objects.exists()

        client.post(location, {"action": "remove", "codes": ["spam"]})
        assert list(Verdict.objects.values_list("codes", flat=True)) == [["spam"], ["spam"]]

    def test_ended_ones_are_left_out(self, client, policy, lead, rita):
        case = a_case(policy)
        finish(decide(case, "allow", rita))

        page = client.get(self.choose(client, case)["Location"]).content.decode()

        assert "None of these cases waits any more" in page
        assert Case.objects.get(pk=case.pk).status == CaseStatus.CLOSED

    def test_odd_numbers_are_ignored(self, client, lead):
        page = client.get(reverse("admin:moderation_case_decide"), {"cases": "x,,9999999999999999999999,-1"})

        assert "None of these cases waits any more" in page.content.decode()

    def test_reviewers_may_not(self, client, policy, rita):
        case = a_case(policy)
        client.force_login(person_behind(rita))

        assert client.post(reverse("admin:moderation_case_decide"), {"action": "remove"}).status_code == 403
        assert "decide_selected" not in client.get(LIST).content.decode()
        self.choose(client, case)
        assert not Verdict.objects.exists()


class TestTenants:
    def test_a_change_does_not_cross_them(self, client, policy, lead):
        """Equal contents of two tenants are two cases, and a verdict on one is none on the other."""
        ours, theirs = a_tenant("ours"), a_tenant("theirs")
        case = a_case(policy, "you blockhead", content_id="same", tenant=ours)
        other = a_case(policy, "you blockhead", content_id="same", tenant=theirs)
        assert case != other

        finish(decide_case(case, lead))

        assert list(FinalDecision.objects.values_list("tenant__slug", "content_key")) == [("ours", "same")]
        assert Case.objects.get(pk=other.pk).status == CaseStatus.WAITING
        assert "Final decisions" not in page_of(client, other)
        assert Decision.objects.filter(tenant=theirs).get().finals.count() == 0
