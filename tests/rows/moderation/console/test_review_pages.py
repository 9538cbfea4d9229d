"""Pages of what leads set up, of the team, of account actions, appeals and reports; and what home and search say."""

from datetime import timedelta

import pytest
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.appeals.services import make_appeal
from moderation.cases.models import Case, Guideline, Harm, ReviewQueue
from moderation.console import review_attention as attention
from moderation.console.review_search import find_appeals, find_cases, find_reports
from moderation.reports.models import Report
from moderation.reports.services import make_report
from moderation.review.models import AccountProposal, Exposure, ReviewAction, Reviewer, Strike, Verdict
from moderation.review.strikes import weight_of_strikes
from moderation.review.taking import take, take_next
from moderation.review.team import handling_times, hours_of_work, people_at_work
from moderation.rights import ModerationRight, ModerationRole
from registry.record.models import AuditRecord, Event
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
from tests.support.decision_rows import LISTED, OTHER, a_list_policy
from tests.support.factories import a_person, an_actor

pytestmark = pytest.mark.django_db
ROWS = ("guideline", "reviewqueue", "reviewaction", "reviewer", "accountproposal", "appeal", "report", "case")


def url(row, page="changelist", *args):
    return reverse(f"admin:moderation_{row}_{page}", args=args)


@pytest.fixture
def policy():
    return a_list_policy(LISTED, OTHER)


@pytest.fixture
def lead(client):
    by = a_reviewer(ModerationRole.LEAD, username="lena")
    client.force_login(person_behind(by))
    return by


@pytest.fixture
def rita():
    return a_reviewer(username="rita")


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def errors(response):
    assert response.status_code == 200
    form = response.context["adminform"].form
    return " ".join(str(error) for errors in form.errors.values() for error in errors)


@pytest.mark.parametrize("row", ROWS)
def test_empty_lists_say_what_will_be_there(client, lead, row):
    ReviewQueue.objects.all().delete()
    ReviewAction.objects.all().delete()

    page = text_of(client.get(url(row)))

    assert "rh-nothing" in page or "rh-empty" in page


@pytest.mark.parametrize("row", ROWS)
def test_who_may_open_them(client, rita, row):
    for_reviewers = {"guideline", "appeal", "report", "case"}

    client.force_login(person_behind(rita))
    assert (client.get(url(row)).status_code == 200) is (row in for_reviewers)
    client.force_login(a_person("admin"))
    assert client.get(url(row)).status_code == 403


class TestGuidelines:
    VALUES = {
        "code": "slurs", "title": "Slurs", "guidance": "Words that…", "harm": "3", "hours": "8",
        "category": "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH",
        "ground": "Terms, 4.2", "notices": "en: Slurs are not allowed.\nde: Beleidigungen sind verboten.",
    }  # fmt: skip

    def test_undescribed_codes_are_offered(self, client, lead, policy):
        page = text_of(client.get(url("guideline")))
        assert "2 violation codes that policies use have no guideline" in page
        assert f"{url('guideline', 'add')}?code=slurs" in page
        assert 'value="slurs"' in text_of(client.get(url("guideline", "add"), {"code": "slurs"}))

        a_guideline("slurs")
        a_guideline("numbers")
        assert "have no guideline" not in text_of(client.get(url("guideline")))

    def test_one_is_added_and_changed(self, client, lead, policy):
        case = a_case(policy)

        assert client.post(url("guideline", "add"), self.VALUES).status_code == 302
        guideline = Guideline.objects.get()
        assert guideline.notices == {"de": "Beleidigungen sind verboten.", "en": "Slurs are not allowed."}
        assert Case.objects.get(pk=case.pk).harm == Harm.HIGH

        change = url("guideline", "change", guideline.pk)
        assert "en: Slurs are not allowed." in text_of(client.get(change))
        assert client.post(change, {**self.VALUES, "code": "other", "harm": "1"}).status_code == 302
        guideline.refresh_from_db()
        assert (guideline.code, guideline.harm) == ("slurs", Harm.LOW)
        assert Case.objects.get(pk=case.pk).harm == Harm.LOW
        assert AuditRecord.objects.filter(action="change_guideline").count() == 1

    @pytest.mark.parametrize(
        ("notices", "message"),
        [
            ("Slurs are not allowed.", "Line 1 needs a language, a colon and a sentence"),
            ("en: One.\n\nen: Two.", "Line 3 has another sentence in en"),
            ("English: One.", "is no language"),
        ],
        ids=["no colon", "twice", "a name"],
    )
    def test_what_is_wrong_with_sentences_is_said(self, client, lead, notices, message):
        response = client.post(url("guideline", "add"), {**self.VALUES, "notices": notices})

        assert message in errors(response)
        assert not Guideline.objects.exists()

    def test_one_is_removed(self, client, lead):
        guideline = a_guideline("slurs")

        assert client.post(url("guideline", "delete", guideline.pk), {"post": "yes"}).status_code == 302

        assert not Guideline.objects.exists()
        assert AuditRecord.objects.filter(action="remove_guideline").exists()

    def test_restriction_is_not_lifted_by_everybody(self, client, lead):
        guideline = a_guideline("slurs", is_restricted=True)

        response = client.post(url("guideline", "change", guideline.pk), self.VALUES)

        assert "see restricted contents" in errors(response)
        assert Guideline.objects.get().is_restricted

    def test_reviewers_read_them(self, client, rita):
        guideline = a_guideline("slurs", guidance="Words that hurt")
        client.force_login(person_behind(rita))

        assert "Words that hurt" in text_of(client.get(url("guideline", "change", guideline.pk)))
        assert client.post(url("guideline", "change", guideline.pk), self.VALUES).status_code == 403
        assert client.get(url("guideline", "add")).status_code == 403
        assert client.post(url("guideline", "delete", guideline.pk), {"post": "yes"}).status_code == 403


