"""Rolling back: to the split before, to an earlier one, to a version that was ever live."""

import pytest

from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.services import archive_version, unarchive_version
from registry.errors import Conflict, Invalid, NotFound, StaleState, VersionNotReady
from registry.record.models import AuditRecord
from registry.traffic.readiness import ReadinessState
from registry.traffic.selectors import previous_split, versions_ever_live, waiting_for
from registry.traffic.services import freeze_model, roll_back, set_split, settle_waiting_splits
from tests.support.factories import a_live_model, a_split, a_version, an_actor

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    """Three versions that were live one after the other, and a fourth that never was."""
    made = a_live_model(100)
    for _ in range(2):
        a_split(made, 100, versions=[a_version(made)])
    a_version(made)
    return Model.objects.get(pk=made.pk)


def numbered(model, number):
    return model.versions.get(number=number)


def live(model):
    split = model.splits.get(status="current")
    numbers = dict(model.versions.values_list("pk", "number"))
    return {numbers[pk]: share for pk, share in split.shares().items()}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_version_that_was_live_gets_everything(model, number):
    version, by = numbered(model, number), an_actor(Right.ROLL_BACK)
    split = roll_back(model=model, to_version=version, reason="worse", by=by)

    assert live(model) == {number: 10_000}
    assert model.aliases.get(name="champion").version.number == number
    record = AuditRecord.objects.first()
    assert (record.action, record.reason, record.after["split"]) == ("roll_back", "worse", split.number)


def test_a_version_that_was_live_with_a_small_share_counts_too():
    model = a_live_model(99, 1)
    a_split(model, 100)

    roll_back(model=model, to_version=numbered(model, 2), reason="x", by=an_actor())

    assert live(model) == {2: 10_000}


def test_a_newcomer_gets_no_more_by_rolling_back_to_it(model):
    a_split(model, 90, 10, versions=[numbered(model, 3), numbered(model, 4)])

    with pytest.raises(Conflict, match="not a rollback"):
        roll_back(model=model, to_version=numbered(model, 4), reason="x", by=an_actor())

    assert live(model) == {3: 9_000, 4: 1_000}


def test_a_version_that_was_never_live_is_refused(model):
    with pytest.raises(Conflict, match="was never live"):
        roll_back(model=model, to_version=numbered(model, 4), reason="x", by=an_actor())

    assert live(model) == {3: 10_000}


def test_a_shadow_was_never_live(model):
    third, shadow = numbered(model, 3), numbered(model, 4)
    set_split(model=model, arms={third: 10_000}, shadows={shadow: 5_000}, reason="x", by=an_actor())

    with pytest.raises(Conflict, match="was never live"):
        roll_back(model=model, to_version=shadow, reason="x", by=an_actor())
    assert [row.version.number for row in versions_ever_live(model)] == [3, 2, 1]


def test_what_waited_and_expired_was_never_live(model, verdict):
    verdict(ReadinessState.WAIT)
    a_split(model, 100, versions=[numbered(model, 4)])
    verdict(ReadinessState.READY)
    a_split(model, 100, versions=[numbered(model, 3)])

    with pytest.raises(Conflict, match="was never live"):
        roll_back(model=model, to_version=numbered(model, 4), reason="x", by=an_actor())
    assert numbered(model, 4) not in [row.version for row in versions_ever_live(model)]


@pytest.mark.parametrize("frozen_first", [True, False], ids=["before", "while it waits"])
def test_a_cold_rollback_waits_for_engines_and_for_no_freeze(model, verdict, frozen_first):
    if frozen_first:
        freeze_model(model=model, reason="incident", by=an_actor())
    verdict(ReadinessState.WAIT, "0 of 1 engine is warm")
    split = roll_back(model=model, to_version=numbered(model, 1), reason="x", by=an_actor())
    if not frozen_first:
        freeze_model(model=model, reason="incident", by=an_actor())
    assert waiting_for(split).sentence == "0 of 1 engine is warm"

    verdict(ReadinessState.READY)
    settle_waiting_splits(by=an_actor())

    assert live(model) == {1: 10_000}


def test_the_negative_control_any_other_split_waits_for_the_freeze_to_end(model, verdict):
    verdict(ReadinessState.WAIT)
    a_split(model, 100, versions=[numbered(model, 1)])
    freeze_model(model=model, reason="incident", by=an_actor())

    verdict(ReadinessState.READY)
    settle_waiting_splits(by=an_actor())

    assert live(model) == {3: 10_000}


def test_an_archived_version_refuses_and_says_what_to_do(model):
    first = numbered(model, 1)
    first = archive_version(version=first, reason="old", by=an_actor())

    for goal in ({"to_version": first}, {"to_split": model.splits.get(number=1)}):
        with pytest.raises(VersionNotReady, match=r"is archived.*Unarchive it first"):
            roll_back(model=model, **goal, reason="x", by=an_actor())

    unarchive_version(version=first, reason="needed", by=an_actor())
    roll_back(model=model, to_version=first, reason="x", by=an_actor())
    assert live(model) == {1: 10_000}


def test_one_goal_at_most(model):
    goals = {"to_version": numbered(model, 1), "to_split": model.splits.get(number=2)}

    with pytest.raises(Invalid, match="not both"):
        roll_back(model=model, **goals, reason="x", by=an_actor())


@pytest.mark.parametrize("goal", ["to_version", "to_split"])
def test_what_is_of_another_model_is_nothing_to_go_back_to(model, goal):
    other = a_live_model(100)
    goals = {"to_version": numbered(other, 1), "to_split": other.splits.get()}

    with pytest.raises(NotFound):
        roll_back(model=model, **{goal: goals[goal]}, reason="x", by=an_actor())


def test_there_is_nothing_before_the_first_split():
    with pytest.raises(NotFound):
        roll_back(model=a_live_model(100), reason="x", by=an_actor())


def test_who_has_seen_another_state_is_told(model):
    with pytest.raises(StaleState):
        roll_back(model=model, to_version=numbered(model, 1), reason="x", expected_revision=2, by=an_actor())


def test_versions_are_listed_with_when_they_answered(model):
    a_split(model, 50, 50, versions=[numbered(model, 1), numbered(model, 3)])
    rows = versions_ever_live(model)

    assert [(row.version.number, row.splits) for row in rows] == [(3, 2), (1, 2), (2, 1)]
    first, second = model.splits.get(number=1), model.splits.get(number=2)
    assert [row.to_at for row in rows] == [None, None, second.to_at]
    assert [row.from_at for row in rows][1:] == [first.from_at, second.from_at]
    assert previous_split(model).number == 3


class TestTwice:
    """A second rollback must not bring back what the first one left."""

    def test_it_goes_further_back(self, model):
        roll_back(model=model, reason="version 3 is wrong", by=an_actor())
        assert live(model) == {2: 10_000}

        roll_back(model=model, reason="so is version 2", by=an_actor())

        assert live(model) == {1: 10_000}

    def test_when_all_others_were_left_a_target_must_be_named(self, model):
        for _ in range(2):
            roll_back(model=model, reason="wrong", by=an_actor())

        with pytest.raises(NotFound, match="name a split or a version"):
            roll_back(model=model, reason="wrong", by=an_actor())

        roll_back(model=model, to_version=numbered(model, 3), reason="it was not at fault", by=an_actor())
        assert live(model) == {3: 10_000}

    def test_a_split_set_by_hand_does_not_count_as_left(self, model):
        a_split(model, 100, versions=[numbered(model, 1)])

        assert previous_split(model).number == 3
