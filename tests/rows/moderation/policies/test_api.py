"""Policies over HTTP."""

import pytest
from django.utils import timezone

from moderation.deciding import previews
from moderation.policies.models import Policy, RuleDay
from tests.support.clients import by_key, client_for, client_with
from tests.support.factories import a_key, a_model, a_tenant

pytestmark = pytest.mark.django_db
URL = "/api/v1/policies"
RULE = {"name": "toxic", "kind": "detector", "detector": "toxicity", "code": "toxic_language", "block": 0.7}


@pytest.fixture
def editor(db):
    a_model("toxicity", task="text-classification")
    return client_with("policies.write")


@pytest.fixture
def policy(editor):
    """A policy of the editor's tenant."""
    response = editor.post(URL, {"name": "own", "content": {"rules": [RULE]}}, format="json")
    assert response.status_code == 201, response.content
    return f"{URL}/own"


def test_from_a_draft_to_a_revision_and_back(editor, policy):
    assert editor.get(policy).json()["revision"] is None
    assert editor.post(f"{policy}/publish", {"reason": "first"}, format="json").json()["number"] == 1
    draft = {"content": {"rules": [{**RULE, "block": 0.8}]}, "expected": 0}
    assert editor.put(f"{policy}/draft", draft, format="json").json()["draft_edits"] == 1
    assert editor.put(f"{policy}/draft", draft, format="json").json()["code"] == "stale_state"
    assert editor.get(f"{policy}/draft").json()["rules"][0]["block"] == 0.8
    assert (
        editor.post(f"{policy}/publish", {"reason": "second", "expected": 1}, format="json").status_code
        == 201
    )

    back = editor.post(f"{policy}/roll-back", {"reason": "too lenient"}, format="json").json()

    assert (back["number"], back["goes_back_to"], back["content"]["rules"][0]["block"]) == (3, 1, 0.7)
    assert [one["number"] for one in editor.get(f"{policy}/revisions").json()["results"]] == [3, 2, 1]
    assert editor.get(f"{policy}/revisions/2").json()["reason"] == "second"
    assert editor.delete(f"{policy}/draft").json()["has_draft"] is False


def test_a_second_person_approves_over_http(editor, policy):
    admin = client_for("admin", "policy_editor")
    rule = {"needs_approval": True, "reason": "two people"}
    assert admin.put(f"{policy}/approval", rule, format="json").json()["needs_approval"] is True
    assert (
        editor.post(f"{policy}/publish", {"reason": "x"}, format="json").json()["code"] == "approval_needed"
    )
    waiting = editor.post(f"{policy}/request", {"reason": "x"}, format="json").json()
    assert (waiting["status"], editor.get(policy).json()["waiting"]) == ("requested", 1)
    url = f"{policy}/revisions/1"
    assert editor.post(f"{url}/approve", {"reason": "x"}, format="json").status_code == 403

    approved = client_for("lead").post(f"{url}/approve", {"reason": "fine"}, format="json").json()

    assert (approved["status"], editor.get(policy).json()["revision"]) == ("published", 1)
    assert editor.post(f"{url}/reject", {"reason": "x"}, format="json").json()["code"] == "stale_state"
    assert editor.post(f"{url}/withdraw", {"reason": "x"}, format="json").json()["code"] == "stale_state"


def test_a_wrong_rule_points_to_its_place(editor, policy):
    body = {"content": {"rules": [RULE, {**RULE, "name": "second", "block": 7}]}}

    problem = editor.put(f"{policy}/draft", body, format="json").json()

    assert problem["code"] == "invalid_policy"
    assert problem["errors"][0]["pointer"] == "#/rules/1/block"


def test_a_preview_is_polled(editor, policy, monkeypatch):
    preview = editor.post(f"{policy}/previews", format="json")
    assert preview.status_code == 202
    previews.run_preview(preview.json()["id"])

    done = editor.get(f"{policy}/previews/{preview.json()['id']}").json()

    assert (done["status"], done["result"]["considered"]) == ("done", 0)
    assert editor.get(f"{policy}/previews/999").status_code == 404


