"""Drafts, publishing, approval and going back."""

from dataclasses import replace

import pytest

from moderation.errors import InvalidPolicy, NothingToPublish, NothingToRollBackTo, UnknownPolicy
from moderation.policies import services
from moderation.policies.models import Policy
from moderation.policies.selectors import policy_named, previous_revision, revision_of, waiting_revision
from moderation.policies.transitions import RevisionStatus
from registry.access import services as services_of_access
from registry.errors import ApprovalNeeded, Conflict, Invalid, NameTaken, NotAllowed, StaleState
from registry.record.models import AuditRecord, Event
from tests.support.factories import a_model, a_person, a_tenant, an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def content(block=0.7, **more):
    rule = {
        "name": "toxic",
        "kind": "detector",
        "detector": "toxicity",
        "code": "toxic_language",
        "block": block,
    }
    return {"rules": [{**rule, **more}]}


@pytest.fixture(autouse=True)
def toxicity(db):
    return a_model("toxicity", task="text-classification")


@pytest.fixture
def policy():
    return services.create_policy(name="default", content=content(), by=an_actor())


def publish(policy, block=None):
    if block is not None:
        services.save_draft(policy=policy, content=content(block), expected=None, by=an_actor())
    revision = services.publish(policy=policy, reason="because", by=an_actor())
    policy.refresh_from_db()
    return revision


def blocks(policy):
    return Policy.objects.get(pk=policy.pk).current.content["rules"][0]["block"]


def test_a_new_policy_decides_nothing(policy):
    assert policy.current is None
    assert policy.draft["rules"][0]["reads"] == ["text", "title"]  # from the task of the Model
    assert AuditRecord.objects.get(action="create_policy").object_label == "default"


def test_publishing_numbers_revisions_and_ends_the_draft(policy):
    assert [publish(policy).number, publish(policy, 0.8).number] == [1, 2]
    assert policy.draft is None
    assert blocks(policy) == 0.8
    assert Event.objects.filter(kind="policy_published").count() == 2


def test_a_draft_that_says_nothing_new_is_not_published(policy):
    publish(policy)
    services.save_draft(policy=policy, content=policy.current.content, expected=None, by=an_actor())

    with pytest.raises(NothingToPublish):
        publish(policy)


def test_a_policy_without_a_rule_in_force_is_not_published(policy):
    services.save_draft(policy=policy, content=content(state="off"), expected=None, by=an_actor())

    with pytest.raises(InvalidPolicy, match="No rule is on"):
        publish(policy)


def test_an_editor_who_saw_an_older_draft_is_told(policy):
    services.save_draft(policy=policy, content=content(0.6), expected=0, by=an_actor())

    with pytest.raises(StaleState):
        services.save_draft(policy=policy, content=content(0.5), expected=0, by=an_actor())
    with pytest.raises(StaleState):
        services.publish(policy=policy, reason="x", expected=0, by=an_actor())


def test_going_back_twice_goes_back_twice(policy):
    for block in (None, 0.8, 0.9):
        publish(policy, block)

    assert services.roll_back_policy(policy=policy, reason="too many", by=an_actor()).number == 4
    assert blocks(policy) == 0.8
    services.roll_back_policy(policy=policy, reason="still too many", by=an_actor())
    assert blocks(policy) == 0.7
    with pytest.raises(NothingToRollBackTo):
        services.roll_back_policy(policy=policy, reason="more", by=an_actor())


def test_after_going_back_the_next_revision_goes_back_to_what_decided_before(policy):
    for block in (None, 0.8):
        publish(policy, block)
    services.roll_back_policy(policy=policy, reason="x", by=an_actor())
    publish(policy, 0.9)

    services.roll_back_policy(policy=policy, reason="y", by=an_actor())

    assert blocks(policy) == 0.7


