"""Pages of policies: the list, the tabs, the draft that the editor sends, and the verbs."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from moderation.policies import services
from moderation.policies.models import Policy, RuleDay
from moderation.rights import ModerationRole
from registry.access.policies import Role
from tests.support.decision_rows import LISTED, OTHER, a_decision, a_list_policy
from tests.support.factories import a_live_model, a_person, a_tenant, an_actor

pytestmark = pytest.mark.django_db


@pytest.fixture
def editor(client):
    person = a_person(ModerationRole.POLICY_EDITOR, username="edith")
    client.force_login(person)
    return person


def page_of(client, policy, **query):
    response = client.get(reverse("admin:moderation_policy_change", args=[policy.pk]), query)
    assert response.status_code == 200
    return response.content.decode()


def text_of(response):
    return " ".join(response.content.decode().split())


def send(client, policy, content, expected=None):
    body = {"content": content, "expected": policy.draft_edits if expected is None else expected}
    address = reverse("admin:moderation_policy_draft", args=[policy.pk])
    return client.post(address, json.dumps(body), content_type="application/json")


class TestTheList:
    def test_an_empty_one_says_how_to_begin(self, client, editor):
        page = text_of(client.get(reverse("admin:moderation_policy_changelist")))

        assert "A policy says what is looked for in contents" in page
        assert reverse("admin:moderation_policy_add") in page

    def test_states_and_counts(self, client, editor):
        policy = a_list_policy(title="Everything")
        for _ in range(3):
            a_decision(policy)
        a_decision(policy, at=timezone.now() - timedelta(days=2))
        services.save_draft(policy=policy, content={"rules": [LISTED, OTHER]}, expected=None, by=an_actor())
        a_list_policy(name="new", context="profiles", is_published=False)

        listed = client.get(reverse("admin:moderation_policy_changelist")).context["cl"]
        page_object = listed.model_admin
        states = {one.name: page_object.state(one) for one in listed.result_list}

        assert "decides" in states["default"]
        assert "draft waiting" in states["default"]
        assert "not published" in states["new"]
        assert page_object.number_decided(policy) == "3"

    def test_a_draft_that_was_requested_is_not_waiting_twice(self, client, editor):
        policy = a_list_policy()
        services.save_draft(policy=policy, content={"rules": [LISTED, OTHER]}, expected=None, by=an_actor())
        services.request_publication(policy=policy, reason="Please", by=an_actor())

        listed = client.get(reverse("admin:moderation_policy_changelist")).context["cl"]
        state = listed.model_admin.state(listed.result_list[0])

        assert "approval waiting" in state
        assert "draft waiting" not in state


class TestANewPolicy:
    def test_it_opens_with_its_editor(self, client, editor):
        tenant = a_tenant()
        values = {"name": "comments", "title": "Below articles", "tenant": tenant.pk, "context": "comments"}

        response = client.post(reverse("admin:moderation_policy_add"), values, follow=True)

        policy = Policy.objects.get()
        assert (policy.title, policy.tenant, policy.context) == ("Below articles", tenant, "comments")
        assert response.request["PATH_INFO"] == reverse("admin:moderation_policy_change", args=[policy.pk])
        assert "data-policy-editor" in response.content.decode()

    def test_what_the_service_refuses_is_said(self, client, editor):
        a_list_policy()

        response = client.post(reverse("admin:moderation_policy_add"), {"name": "second"})

        assert "is for all other contents (default policy) already" in text_of(response)


class TestTheDraft:
    def test_it_is_saved(self, client, editor):
        policy = a_list_policy()

        answer = send(client, policy, {"rules": [LISTED, OTHER]}).json()

        policy.refresh_from_db()
        assert policy.draft["rules"][1]["name"] == "other"
        assert (answer["edits"], answer["warnings"]) == (policy.draft_edits, [])

    def test_what_is_wrong_is_placed_at_its_field(self, client, editor):
        response = send(client, a_list_policy(), {"rules": [LISTED, {**OTHER, "patterns": ["(a"]}]})

        assert response.status_code == 422
        assert response.json()["place"] == ["rules", 1, "patterns"]

    def test_somebody_else_was_first(self, client, editor):
        policy = a_list_policy()
        services.save_draft(policy=policy, content={"rules": [OTHER]}, expected=None, by=an_actor())

        response = send(client, policy, {"rules": [LISTED]})

        assert (response.status_code, response.json()["is_stale"]) == (409, True)
        assert "tester saved this draft in the meantime" in response.json()["detail"]
        policy.refresh_from_db()
        assert policy.draft["rules"] == [OTHER]

    def test_lists_may_be_long(self, client, editor):
        """Longer than the bodies that Django reads by itself."""
        hashes = [f"sha256:{number:064x}" for number in range(50_000)]
        rule = {"name": "known", "kind": "hashes", "code": "known", "effect": "block", "hashes": hashes}

        response = send(client, a_list_policy(), {"rules": [rule]})

        assert response.status_code == 200, response.content[:300]

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"content": {}}'], ids=["cut", "list", "no number"])
    def test_what_is_no_draft_is_refused(self, client, editor, body):
        address = reverse("admin:moderation_policy_draft", args=[a_list_policy().pk])

        assert client.post(address, body, content_type="application/json").status_code == 422

    def test_readers_may_not(self, client):
        client.force_login(a_person(ModerationRole.REVIEWER))
        policy = a_list_policy()

        assert send(client, policy, {"rules": []}).status_code == 403
        assert "data-policy-editor" not in page_of(client, policy)

    def test_the_editor_offers_detectors(self, client, editor):
        a_live_model(100, slug="not-a-detector")

        page = page_of(client, a_list_policy())

        assert "rh-policy-data" in page
        assert "not-a-detector" not in page


class TestPublishing:
    @pytest.fixture
    def policy(self):
        policy = a_list_policy()
        services.save_draft(policy=policy, content={"rules": [LISTED, OTHER]}, expected=None, by=an_actor())
        policy.refresh_from_db()
        return policy

    def act(self, client, policy, verb, **values):
        return client.post(
            reverse(f"admin:moderation_policy_{verb}", args=[policy.pk]), {"reason": "why", **values}
        )

    def test_the_draft_decides(self, client, editor, policy):
        assert "other" in page_of(client, policy, tab="publish")

        self.act(client, policy, "publish", expected=policy.draft_edits)

        policy.refresh_from_db()
        assert (policy.current.number, policy.draft) == (2, None)

    def test_another_draft_than_the_one_that_was_seen(self, client, editor, policy):
        response = self.act(client, policy, "publish", expected=policy.draft_edits - 1)

        assert "changed the draft in the meantime" in text_of(response)
        policy.refresh_from_db()
        assert policy.current.number == 1

    def test_two_people(self, client, editor, policy):
        services.set_policy_approval(policy=policy, needs_approval=True, reason="Two", by=an_actor())

        self.act(client, policy, "request_approval", expected=policy.draft_edits)
        waiting = policy.revisions.get(number=2)
        own = self.act(client, policy, "approve", revision=waiting.pk)
        client.force_login(a_person(ModerationRole.LEAD, username="leo"))
        self.act(client, policy, "approve", revision=waiting.pk)

        assert "another person must approve it" in text_of(own)
        policy.refresh_from_db()
        assert (policy.current.number, policy.current.decided_by) == (2, "leo")

    @pytest.mark.parametrize(("verb", "status"), [("reject", "rejected"), ("withdraw", "withdrawn")])
    def test_a_request_that_is_not_approved(self, client, editor, policy, verb, status):
        waiting = services.request_publication(policy=policy, reason="Please", by=an_actor())

        self.act(client, policy, verb, revision=waiting.pk)

        waiting.refresh_from_db()
        assert waiting.status == status

    def test_back_says_what_it_changes(self, client, editor, policy):
        services.publish(policy=policy, reason="More", by=an_actor())

        asked = text_of(client.get(reverse("admin:moderation_policy_roll_back", args=[policy.pk])))
        self.act(client, policy, "roll_back")

        assert "other (removed)" in asked
        policy.refresh_from_db()
        assert policy.current.content == {"rules": [LISTED]}

    def test_a_draft_is_discarded(self, client, editor, policy):
        address = reverse("admin:moderation_policy_discard_draft", args=[policy.pk])

        client.post(address, {"csrfmiddlewaretoken": "a browser sends one"})

        policy.refresh_from_db()
        assert policy.draft is None

    def test_the_title_changes(self, client, editor, policy):
        client.post(reverse("admin:moderation_policy_title", args=[policy.pk]), {"title": "New words"})

        policy.refresh_from_db()
        assert policy.title == "New words"


class TestRevisions:
    def test_one_opens_with_what_it_changed(self, client, editor):
        policy = a_list_policy()
        services.save_draft(policy=policy, content={"rules": [OTHER]}, expected=None, by=an_actor())
        services.publish(policy=policy, reason="Numbers instead", by=an_actor())

        page = page_of(client, policy, revision="2")

        assert "Changed since revision 1" in page
        assert "Numbers instead" in page
        assert [word in page for word in ("added", "removed")] == [True, True]

    @pytest.mark.parametrize("number", ["9", "x", "-1", "9" * 30])
    def test_one_that_is_not_there(self, client, editor, number):
        assert "Changed since" not in page_of(client, a_list_policy(), revision=number)


class TestEffects:
    def test_rules_by_day(self, client, editor):
        policy = a_list_policy(LISTED, {**OTHER, "state": "shadow"})
        today = timezone.now().date()
        for back, blocked in ((0, 1200), (3, 5), (20, 7)):
            RuleDay.objects.create(
                policy=policy,
                rule="listed",
                day=today - timedelta(days=back),
                is_shadow=False,
                blocked=blocked,
            )
        RuleDay.objects.create(policy=policy, rule="gone", day=today, is_shadow=False, reviewed=2)

        page = page_of(client, policy, tab="effects")

        assert "1,205" in page
        assert "at most 1,200, last 1,200; blocks in 2 of 14" in page
        assert "not in the current revision" in page
        assert page.count("never fired") == 1  # the one in shadow

    def test_nothing_is_published(self, client, editor):
        assert "no published rules" in page_of(client, a_list_policy(is_published=False), tab="effects")


def test_settings_are_for_those_who_may(client, editor):
    policy = a_list_policy()
    address = reverse("admin:moderation_policy_require_approval", args=[policy.pk])

    assert "Require approval" not in page_of(client, policy, tab="settings")
    client.force_login(a_person(ModerationRole.POLICY_EDITOR, Role.ADMIN))
    assert "Require approval" in page_of(client, policy, tab="settings")
    client.post(address, {"reason": "Two people"})
    policy.refresh_from_db()
    assert policy.needs_approval