class TestQueues:
    def test_the_oldest_is_the_oldest(self, client, lead, policy):
        now = timezone.now()
        for hours in (2, 50, 1):
            case = a_case(policy, f"text {hours}", language="es")
            Case.objects.filter(pk=case.pk).update(opened_at=now - timedelta(hours=hours))
        client.post(
            url("reviewqueue", "add"),
            {"name": "es", "title": "Spanish", "languages": "ES", "least_harm": "1", "place": "5"},
        )

        for page in (text_of(client.get(url("reviewqueue"))), text_of(client.get(url("reviewer")))):
            row = page[page.rindex(">Spanish<") :]
            row = row[: row.index("</tr>")].replace("\xa0", " ")
            assert "2 days ago" in row
            assert "hour ago" not in row and "hours ago" not in row

    def test_one_is_changed(self, client, lead):
        queue = ReviewQueue.objects.get(name="reports")

        response = client.post(
            url("reviewqueue", "change", queue.pk),
            {
                "title": "Reports",
                "sources": ["report"],
                "languages": "en, es",
                "least_harm": "2",
                "place": "20",
            },
        )

        assert response.status_code == 302
        queue.refresh_from_db()
        assert (queue.languages, queue.least_harm, queue.name) == (["en", "es"], 2, "reports")
        assert "report; medium harm and more; in en, es" in text_of(client.get(url("reviewqueue")))

    def test_one_is_removed_and_nothing_is_lost(self, client, lead, rita, policy):
        queue = ReviewQueue.objects.get(name="reports")
        report = make_report(
            decision=for_review(policy, ruling="allow", evidence=(), awaits=""),
            code="slurs",
            by=an_actor(ModerationRight.REPORT),
        )

        assert client.post(url("reviewqueue", "delete", queue.pk), {"post": "yes"}).status_code == 302

        assert not ReviewQueue.objects.filter(pk=queue.pk).exists()
        assert "Case " + str(report.case_id) in text_of(client.get(url("case")))
        assert take_next(queue=None, by=rita) == report.case

    def test_the_last_one_for_leads_stays(self, client, lead):
        queue = ReviewQueue.objects.get(takes_escalated=True)

        response = client.post(url("reviewqueue", "delete", queue.pk), {"post": "yes"}, follow=True)

        assert "only queue for leads" in text_of(response)
        assert ReviewQueue.objects.filter(pk=queue.pk).exists()