class TestApproval:
    @pytest.fixture
    def people(self):
        return [a_person("policy_editor"), a_person("policy_editor"), a_person("lead")]

    @pytest.fixture
    def waiting(self, policy, people):
        services.set_policy_approval(policy=policy, needs_approval=True, reason="rules", by=an_actor())
        return services.request_publication(policy=policy, reason="please", by=self.actor(people[0]))

    @staticmethod
    def actor(person):
        return an_actor("publish_policies", "edit_policies", user=person)

    def test_publishing_alone_is_refused(self, policy, waiting):
        with pytest.raises(ApprovalNeeded):
            publish(policy)

    def test_another_person_approves(self, policy, waiting, people):
        services.approve_revision(revision=waiting, reason="fine", by=self.actor(people[1]))

        policy.refresh_from_db()
        assert policy.current == waiting
        assert waiting_revision(policy) is None

    def test_the_requester_does_not(self, waiting, people):
        with pytest.raises(NotAllowed):
            services.approve_revision(revision=waiting, reason="fine", by=self.actor(people[0]))

    def test_nor_does_an_earlier_editor(self, policy, people):
        services.set_policy_approval(policy=policy, needs_approval=True, reason="rules", by=an_actor())
        services.save_draft(policy=policy, content=content(0.4), expected=None, by=self.actor(people[1]))
        services.save_draft(policy=policy, content=content(0.3), expected=None, by=self.actor(people[0]))
        waiting = services.request_publication(policy=policy, reason="please", by=self.actor(people[0]))

        with pytest.raises(NotAllowed):
            services.approve_revision(revision=waiting, reason="fine", by=self.actor(people[1]))
        services.approve_revision(revision=waiting, reason="fine", by=self.actor(people[2]))

    def test_editors_of_what_was_published_may_approve_the_next(self, policy, people):
        services.save_draft(policy=policy, content=content(0.4), expected=None, by=self.actor(people[1]))
        publish(policy)
        services.set_policy_approval(policy=policy, needs_approval=True, reason="rules", by=an_actor())
        services.save_draft(policy=policy, content=content(0.3), expected=None, by=self.actor(people[0]))
        waiting = services.request_publication(policy=policy, reason="please", by=self.actor(people[0]))

        services.approve_revision(revision=waiting, reason="fine", by=self.actor(people[1]))

        assert blocks(policy) == 0.3

    def test_saving_what_is_there_edits_nothing(self, policy, waiting, people):
        """A preview saves the draft first."""
        same = services.save_draft(policy=policy, content=content(), expected=None, by=self.actor(people[1]))

        assert same.draft_editors == []

    def test_a_key_is_its_issuers(self, policy, people):
        issuer, tenant = people[0], a_tenant()
        key = services_of_access.issue_key(
            name="k", tenant=tenant, scopes=["policies.write"], by=an_actor(user=issuer)
        )[0]
        by_key = replace(an_actor(), key_id=key.pk, tenant_id=tenant.pk)
        own = services.create_policy(name="own", content=content(), by=by_key)
        services.set_policy_approval(policy=own, needs_approval=True, reason="rules", by=an_actor())
        waiting = services.request_publication(policy=own, reason="please", by=by_key)

        for by in (self.actor(issuer), by_key, an_actor()):
            with pytest.raises(NotAllowed):
                services.approve_revision(revision=waiting, reason="fine", by=by)
        assert services.approve_revision(
            revision=waiting, reason="fine", by=self.actor(people[1])
        ).editors == [issuer.pk]

    def test_one_person_does_not_retire_it(self, policy, people):
        comments = services.create_policy(name="comments", context="comments", by=an_actor())
        services.set_policy_approval(policy=comments, needs_approval=True, reason="rules", by=an_actor())

        with pytest.raises(NotAllowed, match="manage settings"):
            services.retire_policy(policy=comments, reason="unused", by=self.actor(people[0]))
        services.retire_policy(policy=comments, reason="unused", by=an_actor())

    def test_a_narrower_policy_needs_approval_as_well(self, policy):
        publish(policy)
        services.set_policy_approval(policy=policy, needs_approval=True, reason="rules", by=an_actor())
        shop, other = a_tenant(), a_tenant()
        made = {
            name: services.create_policy(name=name, by=an_actor(), content=content(), **covers)
            for name, covers in {
                "comments": {"context": "comments"},
                "shop": {"tenant": shop},
                "other-comments": {"tenant": other, "context": "comments"},
            }.items()
        }
        assert {name: one.needs_approval for name, one in made.items()} == dict.fromkeys(made, True)

        services.set_policy_approval(policy=made["shop"], needs_approval=False, reason="small", by=an_actor())
        services.publish(policy=made["shop"], reason="x", by=an_actor())
        of_shop = services.create_policy(name="shop-comments", tenant=shop, context="comments", by=an_actor())
        assert of_shop.needs_approval is False  # the shop's policy decides these contents now

    def test_a_tenants_policy_wins_over_those_of_contexts(self, policy):
        publish(policy)
        comments = services.create_policy(
            name="comments", context="comments", content=content(), by=an_actor()
        )
        publish(comments)
        services.set_policy_approval(policy=comments, needs_approval=True, reason="rules", by=an_actor())

        assert services.create_policy(name="shop", tenant=a_tenant(), by=an_actor()).needs_approval
        assert not services.create_policy(name="posts", context="posts", by=an_actor()).needs_approval

    def test_nor_does_the_last_editor(self, policy, people):
        services.set_policy_approval(policy=policy, needs_approval=True, reason="rules", by=an_actor())
        services.save_draft(policy=policy, content=content(0.4), expected=None, by=self.actor(people[1]))
        waiting = services.request_publication(policy=policy, reason="please", by=self.actor(people[0]))

        with pytest.raises(NotAllowed):
            services.approve_revision(revision=waiting, reason="fine", by=self.actor(people[1]))

    def test_what_was_requested_is_published_although_the_draft_went_on(self, policy, waiting, people):
        services.save_draft(policy=policy, content=content(0.1), expected=None, by=an_actor())

        services.approve_revision(revision=waiting, reason="fine", by=self.actor(people[2]))

        assert blocks(policy) == 0.7
        policy.refresh_from_db()
        assert policy.draft["rules"][0]["block"] == 0.1

    @pytest.mark.parametrize("end", [services.reject_revision, services.withdraw_revision])
    def test_a_request_ends_once(self, waiting, people, end):
        end(revision=waiting, reason="no", by=self.actor(people[2]))

        with pytest.raises(StaleState):
            services.approve_revision(revision=waiting, reason="fine", by=self.actor(people[1]))

    def test_one_request_at_a_time(self, policy, waiting):
        with pytest.raises(Conflict):
            services.request_publication(policy=policy, reason="again", by=an_actor())

    def test_going_back_never_waits(self, policy, people):
        publish(policy)
        publish(policy, 0.9)
        services.set_policy_approval(policy=policy, needs_approval=True, reason="rules", by=an_actor())

        services.roll_back_policy(policy=policy, reason="now", by=self.actor(people[0]))

        assert blocks(policy) == 0.7


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"detector": "unknown"}, ("rules", 0, "detector")),
        ({"detector": "ripeness"}, ("rules", 0, "detector")),
        ({"block": 2}, ("rules", 0, "block")),
        ({"review": 0.9}, ("rules", 0, "review")),
        ({"block": None}, ("rules", 0, "review")),
        ({"kind": "magic"}, ("rules", 0, "kind")),
        ({"labels": "toxic"}, ("rules", 0, "labels")),
        ({"languages": ["klingon!"]}, ("rules", 0, "languages")),
        ({"state": "maybe"}, ("rules", 0, "state")),
        ({"name": "Not A Name"}, ("rules", 0, "name")),
        ({"code": ""}, ("rules", 0, "code")),
        ({"blok": 0.5}, ("rules", 0, "blok")),
        ({"detector": "a\0b"}, ("rules", 0, "detector")),
        ({"labels": ["a\0b"]}, ("rules", 0, "labels")),
        ({"note_to_editors": {"deep": 1}}, ("rules", 0, "note_to_editors")),
        ({"kind": "words", "entries": []}, ("rules", 0, "entries")),
        ({"kind": "patterns", "patterns": ["("]}, ("rules", 0, "patterns")),
        ({"kind": "hashes", "hashes": ["zz"]}, ("rules", 0, "hashes")),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place(policy, changed, place):
    a_model("ripeness", task="classification")
    rule = content()["rules"][0]
    if changed.get("kind") in {"words", "patterns", "hashes"}:
        rule = {"name": "list", "code": "spam", "effect": "block"}

    with pytest.raises(InvalidPolicy) as caught:
        services.save_draft(
            policy=policy, content={"rules": [{**rule, **changed}]}, expected=None, by=an_actor()
        )

    assert caught.value.place == place
    assert caught.value.members["errors"][0]["pointer"] == "#/" + "/".join(map(str, place))


