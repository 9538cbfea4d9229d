"""Restricted contents, everywhere where they could show: only people with the right see them."""

import pytest
from django.urls import reverse

from moderation.appeals.services import make_appeal
from moderation.cases.models import Case
from moderation.console.review_search import find_appeals, find_cases, find_reports
from moderation.deciding.findings import Findings
from moderation.reports.services import make_report
from moderation.rights import ModerationRight, ModerationRole
from tests.support.cases import a_case, a_guideline, a_reviewer, decide, finish, person_behind
from tests.support.decision_rows import a_list_policy, a_png
from tests.support.factories import a_key, a_tenant, an_actor

pytestmark = pytest.mark.django_db
SEES = (ModerationRole.LEAD, ModerationRole.CHILD_SAFETY)
SEES_NOT = (ModerationRole.LEAD, ModerationRole.POLICY_EDITOR)
TEXT, REPORTED, APPEALED = "you blockhead, come and meet me", "she wrote to a child", "I never wrote that"
MEET = "come and meet me"
URL = "https://example.org/the/content"


@pytest.fixture
def case():
    """A restricted case with everything that hangs on it."""
    a_guideline("slurs", is_restricted=True)
    return _everything()


@pytest.fixture
def plain_case():
    """The same without a restricted violation: the control."""
    a_guideline("slurs")
    return _everything()


def _everything():
    case = a_case(
        a_list_policy(),
        TEXT,
        content_id="c-1",
        author_id="ann",
        url=URL,
        tenant=a_tenant("shop"),
        pictures=(a_png(),),
        findings=Findings(["text", "image"]),
    )
    report = an_actor(ModerationRight.REPORT)
    decision = case.items.get().decision
    make_report(decision=decision, text=REPORTED, reporter_id="bob", by=report)
    finish(decide(case, "remove", a_reviewer(*SEES)))
    make_appeal(decision=decision, text=APPEALED, by=report)
    return Case.objects.get(pk=case.pk)


def log_in(client, roles):
    by = a_reviewer(*roles)
    client.force_login(person_behind(by))
    return by


def addresses(case):
    decision, (appeal,), (report,) = (
        case.items.get().decision,
        case.verdicts.get().finals.get().appeals.all(),
        case.reports.all(),
    )
    return {
        "decisions": reverse("admin:moderation_decision_changelist"),
        "decisions, searched": reverse("admin:moderation_decision_changelist") + "?q=c-1",
        "decision": reverse("admin:moderation_decision_change", args=[decision.pk]),
        "cases": reverse("admin:moderation_case_changelist"),
        "case": reverse("admin:moderation_case_change", args=[case.pk]),
        "case of the appeal": reverse("admin:moderation_case_change", args=[appeal.case_id]),
        "history": reverse("admin:moderation_case_history", args=[case.pk]),
        "appeals": reverse("admin:moderation_appeal_changelist"),
        "appeal": reverse("admin:moderation_appeal_change", args=[appeal.pk]),
        "reports": reverse("admin:moderation_report_changelist"),
        "report": reverse("admin:moderation_report_change", args=[report.pk]),
        "search": reverse("admin:index") + "search/?q=c-1",
        "search for the author": reverse("admin:index") + "search/?q=ann",
        "team": reverse("admin:moderation_reviewer_changelist"),
        "api": f"/api/v1/decisions/{decision.request_id}",
        "api list": "/api/v1/decisions",
    }


def told(client, case):
    """Which of the words each address tells."""
    words = ("blockhead", MEET, REPORTED, APPEALED, URL)
    texts = {name: client.get(address).content.decode() for name, address in addresses(case).items()}
    return {name: [word for word in words if word in text] for name, text in texts.items()}


def test_others_are_told_nothing(client, case):
    log_in(client, SEES_NOT)

    assert {name: words for name, words in told(client, case).items() if words} == {}


def test_whoever_may_is_told(client, case):
    log_in(client, SEES)

    found = told(client, case)

    assert MEET in found["decision"] and MEET in found["decisions"]
    assert REPORTED in found["report"] and APPEALED in found["appeal"]


def test_without_the_restriction_everybody_is_told(client, plain_case):
    """The control: the same person, the same rows."""
    log_in(client, SEES_NOT)

    found = told(client, plain_case)

    assert {name for name, words in found.items() if words} >= {
        "decisions", "decision", "case", "case of the appeal", "appeals", "appeal", "reports", "report", "api", "api list",
    }  # fmt: skip


def test_the_decision_says_so_and_keeps_its_row(client, case):
    log_in(client, SEES_NOT)

    listed = client.get(addresses(case)["decisions"]).content.decode()
    page = client.get(addresses(case)["decision"]).content.decode()

    assert "restricted" in listed and "c-1" in listed
    assert "This content is restricted" in page
    assert "Evidence" not in page


def test_a_closed_case_of_a_restricted_violation_that_nobody_named(client, plain_case):
    """A case is restricted, whatever its decision's violations are."""
    Case.objects.filter(pk=plain_case.pk).update(is_restricted=True)
    log_in(client, SEES_NOT)

    assert told(client, plain_case)["decision"] == []


def test_pictures(client, case):
    address = reverse("admin:moderation_decision_picture", args=[case.items.get().decision.pk, 0])

    log_in(client, SEES_NOT)
    assert client.get(address).status_code == 403
    log_in(client, SEES)
    assert client.get(address).content == a_png()


def test_pictures_of_others(client, plain_case):
    address = reverse("admin:moderation_decision_picture", args=[plain_case.items.get().decision.pk, 0])

    log_in(client, SEES_NOT)
    assert client.get(address).content == a_png()


@pytest.mark.parametrize("text", ["c-1", "ann", "bob", "number"])
def test_the_search(rf, case, text):
    if text == "number":
        text = str(case.pk)

    def found(roles):
        request = rf.get("/")
        request.actor = a_reviewer(*roles)
        return [hit.title for find in (find_cases, find_appeals, find_reports) for hit in find(request, text)]

    assert found(SEES_NOT) == []
    assert found(SEES)


def test_the_tenants_own_key_reads_what_it_sent(client, case):
    """The application has the content: it sent it."""
    tenant = case.tenant
    key = a_key("moderate", tenant=tenant)[1]
    decision = case.items.get().decision

    response = client.get(
        f"/api/v1/decisions/{decision.request_id}", headers={"Authorization": f"Bearer {key}"}
    )

    assert response.json()["evidence"][0]["text"] == "blockhead"
