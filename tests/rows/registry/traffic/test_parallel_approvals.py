"""Twenty decide in the same moment: one of them did, the others are told."""

import os
from collections import Counter
from functools import partial

import pytest

from registry.access.policies import Role
from registry.errors import StaleState
from registry.record.models import AuditRecord
from registry.record.verification import verify
from registry.traffic.services import approve_request, reject_request, withdraw_request
from registry.traffic.transitions import Status
from tests.rows.registry.traffic.two_people import a_guarded_model, ask, live_percents
from tests.support.clients import signed_in
from tests.support.factories import a_person, an_actor
from tests.support.together import at_once

CALLERS = 20
pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


def outcome(verb, request, person):
    try:
        verb(request=request, reason="race", by=an_actor(user=person))
    except StaleState:
        return "stale"
    return verb.__name__


def race(rounds):
    model, people = a_guarded_model(), [a_person(Role.APPROVER) for _ in range(CALLERS)]
    won = Counter()
    for turn in range(rounds):
        request = ask(model, 99 - turn, 1 + turn)
        outcomes = at_once(partial(outcome, approve_request, request, person) for person in people)
        won[tuple(sorted(outcomes))] += 1
        request.refresh_from_db()
        assert request.split.number == turn + 2
        assert request.decider_id in {person.pk for person in people}

    assert won == {("approve_request", *["stale"] * (CALLERS - 1)): rounds}
    assert model.splits.count() == rounds + 1
    assert model.splits.get(status=Status.CURRENT).number == rounds + 1
    # One record of the split, and one of the decision.
    assert AuditRecord.objects.filter(action="approve_request").count() == 2 * rounds
    assert verify().fault is None


def test_of_twenty_parallel_approvals_one_wins_and_the_chain_holds():
    race(int(os.environ.get("ROUNDHOUSE_TEST_ROUNDS", "3")))


@pytest.mark.long
def test_of_twenty_parallel_approvals_one_wins_fifty_times():
    race(50)


def test_yes_no_and_withdrawn_in_the_same_moment_are_one_of_them():
    model, person = a_guarded_model(), a_person(Role.APPROVER)
    request = ask(model)
    verbs = [approve_request] * 4 + [reject_request] * 4 + [withdraw_request] * 4

    outcomes = at_once(partial(outcome, verb, request, person) for verb in verbs)

    (winner,) = set(outcomes) - {"stale"}
    request.refresh_from_db()
    assert Counter(outcomes) == {winner: 1, "stale": 11}
    assert live_percents(model) == ({1: 90, 2: 10} if winner == "approve_request" else {1: 100})
    assert (request.status == "approved") == (winner == "approve_request")
    assert verify().fault is None


def test_of_twenty_requests_approved_in_the_same_moment_one_is_granted_and_the_rest_are_overtaken():
    model, person = a_guarded_model(), a_person(Role.APPROVER)
    requests = [ask(model, 99 - number, 1 + number) for number in range(CALLERS)]

    outcomes = at_once(partial(outcome, approve_request, request, person) for request in requests)

    assert Counter(outcomes) == {"approve_request": 1, "stale": CALLERS - 1}
    statuses = Counter(model.split_requests.values_list("status", flat=True))
    assert statuses == {"approved": 1, "overtaken": CALLERS - 1}
    assert model.splits.count() == 2


def test_of_twenty_parallel_posts_one_is_200_and_nineteen_409():
    model, person = a_guarded_model(), a_person(Role.APPROVER)
    path = f"/api/v1/models/{model.slug}/requests/{ask(model).pk}/approve"
    clients = [signed_in(person) for _ in range(CALLERS)]

    answers = at_once(partial(client.post, path, {"reason": "race"}) for client in clients)

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (CALLERS - 1)
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"stale_state"}
    assert model.splits.count() == 2
