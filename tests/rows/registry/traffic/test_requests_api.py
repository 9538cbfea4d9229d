"""Asking and deciding over HTTP."""

import pytest

from registry.access.policies import Role
from registry.traffic.models import SplitRequest
from tests.rows.registry.traffic.two_people import a_guarded_model, ask
from tests.support.clients import client_for
from tests.support.factories import a_live_model, a_model, a_split, a_version, an_actor
from tests.support.tables import cases

V1 = "/api/v1/models"
pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    return client_for(Role.OPERATOR, username="olga")


@pytest.fixture
def approver():
    return client_for(Role.APPROVER, username="anna")


@pytest.fixture
def model():
    return a_guarded_model()


def path(model, *rest):
    return "/".join([V1, model.slug, "requests", *map(str, rest)])


@pytest.fixture
def asked(operator, model):
    return operator.post(path(model), BODY)


BODY = {"arms": [{"version": 1, "share": 9_000}, {"version": 2, "share": 1_000}], "comment": "try 2"}


def test_a_split_that_needs_two_people_says_where_to_ask(operator, model):
    refused = operator.post(f"{V1}/{model.slug}/splits", {"arms": BODY["arms"], "reason": "try 2"})

    assert (refused.status_code, refused.json()["code"]) == (409, "approval_needed")
    assert f"POST {path(model)}" in refused.json()["detail"]


def test_one_asks_and_another_approves(operator, approver, model):
    asked = operator.post(path(model), BODY)

    assert asked.status_code == 201
    assert asked["Location"] == path(model, asked.json()["id"])
    shown = operator.get(asked["Location"])
    assert shown.json() == asked.json()
    assert shown["ETag"] == asked["ETag"]
    assert (asked.json()["status"], asked.json()["arms"]) == ("open", BODY["arms"])
    assert (asked.json()["asked_by"], asked.json()["split"]) == ("olga", None)
    assert {gate["name"] for gate in asked.json()["gates"]} >= {"checks", "signature"}

    decided = approver.post(f"{asked['Location']}/approve", {"reason": "good"})

    assert decided.status_code == 200
    told = decided.json()
    assert told.items() >= {"status": "approved", "decided_by": "anna", "reason": "good", "split": 2}.items()
    assert told["gates"] == SplitRequest.objects.get().gates != []
    current = approver.get(f"{V1}/{model.slug}/splits/current").json()
    assert (current["number"], current["reason"], current["made_by"]) == (2, "try 2", "anna")


def test_a_decision_needs_a_reason_and_stands(operator, approver, asked):
    assert approver.post(f"{asked['Location']}/approve", {"reason": " "}).status_code == 422
    approver.post(f"{asked['Location']}/reject", {"reason": "no"})

    for client, verb in ((approver, "approve"), (approver, "reject"), (operator, "withdraw")):
        late = client.post(f"{asked['Location']}/{verb}", {"reason": "late"})
        assert (late.status_code, late.json()["code"]) == (409, "stale_state")
    told = operator.get(asked["Location"]).json()
    assert (told["status"], told["reason"], told["split"], told["gates"]) == ("rejected", "no", None, [])


