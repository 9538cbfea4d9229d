"""The preview beside the editor, and its samples."""

import pytest
from django.urls import reverse

from moderation.deciding.findings import Findings
from moderation.deciding.models import PolicyPreview
from moderation.deciding.previews import run_preview
from moderation.policies import services
from moderation.policies.rules import read_rules
from moderation.rights import ModerationRole
from tests.support.decision_rows import LISTED, OTHER, a_decision, a_list_policy
from tests.support.factories import a_person, an_actor

pytestmark = pytest.mark.django_db
NUMBER = "call 123456789"


@pytest.fixture
def policy(client):
    """A policy whose draft sends numbers to review, and a decision with one."""
    client.force_login(a_person(ModerationRole.POLICY_EDITOR))
    policy = a_list_policy()
    (rule,) = read_rules(policy.current.content).list_rules
    found = Findings(["text"], matches={rule.digest: []}, looked_at={rule.digest: ["text"]})
    a_decision(policy, text=NUMBER, content_id="c", findings=found, language="en")
    services.save_draft(policy=policy, content={"rules": [LISTED, OTHER]}, expected=None, by=an_actor())
    policy.refresh_from_db()
    return policy


@pytest.fixture
def start(client, policy):
    def start():
        response = client.post(reverse("admin:moderation_policy_preview", args=[policy.pk]))
        assert response.status_code == 200, response.content
        return PolicyPreview.objects.latest("pk"), response.json()["html"]

    return start


def state(client, preview):
    address = reverse("admin:moderation_policy_show_preview", args=[preview.policy_id, preview.pk])
    return client.get(address).json()


def test_it_waits_then_says_what_changes(client, policy, start):
    preview, panel = start()
    waiting = state(client, preview)
    run_preview(preview.pk)
    done = state(client, preview)

    assert 'data-open="yes"' in panel
    assert (waiting["is_open"], "Waiting for a worker" in waiting["preview"]) == (True, True)
    assert (done["is_open"], "allow → review" in done["preview"]) == (False, True)
    page = client.get(reverse("admin:moderation_policy_change", args=[policy.pk])).content.decode()
    assert 'data-open="no"' in page


def test_a_sample_opens_with_both_rulings(client, policy, start):
    preview, _ = start()
    run_preview(preview.pk)
    preview.refresh_from_db()
    (change,) = preview.result["changes"]
    (sample,) = change["samples"]

    address = reverse("admin:moderation_decision_change", args=[sample])
    page = client.get(address, {"preview": preview.pk}).content.decode()

    assert "With the previewed draft: review" in page
    assert "decided <b>allow</b>" in page
    assert "123456789" in page


@pytest.mark.parametrize("number", ["0", "x", "9" * 30])
def test_a_preview_that_is_not_there(client, policy, number):
    decision = policy.decisions.get()

    page = client.get(reverse("admin:moderation_decision_change", args=[decision.pk]), {"preview": number})

    assert "previewed draft" not in page.content.decode()


def test_one_of_a_draft_that_has_changed(client, policy, start):
    preview, _ = start()
    run_preview(preview.pk)
    services.save_draft(policy=policy, content={"rules": [OTHER]}, expected=None, by=an_actor())

    assert "The draft has changed since" in state(client, preview)["preview"]


def test_readers_may_not(client, policy):
    client.force_login(a_person(ModerationRole.REVIEWER))

    assert client.post(reverse("admin:moderation_policy_preview", args=[policy.pk])).status_code == 403