class TestActions:
    VALUES = {
        "name": "adult",
        "title": "Adults only",
        "effect": "label",
        "strike_weight": "0",
        "strike_days": "90",
        "place": "40",
    }

    def test_one_is_added_and_retired(self, client, lead):
        assert client.post(url("reviewaction", "add"), {**self.VALUES, "key": "x"}).status_code == 302
        action = the_action("adult")
        assert url("reviewaction", "retire", action.pk) in text_of(
            client.get(url("reviewaction", "change", action.pk))
        )

        client.post(url("reviewaction", "retire", action.pk), {"reason": "Not used"})

        action.refresh_from_db()
        assert action.is_retired
        assert client.post(url("reviewaction", "change", action.pk), self.VALUES).status_code == 403

    def test_who_has_the_key_is_said(self, client, lead):
        response = client.post(url("reviewaction", "add"), {**self.VALUES, "key": "r"})

        assert "“Remove” has the key r" in errors(response)

    def test_its_name_and_effect_stay(self, client, lead):
        remove = the_action("remove")
        values = {**self.VALUES, "title": "Take down", "key": "r", "roles": ["lead"]}

        assert client.post(url("reviewaction", "change", remove.pk), values).status_code == 302

        remove.refresh_from_db()
        assert (remove.name, remove.effect, remove.title, remove.roles) == (
            "remove",
            "remove",
            "Take down",
            ["lead"],
        )


class TestTheTeam:
    def test_everybodys_day(self, client, lead, rita, policy):
        for number in range(3):
            verdict = decide(a_case(policy, f"text {number}"), "remove", rita)
            Verdict.objects.filter(pk=verdict.pk).update(seconds=10 * (number + 1))
        case = a_case(policy, "held")
        Case.objects.filter(pk=case.pk).update(
            assigned_to=rita.user_id, on_hold_until=timezone.now() + timedelta(days=1)
        )
        Exposure.objects.update(seconds=60, is_severe=True)

        by_name = {one.person.username: one for one in people_at_work(timezone.now())}

        one = by_name["rita"]
        assert (one.verdicts, one.seconds, one.minutes_used, one.severe_used, one.holds) == (3, 20, 3, 3, 1)
        assert one.seen_at is not None
        assert (by_name["lena"].verdicts, by_name["lena"].seconds, by_name["lena"].seen_at) == (0, None, None)
        page = text_of(client.get(url("reviewer")))
        assert "3 of 300" in page and "3 of 60" in page

    def test_a_look_that_has_not_ended_counts(self, lead, rita, policy):
        a_case(policy)
        take_next(queue=None, by=rita)

        (one,) = [one for one in people_at_work(timezone.now()) if one.person.username == "rita"]

        assert one.minutes_used == pytest.approx(5, abs=0.1)

    def test_what_was_opened_and_decided_by_hour(self, rita, policy):
        now = timezone.now()
        cases = [a_case(policy, f"text {number}") for number in range(3)]
        Case.objects.filter(pk=cases[0].pk).update(opened_at=now - timedelta(hours=2))
        Case.objects.filter(pk=cases[1].pk).update(opened_at=now - timedelta(hours=30))
        take(case=cases[1], by=rita)
        finish(decide(cases[1], "allow", rita))

        hours = hours_of_work(now)

        assert len(hours) == 24
        assert [(hour.opened, hour.decided) for hour in hours if hour.opened or hour.decided] == [
            (1, 0),
            (1, 1),
        ]
        assert hours[-3].opened == 1

    def test_handling_times(self, rita, policy):
        for number, code in enumerate(["slurs", "slurs", "slurs", "spam"]):
            verdict = decide(a_case(policy, f"text {number}"), "remove", rita)
            Verdict.objects.filter(pk=verdict.pk).update(seconds=[5, 90, 10, 40][number])
            Case.objects.filter(pk=verdict.case_id).update(code=code)

        times = handling_times(timezone.now(), sees_restricted=True)
        assert [(one.code, one.verdicts, one.seconds) for one in times] == [("spam", 1, 40), ("slurs", 3, 10)]

        Case.objects.filter(code="spam").update(is_restricted=True)
        assert [one.code for one in handling_times(timezone.now(), sees_restricted=False)] == ["slurs"]

    def test_budgets(self, client, lead, rita):
        page = text_of(client.get(url("reviewer")))
        assert f"{url('reviewer', 'add')}?user={rita.user_id}" in page

        values = {"user": rita.user_id, "minutes_a_day": "120", "severe_a_day": "10", "languages": "en, de"}
        assert client.post(url("reviewer", "add"), values).status_code == 302
        reviewer = Reviewer.objects.get()
        assert (reviewer.user_id, reviewer.minutes_a_day, reviewer.languages) == (
            rita.user_id,
            120,
            ["de", "en"],
        )

        change = url("reviewer", "change", reviewer.pk)
        assert client.post(change, {**values, "user": lead.user_id, "minutes_a_day": "90"}).status_code == 302
        reviewer.refresh_from_db()
        assert (reviewer.user_id, reviewer.minutes_a_day) == (rita.user_id, 90)
        assert "no language" in errors(client.post(change, {**values, "languages": "Klingon!"}))

    def test_a_lead_is_told_of_restricted_cases_that_they_do_not_see(self, client, lead, policy):
        case = a_case(policy)
        assert "restricted case" not in text_of(client.get(url("reviewer")))

        Case.objects.filter(pk=case.pk).update(is_restricted=True, due_at=timezone.now())

        assert "1 restricted case waits for people with the role child_safety; 1 overdue." in text_of(
            client.get(url("reviewer"))
        )

    def test_it_takes_few_queries(self, client, lead, policy, django_assert_max_num_queries):
        for _ in range(12):
            a_reviewer()

        with django_assert_max_num_queries(36):
            text_of(client.get(url("reviewer")))


