"""Actions that reviewers can take."""

from dataclasses import replace

import pytest

from moderation.review.actions import ActionSettings, change_action, create_action, retire_action
from moderation.review.models import Effect, ReviewAction
from moderation.review.verdicts import actions_for, give_verdict
from moderation.rights import ModerationRole
from registry.errors import Conflict, Invalid, NameTaken, NotAllowed, StaleState
from registry.record.models import AuditRecord, Delivery
from registry.record.sentences import describe
from registry.record.subscriptions import SubscriptionSettings, add_subscription
from tests.support.cases import a_case, a_reviewer, decide, finish, the_action
from tests.support.decision_rows import a_list_policy
from tests.support.factories import an_actor

pytestmark = [pytest.mark.django_db, pytest.mark.both]
WARN = ActionSettings(title="Label as adult", key="x")


@pytest.fixture
def lead():
    return a_reviewer(ModerationRole.LEAD)


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("r", "“Remove” has the key r"),
            ("R", "“Remove” has the key r"),
            ("u", "for “undo”"),
            ("4", "digits choose violations"),
            ("é", "from a to z"),
        ],
        ids=["taken", "taken in upper case", "reserved", "digit", "accent"],
    )
    def test_a_key_that_cannot_be_used(self, lead, key, message):
        with pytest.raises((Conflict, Invalid), match=message):
            create_action(name="adult", effect=Effect.LABEL, values=replace(WARN, key=key), by=lead)

    def test_a_retired_ones_is_free(self, lead):
        retire_action(action=the_action("remove"), reason="Not used", by=lead)

        assert (
            create_action(name="adult", effect=Effect.LABEL, values=replace(WARN, key="r"), by=lead).key
            == "r"
        )

    def test_its_own_is_not_taken(self, lead):
        action = create_action(name="adult", effect=Effect.LABEL, values=WARN, by=lead)

        assert change_action(action=action, values=replace(WARN, title="Adult"), by=lead).key == "x"


class TestChanging:
    def test_changes_are_recorded(self, lead):
        action = create_action(name="adult", effect=Effect.LABEL, values=WARN, by=lead)
        change_action(action=action, values=replace(WARN, strike_weight=0.5), by=lead)

        record = AuditRecord.objects.get(action="change_action")
        assert describe(record) == "changed the action “Label as adult”: strike weight: 0 → 0.5"

    @pytest.mark.parametrize(
        ("effect", "values", "message"),
        [
            (Effect.LABEL, replace(WARN, proposed_at=3.0), "Only account actions"),
            (Effect.CLOSE, WARN, "no key"),
            (Effect.LABEL, replace(WARN, strike_weight=-1.0), "negative"),
            (Effect.LABEL, replace(WARN, roles=["king"]), "no role"),
        ],
        ids=["proposed", "key of an account action", "negative", "role"],
    )
    def test_what_is_wrong_is_said(self, lead, effect, values, message):
        with pytest.raises(Invalid, match=message):
            create_action(name="adult", effect=effect, values=values, by=lead)

    def test_names_are_unique(self, lead):
        with pytest.raises(NameTaken):
            create_action(name="remove", effect=Effect.LABEL, values=WARN, by=lead)

    def test_reviewers_may_not(self):
        reviewer, action = a_reviewer(), the_action("limit")

        with pytest.raises(NotAllowed):
            create_action(name="adult", effect=Effect.LABEL, values=WARN, by=reviewer)
        with pytest.raises(NotAllowed):
            change_action(action=action, values=WARN, by=reviewer)
        with pytest.raises(NotAllowed):
            retire_action(action=action, reason="Because", by=reviewer)


class TestRetiring:
    def test_nobody_can_take_it_and_verdicts_keep_it(self, lead):
        policy, reviewer = a_list_policy(), a_reviewer()
        verdict = finish(decide(a_case(policy), "limit", reviewer))

        retired = retire_action(action=the_action("limit"), reason="Not used", by=lead)

        verdict.refresh_from_db()
        assert verdict.action == retired
        assert retired not in actions_for(reviewer)
        with pytest.raises(Invalid):
            give_verdict(case=a_case(policy, "again"), action=retired, by=reviewer)
        with pytest.raises(StaleState):
            retire_action(action=retired, reason="Again", by=lead)
        with pytest.raises(StaleState, match="retired"):
            change_action(action=retired, values=WARN, by=lead)

    def test_the_last_one_that_lets_contents_stay_stays(self, lead):
        with pytest.raises(Conflict, match="lets contents stay"):
            retire_action(action=the_action("allow"), reason="Because", by=lead)

        create_action(name="keep", effect=Effect.NONE, values=ActionSettings(title="Keep", key="k"), by=lead)
        retire_action(action=the_action("allow"), reason="Because", by=lead)
        assert ReviewAction.objects.get(name="allow").is_retired


def test_a_callback_is_told(lead):
    subscription, _ = add_subscription(
        values=SubscriptionSettings(
            name="callback", kinds=["account.action"], url="https://example.org/callback"
        ),
        by=an_actor(),
    )
    values = ActionSettings(title="Remove", key="r", subscription=subscription)
    change_action(action=the_action("remove"), values=values, by=lead)
    policy, reviewer = a_list_policy(), a_reviewer()

    finish(decide(a_case(policy), "limit", reviewer))
    assert not Delivery.objects.exists()

    finish(decide(a_case(policy, "again"), "remove", reviewer))
    assert Delivery.objects.get().subscription == subscription
