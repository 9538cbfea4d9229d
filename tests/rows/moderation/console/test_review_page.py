"""The views of the review console: who sees what, which case comes next, and what an answer says."""

from base64 import b64encode
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from moderation.appeals.services import make_appeal
from moderation.cases.models import Case, CaseItem, CaseSource
from moderation.cases.opening import open_cases
from moderation.cases.transitions import CaseStatus
from moderation.console import case_view, review_page
from moderation.reports.models import Report
from moderation.reports.services import make_report
from moderation.review.actions import RESERVED_KEYS
from moderation.review.models import Exposure, Reviewer, Verdict
from moderation.review.taking import take_next
from moderation.review.transitions import VerdictStatus
from moderation.rights import ModerationRight, ModerationRole
from registry.access.policies import Role
from registry.record.models import AuditRecord
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
from tests.support.decision_rows import a_decision, a_list_policy, a_png, listed
from tests.support.factories import a_person, an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]
PAGE = "/admin/moderation/review/"


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


@pytest.fixture
def send(client, rita):
    """Posts as rita, or as whoever logged in since; returns the answer's body."""
    client.force_login(person_behind(rita))

    def send(path, status=200, **fields):
        response = client.post(PAGE + path, fields)
        assert response.status_code == status, response.content
        return response.json()

    return send


def log_in(client, *roles):
    person = a_person(*roles)
    client.force_login(person)
    return person


class TestPage:
    def test_only_reviewers_open_it(self, client):
        log_in(client, Role.ADMIN, ModerationRole.POLICY_EDITOR)

        assert client.get(PAGE).status_code == 403
        assert client.post(f"{PAGE}next/").status_code == 403

    def test_opening_it_takes_no_case(self, client, policy, rita):
        a_case(policy)
        client.force_login(person_behind(rita))

        page = client.get(PAGE).text

        assert "All cases" in page
        assert "blockhead" not in page
        assert not Exposure.objects.exists()

    def test_the_case_that_one_has_is_shown_again(self, client, policy, rita):
        case = a_case(policy)
        take_next(queue=None, by=rita)
        client.force_login(person_behind(rita))

        assert f'data-case="{case.pk}"' in client.get(PAGE).text

    def test_it_is_in_the_sidebar_with_the_number_of_cases(self, client, policy):
        a_case(policy)
        log_in(client, ModerationRole.REVIEWER)

        assert 'title="1 case waits"' in client.get(reverse("admin:index")).text


class TestQueues:
    def test_the_oldest_is_the_oldest(self, client, policy, rita):
        for number, age in enumerate((timedelta(hours=2), timedelta(days=3), timedelta(minutes=5))):
            case = a_case(policy, text=f"you blockhead {number}")
            Case.objects.filter(pk=case.pk).update(opened_at=timezone.now() - age)
        client.force_login(person_behind(rita))

        page = client.get(PAGE).text

        assert "3\xa0days ago" in page
        assert "5\xa0minutes ago" not in page
        assert "<b>3</b> waiting" in page

    def test_leads_see_the_escalated_ones(self, client, policy):
        Case.objects.filter(pk=a_case(policy).pk).update(is_escalated=True)

        log_in(client, ModerationRole.REVIEWER)
        assert "Escalated" not in client.get(PAGE).text
        log_in(client, ModerationRole.LEAD)
        page = client.get(PAGE)
        assert "Escalated" in page.text
        assert page.text.count("<b>1</b> waiting") == 2  # of all cases, too, as leads get them by Enter

    def test_restricted_cases_are_counted_for_those_who_may_see_them(self, client, policy):
        a_guideline(is_restricted=True)
        a_case(policy)

        log_in(client, ModerationRole.REVIEWER)
        assert "<b>1</b> waiting" not in client.get(PAGE).text
        log_in(client, ModerationRole.CHILD_SAFETY)
        assert "<b>1</b> waiting" in client.get(PAGE).text

    def test_a_chosen_queue_is_taken_from(self, send, policy):
        a_case(policy)
        decision = for_review(policy, "something else", ruling="allow", evidence=(), awaits="")
        report = make_report(decision=decision, code="slurs", by=an_actor(ModerationRight.REPORT))

        assert f'data-case="{report.case_id}"' in send("next/", queue="reports")["html"]

    def test_nothing_waits(self, send):
        assert "No cases waiting in “Appeals”" in send("next/", queue="appeals")["html"]
        assert "No cases waiting" in send("next/")["html"]

    def test_a_removed_queue(self, send, policy):
        case = a_case(policy)

        answer = send("next/", queue="gone")

        assert "was removed" in answer["problem"]
        assert f'data-case="{case.pk}"' in answer["html"]

    def test_names_that_no_database_takes(self, send, client, policy):
        case = a_case(policy)

        assert client.get(PAGE, {"queue": "\0"}).status_code == 200
        assert f'data-case="{case.pk}"' in send("next/", queue="\0")["html"]
        assert "no such action" in send(f"cases/{case.pk}/verdict/", 422, action="\0")["detail"]

    def test_counting_takes_the_same_queries_for_many_cases(self, client, policy, rita):
        client.force_login(person_behind(rita))
        client.get(PAGE)
        few = self.queries_of(client)
        for number in range(20):
            for_review(policy, f"you blockhead {number}")
        open_cases()

        assert self.queries_of(client) == few

    def queries_of(self, client):
        with CaptureQueriesContext(connection) as queries:
            client.get(f"{PAGE}queues/")
        return len(queries)


