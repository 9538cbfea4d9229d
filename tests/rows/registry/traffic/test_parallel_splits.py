import os
from functools import partial

import pytest

from registry.errors import StaleState
from registry.record.verification import verify
from registry.traffic.models import Split
from registry.traffic.services import set_split
from registry.traffic.transitions import Status
from tests.rows.registry.traffic.two_people import shares_of
from tests.support.factories import a_live_model, an_actor
from tests.support.together import at_once

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]
CALLERS = 20


def race(model, rounds):
    """Let all callers set a split that they all saw the same state for; return what each round gave."""
    return [
        at_once(partial(_outcome, model, 50 + number + turn, seen=turn + 1) for number in range(CALLERS))
        for turn in range(rounds)
    ]


def _outcome(model, share, seen):
    arms = shares_of(model, share, 100 - share)
    try:
        set_split(model=model, arms=arms, reason="race", expected_revision=seen, by=an_actor())
    except StaleState:
        return "stale"
    return "won"


def check(rounds):
    model = a_live_model(50, 50)

    outcomes = race(model, rounds)

    assert [sorted(turn) for turn in outcomes] == [["stale"] * (CALLERS - 1) + ["won"]] * rounds
    assert Split.objects.filter(model=model).count() == rounds + 1
    assert Split.objects.filter(model=model, status=Status.CURRENT).get().number == rounds + 1
    assert verify().fault is None


def test_of_twenty_parallel_changes_one_wins_and_the_chain_holds():
    check(int(os.environ.get("ROUNDHOUSE_TEST_ROUNDS", "5")))


@pytest.mark.long
def test_of_twenty_parallel_changes_one_wins_fifty_times():
    check(50)


def test_without_an_expected_revision_they_queue_or_are_told():
    model = a_live_model(50, 50)

    told = at_once(partial(_outcome, model, 40 + number, seen=None) for number in range(4))

    assert told == ["won"] * 4
    assert model.splits.count() == 5
