import os
import threading

import pytest
from django.db import connections

from registry.errors import StaleState
from registry.record.verification import verify
from registry.traffic.models import Split
from registry.traffic.services import set_split
from registry.traffic.transitions import Status
from tests.support.factories import a_live_model, an_actor

CALLERS = 20


def race(model, rounds):
    """Let all callers set a split that they all saw the same state for; return the winners of each round."""
    versions = list(model.versions.order_by("number"))
    outcomes: list[list[str]] = [[] for _ in range(rounds)]
    barrier = threading.Barrier(CALLERS)

    def call(number: int) -> None:
        try:
            for turn in range(rounds):
                arms = {versions[0]: 5_000 + number + turn, versions[1]: 5_000 - number - turn}
                barrier.wait(timeout=60)
                outcomes[turn].append(_outcome(model, arms, seen=turn + 1))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call, args=[number]) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _outcome(model, arms, seen):
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


@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_changes_one_wins_and_the_chain_holds():
    check(int(os.environ.get("ROUNDHOUSE_TEST_ROUNDS", "5")))


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_changes_one_wins_fifty_times():
    check(50)


@pytest.mark.django_db(transaction=True)
def test_without_an_expected_revision_they_queue_or_are_told():
    model = a_live_model(50, 50)
    versions = list(model.versions.order_by("number"))
    told: list[str] = []

    def call(number: int) -> None:
        arms = {versions[0]: 4_000 + number, versions[1]: 6_000 - number}
        told.append(_outcome(model, arms, seen=None))
        connections.close_all()

    threads = [threading.Thread(target=call, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert told == ["won"] * 4
    assert model.splits.count() == 5
