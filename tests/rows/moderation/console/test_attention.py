"""What the home page and the search say about moderation."""

from datetime import timedelta

import pytest
from django.test import RequestFactory
from django.utils import timezone

from moderation.console.attention import held_contents, missing_default_policy, waiting_revisions
from moderation.console.search import find_decisions, find_policies
from moderation.deciding.findings import Failure, Findings
from moderation.policies import services
from moderation.rights import ModerationRight
from registry.kit.admin.first_steps import FIRST_STEPS
from tests.support.decision_rows import LISTED, OTHER, a_decision, a_list_policy
from tests.support.factories import a_person, an_actor

pytestmark = pytest.mark.django_db


def sentences(items):
    return [item.sentence for item in items]


class TestHeldContents:
    def hold(self, policy, minutes, source="toxicity"):
        at = timezone.now() - timedelta(minutes=minutes)
        findings = Findings(["text"], failures={source: Failure("no_live_version", "", True)})
        a_decision(policy, "review", is_held=True, next_try_at=at, at=at, findings=findings)

    def test_what_was_held_for_long_is_counted(self):
        policy = a_list_policy()
        self.hold(policy, 5)
        assert held_contents(an_actor()) == []

        self.hold(policy, 15)
        self.hold(policy, 30)
        (item,) = held_contents(an_actor())

        assert item.sentence == "2 contents have been held for more than 10 minutes because toxicity fails."

    def test_others_are_not_told(self):
        self.hold(a_list_policy(), 30)

        assert held_contents(an_actor(ModerationRight.READ_POLICIES)) == []


class TestWaitingRevisions:
    def test_the_other_person_may_decide(self):
        policy, editor, requester = a_list_policy(), a_person("policy_editor"), a_person("policy_editor")
        services.save_draft(
            policy=policy, content={"rules": [OTHER]}, expected=None, by=an_actor(user=editor)
        )
        services.save_draft(
            policy=policy, content={"rules": [LISTED, OTHER]}, expected=None, by=an_actor(user=requester)
        )
        services.request_publication(policy=policy, reason="Please", by=an_actor(user=requester))

        (own,) = waiting_revisions(an_actor(user=requester))
        (edited,) = waiting_revisions(an_actor(user=editor))
        (theirs,) = waiting_revisions(an_actor(user=a_person("lead")))

        assert own.sentence == "Revision 2 of policy default waits for another person’s approval."
        assert (own.action, edited.action) == (None, None)
        assert theirs.action.title == "Decide"


class TestTheDefaultPolicy:
    def test_it_is_missing(self):
        assert missing_default_policy(an_actor()) == []  # moderation is not used

        a_list_policy(name="comments", context="comments")
        assert sentences(missing_default_policy(an_actor())) == [
            "There is no default policy: contents that no other policy covers are refused."
        ]

        a_list_policy()
        assert missing_default_policy(an_actor()) == []


def test_the_first_step_is_done():
    step = FIRST_STEPS["policy"]
    a_list_policy(is_published=False, name="draft", context="x")
    assert not step.is_done()
    a_list_policy()
    assert step.is_done()


class TestSearch:
    @pytest.fixture
    def request_of(self):
        def request_of(*rights):
            request = RequestFactory().get("/")
            request.actor = an_actor(*rights)
            return request

        return request_of

    def test_policies_and_decisions(self, request_of):
        policy = a_list_policy(title="Everything that people post")
        decision = a_decision(policy, "allow", content_id="comment-1")

        assert [hit.title for hit in find_policies(request_of(), "everything")] == ["default"]
        assert [hit.title for hit in find_decisions(request_of(), "comment-1")] == [
            "Decision allow: comment-1"
        ]
        assert len(find_decisions(request_of(), decision.request_id)) == 1
        assert find_decisions(request_of(), "comment") == []

    def test_rights(self, request_of):
        policy = a_list_policy()
        a_decision(policy, content_id="comment-1")

        assert find_policies(request_of(ModerationRight.MODERATE), "default") == []
        assert find_decisions(request_of(ModerationRight.READ_POLICIES), "comment-1") == []