class TestCaseView:
    def test_the_content_with_its_evidence_and_guidance(self, send, policy):
        a_guideline(guidance="Only words against people.")
        a_case(policy, author_id="ann", url="https://example.org/c/1")

        html = send("next/")["html"]

        assert '<mark class="rh-entity rh-found-review">blockhead' in html
        assert "Only words against people." in html
        assert "Slurs" in html
        assert 'href="https://example.org/c/1" target="_blank" rel="noopener noreferrer"' in html
        assert "Nothing is known of this author" in html

    def test_equal_contents_are_listed(self, send, policy):
        for number in range(3):
            for_review(policy, content_id=f"c{number}", author_id=f"author-{number}")
        open_cases()

        html = send("next/")["html"]

        assert "Your verdict is for 3 equal contents" in html
        assert "author-1" in html
        assert "author-2" in html

    def test_the_conversation_is_in_order(self, send, policy):
        now = timezone.now()
        for minutes, text in ((-2, "first words"), (-1, "second words"), (1, "last words")):
            moment = now + timedelta(minutes=minutes)
            for_review(policy, text, ruling="allow", evidence=(), awaits="", thread="t", at=moment)
        for_review(policy, "other thread", ruling="allow", evidence=(), awaits="", thread="u")
        a_case(policy, thread="t", at=now)

        html = send("next/")["html"]

        places = [
            html.index(words) for words in ("first words", "second words", ": this content", "last words")
        ]
        assert places == sorted(places)
        assert "other thread" not in html

    def test_restricted_neighbours_are_only_there_for_those_who_may_see_them(self, send, client, policy):
        a_guideline(is_restricted=True)
        a_case(policy, "secret words", thread="t")
        case = a_case(policy, "open words", thread="t")
        Case.objects.filter(pk=case.pk).update(is_restricted=False)

        assert "secret words" not in send("next/")["html"]
        send(f"cases/{case.pk}/put-back/")
        log_in(client, ModerationRole.CHILD_SAFETY)
        assert "secret words" in send(f"cases/{case.pk}/take/")["html"]

    def test_restricted_neighbours_without_a_case_are_hidden_too_and_looks_are_recorded(
        self, send, client, policy
    ):
        a_guideline(is_restricted=True)
        blocked = a_decision(policy, "block", text="secret words", evidence=(listed(4, 13),), thread="t")
        case = a_case(policy, "open words", thread="t", evidence=())

        html = send("next/")["html"]
        assert "secret words" not in html
        assert "open words" in html
        assert not AuditRecord.objects.filter(action="look_at_restricted").exists()

        send(f"cases/{case.pk}/put-back/")
        log_in(client, ModerationRole.CHILD_SAFETY)
        assert "secret words" in send(f"cases/{case.pk}/take/")["html"]
        assert AuditRecord.objects.get(action="look_at_restricted").object_id == str(blocked.pk)

    def test_restricted_finals_about_the_author(self, send, client, policy):
        guideline = a_guideline()
        finish(decide(a_case(policy, content_id="c1", author_id="ann"), "remove", a_reviewer()))
        case = a_case(policy, "you blockhead again", author_id="ann")
        guideline.is_restricted = True
        guideline.save()

        assert "<b>remove</b>" not in send("next/")["html"]
        send(f"cases/{case.pk}/put-back/")
        log_in(client, ModerationRole.CHILD_SAFETY)
        assert "<b>remove</b>" in send(f"cases/{case.pk}/take/")["html"]

    def test_what_stands_about_the_author(self, send, policy):
        finish(decide(a_case(policy, content_id="c1", author_id="ann"), "remove", a_reviewer()))
        a_case(policy, "you blockhead again", author_id="ann")

        html = send("next/")["html"]

        assert "1 strike" in html
        assert "<b>remove</b>" in html

    def test_equal_content_that_was_decided_before(self, send, client, policy):
        first = a_reviewer(username="first-reviewer")
        finish(decide(a_case(policy, content_id="c1"), "limit", first))
        case = a_case(policy, content_id="c2")

        html = send("next/")["html"]

        assert "Equal content, decided before" in html
        assert "first-reviewer" not in html
        send(f"cases/{case.pk}/put-back/")
        log_in(client, ModerationRole.LEAD)
        assert "first-reviewer" in send(f"cases/{case.pk}/take/")["html"]

    def test_a_second_review_does_not_tell_the_first(self, send):
        policy = a_list_policy(name="twice", review={"second_review_share": 1})
        first = a_reviewer(username="first-reviewer")
        finish(decide(a_case(policy, content_id="c1", author_id="ann"), "limit", first, note="a joke"))
        assert Case.objects.filter(source=CaseSource.SECOND_REVIEW).exists()

        html = send("next/", queue="audits")["html"]

        assert "Second review" in html
        for told in (
            "first-reviewer",
            "a joke",
            "<b>limit</b>",
            "Equal content",
            "<b>Show to fewer people</b>",
        ):
            assert told not in html

    def test_the_authors_record_does_not_tell_it_either(self, send):
        policy = a_list_policy(name="twice", review={"second_review_share": 1})
        first = a_case(policy, content_id="c1", author_id="ann")
        decision, by = first.items.get().decision, an_actor(ModerationRight.REPORT)
        make_report(decision=decision, reporter_id="bob", by=by)
        finish(decide(first, "remove", a_reviewer()))

        html = send("next/", queue="audits")["html"]
        assert "Second review" in html
        assert "Nothing is known of this author." in html
        other = for_review(policy, "another", author_id="ann", awaits="")
        assert case_view._author(first, other, a_reviewer()).strikes == 1

    def test_what_is_known_of_a_reporter(self, policy):
        case, by = a_case(policy), an_actor(ModerationRight.REPORT)
        for number, status in enumerate(("action", "action", "no_action", "dismissed")):
            earlier = for_review(policy, f"text {number}", awaits="")
            report = make_report(decision=earlier, reporter_id="bob", by=by)
            Report.objects.filter(pk=report.pk).update(status=status, answered_at=timezone.now())
        make_report(decision=case.items.get().decision, reporter_id="bob", by=by)

        (shown,) = case_view._reports(case)

        assert (shown.right, shown.answered) == (2, 3)

    def test_a_disagreement_tells_both_verdicts(self, send, client):
        policy = a_list_policy(name="twice", review={"second_review_share": 1})
        finish(decide(a_case(policy, content_id="c1"), "limit", a_reviewer(username="one")))
        finish(decide(Case.objects.get(source=CaseSource.SECOND_REVIEW), "allow", a_reviewer(username="two")))
        log_in(client, ModerationRole.LEAD)

        html = send("next/", queue="escalated")["html"]

        assert "The verdicts that disagree" in html
        assert html.index("one,") < html.index("two,")

    def test_an_appeal_with_what_stands(self, send, client, policy):
        case = a_case(policy, content_id="c1", author_id="ann")
        finish(decide(case, "remove", a_reviewer(username="first-reviewer")))
        decision = case.items.get().decision
        appeal = make_appeal(decision=decision, text="It was a joke.", by=an_actor(ModerationRight.REPORT))

        html = send("next/")["html"]

        assert "It was a joke." in html
        assert "Final decision: <b>remove</b>" in html
        assert "first-reviewer" not in html
        send(f"cases/{appeal.case_id}/put-back/")
        log_in(client, ModerationRole.LEAD)
        assert "first-reviewer" in send(f"cases/{appeal.case_id}/take/")["html"]

    def test_reports_with_how_often_the_reporter_was_right(self, send, policy):
        by = an_actor(ModerationRight.REPORT)
        earlier = for_review(policy, "early words", ruling="allow", evidence=(), awaits="")
        report = make_report(decision=earlier, code="slurs", reporter_id="bob", by=by)
        finish(decide(report.case, "remove", a_reviewer()))
        later = for_review(policy, "late words", ruling="allow", evidence=(), awaits="")
        make_report(decision=later, code="slurs", reporter_id="bob", text="He means me.", by=by)

        html = send("next/")["html"]

        assert "He means me." in html
        assert "right 1 of 1 times" in html

    def test_what_people_write_is_text(self, send, policy):
        hostile = "<img src=x onerror=alert(1)>"
        a_guideline(title=hostile, guidance=hostile)
        more = {"author_id": hostile, "content_id": hostile, "url": "https://example.org/?<b>"}
        decision = for_review(policy, hostile, title=hostile, thread="t", awaits="", ruling="allow", **more)
        for_review(policy, hostile, thread="t", awaits="", ruling="allow", evidence=(), author_id=hostile)
        make_report(decision=decision, code="slurs", text=hostile, by=an_actor(ModerationRight.REPORT))

        html = send("next/")["html"]

        assert "<img" not in html
        assert "<b>" not in html.partition("example.org")[2][:20]
        assert html.count("&lt;img src=x") >= 8

    def test_an_erased_content(self, send, policy):
        case = a_case(policy)
        case.items.get().decision.content.delete()

        assert "not stored any more" in send("next/")["html"]

    def test_many_equal_contents_take_no_more_queries(self, send, policy):
        first = a_case(policy)
        send("next/")
        few = self.queries_of(send, first)
        items = [CaseItem(case=first, decision=for_review(policy, awaits="")) for _ in range(40)]
        CaseItem.objects.bulk_create(items)
        Case.objects.filter(pk=first.pk).update(item_count=41)

        assert self.queries_of(send, first) == few

    def queries_of(self, send, case):
        with CaptureQueriesContext(connection) as queries:
            assert f'data-case="{case.pk}"' in send("next/")["html"]
        return len(queries)