def test_keys_reach_their_tenants_policies_and_the_shared_ones(editor, policy):
    tenant = a_tenant("shop")
    admin = client_for("policy_editor")
    assert admin.post(URL, {"name": "shop", "tenant": "shop"}, format="json").status_code == 201
    assert admin.post(URL, {"name": "default"}, format="json").status_code == 201
    shop = by_key(a_key("policies.write", tenant=tenant)[1])

    assert {one["name"] for one in shop.get(URL).json()["results"]} == {"default", "shop"}
    assert {one["name"] for one in editor.get(URL).json()["results"]} == {"default", "own"}
    for path, body in {"/publish": {"reason": "x"}, "/roll-back": {"reason": "x"}, "/previews": {}}.items():
        assert editor.post(f"{URL}/shop{path}", body, format="json").json()["code"] == "unknown_policy"
    assert editor.get(f"{URL}/shop/draft").json()["code"] == "unknown_policy"
    taken = editor.post(URL, {"name": "mine", "tenant": "shop"}, format="json")
    assert taken.status_code == 403


def test_a_key_makes_policies_of_its_tenant(editor, policy):
    key_tenant = editor.get(policy).json()["tenant"]

    assert key_tenant
    named = {"name": "named", "tenant": key_tenant, "context": "x"}
    assert editor.post(URL, named, format="json").json()["tenant"] == key_tenant


def test_a_key_changes_no_shared_policy(editor):
    admin = client_for("policy_editor")
    draft = {"content": {"rules": [RULE]}}
    assert admin.post(URL, {"name": "default", **draft}, format="json").status_code == 201
    shared = f"{URL}/default"
    admin.post(f"{shared}/request", {"reason": "x"}, format="json")
    because = {"reason": "x"}

    refused = [
        editor.put(f"{shared}/draft", draft, format="json"),
        editor.delete(f"{shared}/draft"),
        *(
            editor.post(f"{shared}/{verb}", because, format="json")
            for verb in ("publish", "request", "roll-back", "retire", "revisions/1/approve", "revisions/1/reject",
                         "revisions/1/withdraw")
        ),
    ]  # fmt: skip

    assert [answer.status_code for answer in refused] == [403] * 9
    assert {answer.json()["code"] for answer in refused} == {"not_allowed"}
    assert "only people change it" in refused[0].json()["detail"]
    assert editor.get(shared).json()["waiting"] == 1
    assert editor.get(f"{shared}/draft").json()["rules"][0]["name"] == "toxic"


def test_a_key_sees_no_counts_of_shared_policies(editor):
    """They would show what other tenants send."""
    admin = client_for("policy_editor")
    admin.post(URL, {"name": "default", "content": {"rules": [RULE]}}, format="json")
    shared = f"{URL}/default"
    preview = admin.post(f"{shared}/previews", format="json").json()["id"]

    for answer in (
        editor.post(f"{shared}/previews", format="json"),
        editor.get(f"{shared}/previews/{preview}"),
        editor.get(f"{shared}/rule-days"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert admin.get(f"{shared}/rule-days").json() == {"days": []}


def test_what_rules_did_and_retiring(editor, policy):
    row = Policy.objects.get()
    RuleDay.objects.create(policy=row, rule="toxic", day=timezone.now().date(), is_shadow=False, blocked=3)

    assert editor.get(f"{policy}/rule-days").json()["days"][0]["blocked"] == 3
    assert editor.post(f"{policy}/retire", {"reason": "unused"}, format="json").json()["retired_at"]


def test_readers_change_nothing(policy):
    tenant = Policy.objects.get().tenant
    reader = client_with("policies.read", tenant=tenant)

    assert reader.get(policy).status_code == 200
    assert reader.put(f"{policy}/draft", {"content": {"rules": []}}, format="json").status_code == 403
    assert client_with("moderate", tenant=tenant).get(policy).status_code == 403