class TestAccountActions:
    @pytest.fixture
    def proposal(self, rita, policy):
        for number in range(3):
            finish(
                decide(
                    a_case(policy, f"text {number}", author_id="ann", content_id=f"c-{number}"),
                    "remove",
                    rita,
                )
            )
        return AccountProposal.objects.get()

    def test_the_strikes_are_listed(self, client, lead, proposal):
        page = text_of(client.get(url("accountproposal", "change", proposal.pk)))

        assert all(f"c-{number}" in page for number in range(3))
        assert "They weigh <b>3</b> now" in page
        assert "ann" in text_of(client.get(url("accountproposal")))

    @pytest.mark.parametrize(
        ("verb", "status", "events"), [("accept", "accepted", 1), ("dismiss", "dismissed", 0)]
    )
    def test_it_is_decided(self, client, lead, proposal, verb, status, events):
        address = url("accountproposal", verb, proposal.pk)
        assert client.post(address, {"reason": ""}).status_code == 200  # a reason is needed

        assert client.post(address, {"reason": "Three in a day"}).status_code == 302

        proposal.refresh_from_db()
        assert (proposal.status, proposal.decided_by, proposal.reason) == (status, "lena", "Three in a day")
        assert Event.objects.filter(kind="account.action").count() == events
        again = text_of(client.post(address, {"reason": "Again"}))
        assert "Another person decided this proposal first" in again

    def test_a_strike_is_removed(self, client, lead, proposal):
        strike = Strike.objects.latest("pk")
        address = reverse("admin:moderation_accountproposal_strike", args=[proposal.pk, strike.pk])
        assert address in text_of(client.get(url("accountproposal", "change", proposal.pk)))

        assert client.post(address, {"reason": "A misunderstanding"}).status_code == 302

        assert weight_of_strikes(None, "ann") == 2
        assert address not in text_of(client.get(url("accountproposal", "change", proposal.pk)))

    def test_another_authors_strike_is_not(self, client, lead, rita, policy, proposal):
        finish(decide(a_case(policy, "by another", author_id="bob"), "remove", rita))
        strike = Strike.objects.get(author_id="bob")

        address = reverse("admin:moderation_accountproposal_strike", args=[proposal.pk, strike.pk])

        assert client.post(address, {"reason": "Because"}).status_code == 404
        assert weight_of_strikes(None, "bob") == 1

    def test_what_a_restricted_strike_is_for_is_hidden(self, client, lead, proposal):
        hidden = Strike.objects.latest("pk")
        Case.objects.filter(pk=hidden.final.verdict.case_id).update(is_restricted=True)

        page = text_of(client.get(url("accountproposal", "change", proposal.pk)))

        assert "restricted" in page
        assert f">{hidden.final.content_key}<" not in page
        assert ">c-0<" in page