class TestRestricted:
    def test_without_the_right_there_is_no_such_case(self, send, client, policy):
        a_guideline(is_restricted=True)
        case = a_case(policy)

        for verb in ("take", "verdict", "skip", "hold", "escalate", "hand-over", "put-back", "keep"):
            fields = {"action": "allow"} if verb == "verdict" else {}
            assert send(f"cases/{case.pk}/{verb}/", status=404, **fields)["code"] == "unknown_case"
        assert "No cases waiting" in send("next/")["html"]
        assert Case.objects.get().status == CaseStatus.WAITING

        log_in(client, ModerationRole.CHILD_SAFETY)
        assert "looks are recorded" in send("next/")["html"]


class TestPictures:
    @pytest.fixture
    def case(self, policy, monkeypatch):
        """With a picture that is not small."""
        monkeypatch.setattr(case_view, "_INLINE_BYTES", 10)
        return a_case(policy, "", evidence=(), pictures=(a_png(),))

    def test_small_ones_come_with_the_case(self, send, policy):
        a_case(policy, pictures=(a_png(),))

        assert f'<img src="data:image/png;base64,{b64encode(a_png()).decode()}"' in send("next/")["html"]

    def test_what_is_no_picture_is_not_shown(self, send, client, policy):
        case = a_case(policy, pictures=(b"<svg onload=alert(1)>",))

        assert "<svg" not in send("next/")["html"]
        assert client.get(self.address(case)).status_code == 404

    def address(self, case):
        return reverse("review-picture", args=[case.pk, case.items.get().decision_id, 0])

    def test_it_is_shown_to_whoever_has_the_case(self, send, client, case):
        assert client.get(self.address(case)).status_code == 404
        assert self.address(case) in send("next/")["html"]

        answer = client.get(self.address(case))

        assert answer.content == a_png()
        assert answer["Content-Type"] == "image/png"
        assert "no-store" in answer["Cache-Control"]
        send(f"cases/{case.pk}/put-back/")
        assert client.get(self.address(case)).status_code == 404

    def test_pictures_of_other_cases_are_not(self, send, client, policy, case):
        send(f"cases/{case.pk}/take/")
        other = a_case(policy, "something", pictures=(a_png(),))
        decision = other.items.get().decision_id

        assert client.get(reverse("review-picture", args=[case.pk, decision, 0])).status_code == 404