@cases(
    "body, status, code",
    empty_comment=({**BODY, "comment": ""}, 422, "invalid"),
    no_comment=({"arms": BODY["arms"]}, 422, "invalid"),
    nothing_gains=({**BODY, "arms": [{"version": 1, "share": 10_000}]}, 422, "invalid"),
    no_such_version=({**BODY, "arms": [{"version": 9, "share": 10_000}]}, 422, "invalid"),
    stale=({**BODY, "expected_revision": 0}, 409, "stale_state"),
)
def test_what_cannot_be_asked_for_is_refused(operator, model, body, status, code):
    answer = operator.post(path(model), body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not SplitRequest.objects.exists()


def test_one_key_one_request(operator, approver, model):
    headers = {"Idempotency-Key": "once"}
    asked = [operator.post(path(model), BODY, headers=headers) for _ in range(2)]
    approve = f"{asked[0]['Location']}/approve"
    approved = [approver.post(approve, {"reason": "good"}, headers=headers) for _ in range(2)]

    assert asked[0].json() == asked[1].json()
    assert approved[0].json() == approved[1].json()
    assert SplitRequest.objects.count() == 1
    assert model.splits.count() == 2


def test_whoever_decides_may_say_which_state_they_have_seen(operator, approver, model):
    asked = operator.post(path(model), BODY, headers={"If-Match": '"another"'})
    assert (asked.status_code, asked.json()["code"]) == (412, "stale_precondition")
    asked = operator.post(path(model), BODY)
    approve = f"{asked['Location']}/approve"

    stale = approver.post(approve, {"reason": "good"}, headers={"If-Match": '"another"'})
    fresh = approver.post(approve, {"reason": "good"}, headers={"If-Match": asked["ETag"]})

    assert (stale.status_code, fresh.status_code) == (412, 200)


def test_requests_are_listed_for_one_model_and_for_all(operator, model):
    other = a_guarded_model()
    first, second = ask(model), ask(other)
    operator.post(f"{path(model, first.pk)}/withdraw", {"reason": "no"})

    def ids(address, **query):
        return [row["id"] for row in operator.get(address, query).json()["results"]]

    assert ids("/api/v1/requests") == [second.pk, first.pk]
    assert ids("/api/v1/requests", status="open") == [second.pk]
    assert ids("/api/v1/requests", model=model.slug) == [first.pk]
    assert ids(path(model)) == ids(path(model), status="withdrawn") == [first.pk]
    assert ids(path(other), status="approved") == []
    assert operator.get("/api/v1/requests", {"status": "half"}).status_code == 422
    assert operator.get("/api/v1/requests", {"colour": "red"}).status_code == 422


def test_a_list_asks_no_more_for_more_requests(operator, model, django_assert_max_num_queries):
    for _ in range(15):
        ask(model)

    with django_assert_max_num_queries(12):
        assert len(operator.get("/api/v1/requests").json()["results"]) == 15


def test_requests_of_other_models_are_not_there(model):
    other = a_guarded_model()
    request = ask(model)
    limited = client_for(Role.OPERATOR, Role.APPROVER, models=[other.pk])

    assert limited.get("/api/v1/requests").json()["results"] == []
    assert limited.get(path(other, request.pk)).status_code == 404
    assert limited.post(f"{path(other, request.pk)}/approve", {"reason": "x"}).status_code == 404


def test_a_request_is_overtaken_by_any_other_change(operator, approver, model, asked):
    a_split(model, 100)  # the same again: nothing gains

    told = operator.get(asked["Location"]).json()
    late = approver.post(f"{asked['Location']}/approve", {"reason": "good"})

    assert (told["status"], told["decided_by"]) == ("overtaken", "")
    assert "Split 2 came first" in told["reason"]
    assert late.json()["code"] == "stale_state"


def test_an_administrator_switches_the_rule(db):
    model, admin = a_model(needs_approval=True), client_for(Role.ADMIN)
    rule = f"{V1}/{model.slug}/approval-rule"

    assert admin.post(rule, {"needed": False}).status_code == 422
    told = admin.post(rule, {"needed": False, "reason": "only me"})
    again = admin.post(rule, {"needed": False, "reason": "only me"})

    assert told.json() == {"model": model.slug, "needs_approval": False}
    assert (again.status_code, again.json()["code"]) == (409, "stale_state")
    assert admin.get(f"{V1}/{model.slug}").json()["needs_approval"] is False


def test_models_and_live_say_how_many_people_it_takes(operator, model):
    free = a_live_model(100)

    assert operator.get(f"{V1}/{model.slug}").json()["needs_approval"] is True
    assert operator.get(f"{V1}/{model.slug}/live").json()["needs_approval"] is True
    rows = {row["model"]: row["needs_approval"] for row in operator.get("/api/v1/live").json()["results"]}
    assert rows == {model.slug: True, free.slug: False}


def test_a_gate_that_fails_is_seen_and_keeps_the_request_open(operator, approver, model):
    from registry.catalogue.services import archive_version

    asked = operator.post(path(model), BODY)
    archive_version(version=model.versions.get(number=2), reason="old", by=an_actor())

    told = operator.get(asked["Location"]).json()
    refused = approver.post(f"{asked['Location']}/approve", {"reason": "good"})

    assert [gate["outcome"] for gate in told["gates"] if gate["name"] == "checks"] == ["failed"]
    assert (refused.status_code, refused.json()["code"]) == (409, "version_not_ready")
    assert SplitRequest.objects.get().status == "open"


def test_shadows_need_nobody_and_can_be_asked_for_with_the_rest(operator, approver, model):
    a_version(model)
    body = {**BODY, "shadows": [{"version": 3, "share": 500}]}

    asked = operator.post(path(model), body).json()
    approver.post(f"{path(model, asked['id'])}/approve", {"reason": "good"})

    assert asked["shadows"] == body["shadows"]
    assert operator.get(f"{V1}/{model.slug}/splits/current").json()["shadows"] == body["shadows"]