class TestAppealsAndReports:
    @pytest.fixture
    def both(self, rita, policy):
        case = a_case(policy, content_id="c-1", author_id="ann")
        finish(decide(case, "remove", rita))
        decision, by = case.items.get().decision, an_actor(ModerationRight.REPORT)
        reported = for_review(policy, "other", ruling="allow", evidence=(), awaits="", content_id="c-2")
        return make_appeal(decision=decision, text="It was a joke", by=by), make_report(
            decision=reported, text="I saw this", reporter_id="bob", by=by
        )

    def test_pages(self, client, lead, both):
        for row in both:
            page = text_of(client.get(url(row._meta.model_name, "change", row.pk)))
            assert row.text in page
            assert url("case", "change", row.case_id) in page
            assert "Nobody has answered it yet." in page

    def test_they_are_read_only(self, client, lead, both):
        for row in both:
            assert client.post(url(row._meta.model_name, "change", row.pk), {"text": "x"}).status_code == 405

    def test_answers(self, client, lead, both):
        for row in both:
            finish(decide(row.case, "allow", a_reviewer()))
            row.refresh_from_db()
            page = text_of(client.get(url(row._meta.model_name, "change", row.pk)))
            assert row.answer["subject"] in page

    def test_overdue_ones_are_first(self, client, lead, both, policy):
        first = both[1]
        for number in range(3):
            decision = for_review(policy, f"text {number}", ruling="allow", evidence=(), awaits="")
            make_report(decision=decision, by=an_actor(ModerationRight.REPORT))
        Report.objects.filter(pk=first.pk).update(due_at=timezone.now() - timedelta(minutes=1))

        response = client.get(url("report"))

        assert response.context["cl"].result_list[0].pk == first.pk
        overdue = client.get(url("report"), {"due": "overdue"})
        assert [row.pk for row in overdue.context["cl"].result_list] == [first.pk]

    def test_who_decided_is_for_leads(self, client, lead, both):
        address = url("appeal", "change", both[0].pk)
        assert "rita" in text_of(client.get(address))

        client.force_login(a_person(ModerationRole.REVIEWER))
        assert "rita" not in text_of(client.get(address))


class TestHomeAndSearch:
    def sentences(self, by):
        sources = (
            attention.overdue_cases,
            attention.escalated_cases,
            attention.overdue_appeals,
            attention.overdue_reports,
            attention.open_proposals,
        )
        return [item.sentence for source in sources for item in source(by)]

    def test_attention(self, lead, rita, policy):
        assert self.sentences(lead) == []
        case = a_case(policy, content_id="c-1", author_id="ann")
        finish(decide(case, "remove", rita))
        decision, by = case.items.get().decision, an_actor(ModerationRight.REPORT)
        make_appeal(decision=decision, by=by)
        make_report(decision=for_review(policy, "other", awaits=""), by=by)
        AccountProposal.objects.create(author_id="ann", action=the_action("suspend"), weight=3)
        past = timezone.now() - timedelta(minutes=1)
        for rows in (Case, Appeal, Report):
            rows.objects.update(due_at=past)
        Case.objects.filter(source="report").update(is_escalated=True)

        assert self.sentences(lead) == [
            "2 cases are overdue.",
            "1 escalated case waits for a lead.",
            "1 appeal is overdue.",
            "1 report is overdue.",
            "1 proposed account action waits for a lead.",
        ]
        assert self.sentences(rita) == [
            "2 cases are overdue.",
            "1 appeal is overdue.",
            "1 report is overdue.",
        ]
        assert self.sentences(an_actor(ModerationRight.READ_DECISIONS)) == []
        Case.objects.update(is_restricted=True)
        assert self.sentences(lead) == ["1 proposed account action waits for a lead."]

    def test_since_when_is_since_the_oldest(self, lead, policy):
        now = timezone.now()
        for minutes in (5, 50, 1):
            Case.objects.filter(pk=a_case(policy, f"text {minutes}").pk).update(
                due_at=now - timedelta(minutes=minutes)
            )

        (item,) = attention.overdue_cases(lead)

        assert item.since == now - timedelta(minutes=50)

    def test_search(self, lead, rita, policy):
        case = a_case(policy, content_id="c-1", author_id="ann")
        finish(decide(case, "remove", rita))
        decision, by = case.items.get().decision, an_actor(ModerationRight.REPORT)
        appeal = make_appeal(decision=decision, by=by)
        report = make_report(decision=decision, reporter_id="bob", by=by)
        request = RequestFactory().get("/")
        request.actor = rita

        def found(find, text):
            return [hit.title for hit in find(request, text)]

        assert set(found(find_cases, "ann")) == {
            f"Case {case.pk}",
            f"Case {appeal.case_id}",
            f"Case {report.case_id}",
        }
        assert (
            found(find_appeals, f"appeal {appeal.pk}")
            == found(find_appeals, "c-1")
            == [f"Appeal {appeal.pk}"]
        )
        assert (
            found(find_reports, f"report {report.pk}")
            == found(find_reports, "bob")
            == [f"Report {report.pk}"]
        )
        request.actor = an_actor(ModerationRight.READ_DECISIONS)
        assert found(find_cases, "ann") == found(find_appeals, "c-1") == found(find_reports, "bob") == []