class TestVerdict:
    def test_the_answer_brings_the_next_case(self, send, policy):
        first, second = a_case(policy, "one blockhead"), a_case(policy, "two blockhead")
        send(f"cases/{first.pk}/take/")

        answer = send(f"cases/{first.pk}/verdict/", action="remove", seconds="0.0")

        verdict = Verdict.objects.get()
        assert (verdict.case, verdict.action.name, verdict.codes, verdict.seconds) == (
            first,
            "remove",
            ["slurs"],
            0,
        )
        assert answer["said"] == "Remove: slurs"
        assert answer["undo"]["address"] == f"{PAGE}verdicts/{verdict.pk}/undo/"
        assert 9 < answer["undo"]["for_s"] <= 10
        assert f'data-case="{second.pk}"' in answer["html"]

    def test_another_violation_and_a_note(self, send, policy):
        a_guideline("spam", title="Advertising")
        case = a_case(policy)
        send("next/")

        answer = send(f"cases/{case.pk}/verdict/", action="remove", codes=["spam", "slurs"], note="twice")

        verdict = Verdict.objects.get()
        assert (verdict.codes, verdict.note) == (["spam", "slurs"], "twice")
        assert answer["said"] == "Remove: Advertising, slurs"

    def test_it_can_be_undone(self, send, policy):
        case = a_case(policy)
        a_case(policy, "two blockhead")
        send(f"cases/{case.pk}/take/")
        undo = send(f"cases/{case.pk}/verdict/", action="remove")["undo"]["address"].removeprefix(PAGE)

        assert f'data-case="{case.pk}"' in send(undo)["html"]

        assert Verdict.objects.get().status == VerdictStatus.UNDONE
        assert send(undo, status=409)["code"] == "stale_state"

    def test_nobody_undoes_that_of_another(self, send, client, policy):
        verdict = decide(a_case(policy), "remove", a_reviewer())

        send(f"verdicts/{verdict.pk}/undo/", status=404)

        assert Verdict.objects.get().status == VerdictStatus.PENDING

    def test_undoing_the_last_one_that_the_budget_allowed_gives_it_back(self, send, rita, policy):
        a_guideline(harm=3)
        case = a_case(policy)
        send("next/")
        Reviewer.objects.update(severe_a_day=1)
        undo = send(f"cases/{case.pk}/verdict/", action="remove")["undo"]["address"].removeprefix(PAGE)

        answer = send(undo)

        assert answer["said"] == "Undone. The case is back in its queue."
        case.refresh_from_db()
        assert (case.status, case.claimed_by) == (CaseStatus.WAITING, None)
        assert take_next(queue=None, by=a_reviewer()) == case

    def test_whoever_was_too_late_is_told_and_goes_on(self, send, policy):
        case, other = a_case(policy, "one blockhead"), a_case(policy, "two blockhead")
        send(f"cases/{case.pk}/take/")
        Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
        sam = a_reviewer(username="sam")
        Case.objects.filter(pk=case.pk).update(due_at=timezone.now())
        decide(Case.objects.get(pk=case.pk), "limit", sam)

        answer = send(f"cases/{case.pk}/verdict/", action="remove")

        assert answer["problem"].startswith("sam decided this case first: Show to fewer people")
        assert "undo" not in answer
        assert f'data-case="{other.pk}"' in answer["html"]
        assert Verdict.objects.get().reviewer_name == "sam"

    def test_a_verdict_that_is_sent_twice_is_saved_once(self, send, policy):
        """The connection broke before the answer came."""
        case = a_case(policy)
        send("next/")
        send(f"cases/{case.pk}/verdict/", action="remove")

        answer = send(f"cases/{case.pk}/verdict/", action="remove")

        assert answer["undo"]["address"] == f"{PAGE}verdicts/{Verdict.objects.get().pk}/undo/"
        assert "problem" not in answer

    @pytest.mark.parametrize("seconds", ["", "nan", "-1", "inf", "soon"])
    def test_nonsense_for_a_time_is_measured_here(self, send, policy, seconds):
        case = a_case(policy)
        send("next/")

        send(f"cases/{case.pk}/verdict/", action="remove", seconds=seconds)

        assert 0 <= Verdict.objects.get().seconds < 60

    def test_an_unknown_action(self, send, policy):
        case = a_case(policy)
        send("next/")

        send(f"cases/{case.pk}/verdict/", status=422, action="explode")
        assert "Say which violation" in self.without_a_violation(send, case)

    def without_a_violation(self, send, case):
        Case.objects.filter(pk=case.pk).update(code="")
        return send(f"cases/{case.pk}/verdict/", status=422, action="remove")["detail"]

    def test_the_budget_is_spent(self, send, rita, policy):
        case = a_case(policy)
        a_case(policy, "two blockhead")
        send("next/")
        Reviewer.objects.filter(user_id=rita.user_id).update(minutes_a_day=0)

        answer = send(f"cases/{case.pk}/verdict/", action="remove")

        assert "Daily budget used" in answer["html"]
        assert Verdict.objects.count() == 1


