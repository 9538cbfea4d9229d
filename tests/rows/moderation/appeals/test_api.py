"""Appeals over HTTP."""

from datetime import timedelta

import pytest
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.review.models import FinalDecision
from registry.access.keys import ring
from tests.support.cases import a_case, a_reviewer, cases, decide, finish
from tests.support.clients import by_key, client_for, client_with
from tests.support.decision_rows import a_decision, a_list_policy, listed
from tests.support.factories import a_key, a_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.both]
URL = "/api/v1/appeals"


@pytest.fixture
def tenant():
    ring.clear()
    return a_tenant("shop")


@pytest.fixture
def policy():
    return a_list_policy()


@pytest.fixture
def author(tenant):
    return by_key(a_key("report", tenant=tenant)[1])


@pytest.fixture
def removed(policy, tenant):
    """The decision about a content that a person removed."""
    case = a_case(policy, content_id="c1", author_id="ann", tenant=tenant)
    finish(decide(case, "remove", a_reviewer(username="rita")))
    return case.items.get().decision


def _reason(answer):
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_appeal"), answer.content
    return answer.json()["detail"]


def test_one_is_made_and_answered(author, removed):
    made = author.post(URL, {"content_id": "c1", "text": "It was a joke.", "language": "fr"})

    assert made.status_code == 201, made.content
    appeal = made.json()
    assert made["Location"] == f"{URL}/{appeal['id']}"
    assert (appeal["status"], appeal["author_id"], appeal["contested_sequence"]) == ("open", "ann", 1)
    assert author.get(made["Location"]).json() == appeal
    finish(decide(Appeal.objects.get().case, "remove", a_reviewer()))
    shown = author.get(made["Location"]).json()
    assert (shown["status"], shown["answer"]["language"]) == ("confirmed", "fr")
    assert author.get(URL, {"author_id": "ann"}).json()["results"] == [shown]
    assert author.get(URL, {"author_id": "bob"}).json()["results"] == []


def test_nothing_but_the_content_is_needed(author, removed):
    assert author.post(URL, {"request_id": removed.request_id}).status_code == 201


def test_a_second_one_is_refused(author, removed):
    author.post(URL, {"content_id": "c1"})

    assert "appealed before" in _reason(author.post(URL, {"content_id": "c1"}))
    assert Appeal.objects.count() == 1


def test_nothing_restricts_it(author, policy, tenant):
    a_decision(policy, content_id="c2", tenant=tenant)

    assert "Nothing restricts" in _reason(author.post(URL, {"content_id": "c2"}))


def test_nothing_restricts_what_its_author_changed_since(author, policy, tenant, removed):
    a_decision(policy, content_id="c1", tenant=tenant)

    assert "Nothing restricts" in _reason(author.post(URL, {"content_id": "c1"}))
    assert "author has changed" in _reason(author.post(URL, {"request_id": removed.request_id}))


def test_it_is_too_late(author, removed):
    FinalDecision.objects.update(made_at=timezone.now() - timedelta(days=184))
    type(removed).objects.update(received_at=timezone.now() - timedelta(days=185))

    assert "183 days" in _reason(author.post(URL, {"content_id": "c1"}))


def test_of_a_machines_block_before_it_is_written_as_final(author, policy, tenant):
    a_decision(policy, "block", evidence=(listed(0, 9),), content_id="c3", tenant=tenant, awaits="final")

    assert author.post(URL, {"content_id": "c3"}).status_code == 201


def test_an_unknown_content(author):
    answer = author.post(URL, {"content_id": "c9"})

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_decision")


def test_another_tenants_content_is_unknown(removed):
    stranger = client_with("report")

    assert stranger.post(URL, {"content_id": "c1"}).status_code == 404
    assert stranger.post(URL, {"request_id": removed.request_id}).status_code == 404


def test_appeals_of_another_tenant_are_not_shown(author, removed):
    appeal = author.post(URL, {"content_id": "c1"}).json()
    stranger = client_with("report")

    assert stranger.get(URL).json()["results"] == []
    assert stranger.get(f"{URL}/{appeal['id']}").json()["code"] == "unknown_appeal"
    assert author.get(URL).json()["results"] == [appeal]


@cases(
    "body",
    nothing={},
    two_names={"content_id": "c1", "request_id": "x"},
    long_text={"content_id": "c1", "text": "x" * 5_001},
    language={"content_id": "c1", "language": "!"},
)
def test_what_is_wrong_is_refused(author, removed, body):
    assert author.post(URL, body).status_code == 422
    assert not Appeal.objects.exists()


def test_a_repeated_request_is_one_appeal(author, removed):
    headers = {"Idempotency-Key": "once"}

    first, again = (author.post(URL, {"content_id": "c1"}, headers=headers) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()


def test_it_needs_the_scope(tenant, removed):
    assert client_with("moderate", tenant=tenant).post(URL, {"content_id": "c1"}).status_code == 403
    assert client_for("lead").get(URL).status_code == 401