DEEP: list = []
for _ in range(400):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "odd",
    [
        {"rules": [], "note": DEEP},
        {"rules": [], "note": 2**70},
        [],
        "x",
        {"rules": 5},
        {"rules": ["x"]},
        {"ruels": []},
        {"rules": [{}] * 101},
    ],
)
def test_what_is_no_policy_is_refused(policy, odd):
    with pytest.raises(InvalidPolicy):
        services.save_draft(policy=policy, content=odd, expected=None, by=an_actor())


def test_two_rules_need_two_names(policy):
    with pytest.raises(InvalidPolicy, match="Two rules"):
        services.save_draft(
            policy=policy, content={"rules": content()["rules"] * 2}, expected=None, by=an_actor()
        )


def test_contents_have_one_policy(policy):
    tenant = a_tenant()
    services.create_policy(name="comments", context="comments", by=an_actor())
    services.create_policy(name="shop", tenant=tenant, by=an_actor())

    for name, more in {
        "a": {},
        "b": {"context": "comments"},
        "c": {"tenant": tenant},
        "default": {"context": "x"},
    }.items():
        with pytest.raises(NameTaken):
            services.create_policy(name=name, by=an_actor(), **more)
    with pytest.raises(Invalid):
        services.create_policy(name="Not A Name", context="y", by=an_actor())