class TestPassingOn:
    @pytest.fixture
    def case(self, send, policy):
        case = a_case(policy)
        send("next/")
        return case

    def test_skip(self, send, case):
        other = a_reviewer()
        assert "Skipped" in send(f"cases/{case.pk}/skip/")["said"]

        assert "No cases waiting" in send("next/")["html"]
        assert take_next(queue=None, by=other) == case

    def test_hold(self, send, case):
        send(f"cases/{case.pk}/hold/", hours="4", note="wait for the author")

        case.refresh_from_db()
        assert timedelta(hours=3.9) < case.on_hold_until - timezone.now() <= timedelta(hours=4)
        assert case.note == "wait for the author"

    @pytest.mark.parametrize("hours", ["", "5", "-1", "100000"])
    def test_hold_for_another_time(self, send, case, hours):
        send(f"cases/{case.pk}/hold/", status=422, hours=hours, note="wait")

        case.refresh_from_db()
        assert case.on_hold_until is None

    def test_escalate(self, send, client, case):
        assert send(f"cases/{case.pk}/escalate/", status=422)["detail"] == "Enter a note."
        send(f"cases/{case.pk}/escalate/", note="I know them")

        log_in(client, ModerationRole.LEAD)
        html = send("next/", queue="escalated")["html"]
        assert f'data-case="{case.pk}"' in html
        assert "I know them" in html

    def test_hand_over(self, send, client, case):
        sam = a_person(ModerationRole.REVIEWER, username="sam")
        assert ">sam</option>" in client.get(PAGE).text

        answer = send(f"cases/{case.pk}/hand-over/", person=sam.pk, note="you speak German")

        assert "Handed over to sam" in answer["said"]
        client.force_login(sam)
        assert "1 case is assigned to you" in client.get(PAGE).text

    def test_hand_over_to_a_superuser(self, send, client, case):
        boss = User.objects.create_superuser("boss")

        assert f'<option value="{boss.pk}">boss</option>' in client.get(PAGE).text
        send(f"cases/{case.pk}/hand-over/", person=boss.pk, note="yours")

        case.refresh_from_db()
        assert case.assigned_to == boss

    def test_hand_over_to_somebody_who_does_not_review(self, send, case):
        viewer = a_person(Role.VIEWER)

        send(f"cases/{case.pk}/hand-over/", status=422, person=viewer.pk, note="please")

    def test_pause(self, send, case):
        answer = send(f"cases/{case.pk}/put-back/")

        assert "Waiting cases" in answer["html"]
        case.refresh_from_db()
        assert case.claimed_by is None

    def test_keep(self, send, case):
        Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now() + timedelta(seconds=20))

        assert 290 <= send(f"cases/{case.pk}/keep/")["left_s"] <= 300

        Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now())
        assert "is not yours any more" in send(f"cases/{case.pk}/keep/", status=409)["detail"]


def test_no_action_may_have_a_key_that_the_page_uses():
    used = {key for key, _ in review_page.KEYS if key.isalpha() and len(key) == 1}

    assert used == set(RESERVED_KEYS)


def test_preferences_are_remembered(send, client, rita):
    send("preferences/", blurs="yes")
    send("preferences/", greys="yes")
    send("preferences/", greys="no")

    reviewer = Reviewer.objects.get(user_id=rita.user_id)
    assert (reviewer.blurs, reviewer.greys) == (True, False)
    assert " data-blurs" in client.get(PAGE).text


def test_the_home_page_leads_to_it(client, policy):
    Case.objects.filter(pk=a_case(policy).pk).update(due_at=timezone.now() - timedelta(hours=1))
    escalated = a_case(policy, "two blockhead")
    Case.objects.filter(pk=escalated.pk).update(is_escalated=True)

    log_in(client, ModerationRole.LEAD)
    page = client.get(reverse("admin:index")).text
    assert page.count(f'href="{PAGE}"') == 2  # in the sidebar, and beside the overdue case
    assert f'href="{PAGE}?queue=escalated"' in page


def test_an_action_for_leads_is_offered_to_leads(send, client, policy):
    action = the_action("limit")
    action.roles = [ModerationRole.LEAD]
    action.save()
    case = a_case(policy)

    assert 'data-action="limit"' not in send("next/")["html"]
    send(f"cases/{case.pk}/put-back/")
    log_in(client, ModerationRole.LEAD)
    assert 'data-action="limit"' in send("next/")["html"]