def test_retired_policies_free_their_contents_but_the_default_stays(policy):
    publish(policy)
    comments = services.create_policy(name="comments", context="comments", by=an_actor())

    services.retire_policy(policy=comments, reason="unused", by=an_actor())

    services.create_policy(name="comments-2", context="comments", by=an_actor())
    with pytest.raises(Conflict):
        services.retire_policy(policy=policy, reason="x", by=an_actor())


@pytest.mark.parametrize(
    "change",
    [
        lambda policy, by: services.create_policy(name="x", context="x", by=by),
        lambda policy, by: services.save_draft(policy=policy, content=content(), expected=None, by=by),
        lambda policy, by: services.discard_draft(policy=policy, by=by),
        lambda policy, by: services.publish(policy=policy, reason="x", by=by),
        lambda policy, by: services.request_publication(policy=policy, reason="x", by=by),
        lambda policy, by: services.roll_back_policy(policy=policy, reason="x", by=by),
        lambda policy, by: services.set_policy_approval(
            policy=policy, needs_approval=True, reason="x", by=by
        ),
        lambda policy, by: services.retire_policy(policy=policy, reason="x", by=by),
    ],
)
def test_every_change_needs_its_right(policy, change):
    with pytest.raises(NotAllowed):
        change(policy, an_actor("read_policies"))


def test_discarding_a_draft_shows_what_decides(policy):
    publish(policy)
    services.save_draft(policy=policy, content=content(0.1), expected=None, by=an_actor())

    assert services.discard_draft(policy=policy, by=an_actor()).draft is None


def test_look_ups(policy):
    revision = publish(policy)

    assert policy_named("default") == policy
    assert revision_of(policy, 1) == revision
    assert previous_revision(policy) is None
    assert revision.status == RevisionStatus.PUBLISHED
    for missing in (lambda: policy_named("x"), lambda: revision_of(policy, 9)):
        with pytest.raises(UnknownPolicy):
            missing()
