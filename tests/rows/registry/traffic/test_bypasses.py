"""Ways round the rule that somebody might try, each by name."""

from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction

from registry.access.keys import ring
from registry.access.policies import (
    Role,
    actor_from_key,
    actor_from_user,
    command_actor,
    key_scopes,
    task_actor,
)
from registry.access.services import issue_key
from registry.catalogue import services as catalogue
from registry.errors import ApprovalNeeded, Conflict, Invalid, NotAllowed, StaleState
from registry.kit.actors import Source
from registry.traffic import services as traffic
from registry.traffic.models import SplitRequest
from registry.traffic.readiness import ReadinessState
from registry.traffic.services import approvals
from tests.rows.registry.traffic.two_people import a_guarded_model, approve, ask, live_percents, shares_of
from tests.support.factories import a_live_model, a_person, a_split, a_tenant, an_actor
from tests.support.tables import cases

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return a_guarded_model()


def by(user):
    return actor_from_user(user, Source.ADMIN)


def a_key_of(user):
    """A key with every scope that this person issued."""
    ring.clear()
    _, text = issue_key(name="k", tenant=a_tenant(), scopes=key_scopes(), by=an_actor(user=user))
    return actor_from_key(ring.admit(text).principal)


@pytest.fixture
def both():
    return a_person(Role.OPERATOR, Role.APPROVER)


def refuse(request, actor, error=NotAllowed):
    for verb in (traffic.approve_request, traffic.reject_request):
        with pytest.raises(error):
            verb(request=request, reason="x", by=actor)
    assert SplitRequest.objects.get(pk=request.pk).status == "open"
    assert live_percents(request.model) == {1: 100}


def test_approving_as_a_superuser_what_one_asked_for(model):
    user = a_person(Role.OPERATOR)
    user.is_superuser = True
    user.save()

    refuse(ask(model, by=by(user)), by(user))


@cases("asks, decides", in_person=(by, by), deciding_by_a_key=(by, a_key_of), asking_by_a_key=(a_key_of, by))
def test_approving_what_one_asked_for(model, both, asks, decides):
    refuse(ask(model, by=asks(both)), decides(both))


def test_a_key_that_was_handed_every_right(model, both):
    refuse(ask(model), replace(a_key_of(both), rights=an_actor().rights))


@pytest.mark.parametrize("actor", [task_actor("t"), command_actor("c")], ids=["task", "command"])
def test_machines_with_every_right(model, actor):
    refuse(ask(model), actor)
    with pytest.raises(ApprovalNeeded):
        traffic.set_split(model=model, arms=shares_of(model, 0, 100), reason="x", by=actor)


def test_changing_the_request_after_asking(model):
    request = ask(model, 90, 10)
    request.arms = {"2": 10_000}
    with pytest.raises(Conflict, match="immutable"):
        request.save()
    with pytest.raises(Conflict, match="history"):
        request.delete()

    split = approve(request)  # what is in hand here says 100 %; what is written down says 10

    assert live_percents(model) == {1: 90, 2: 10}
    assert split.request.arms == {"1": 9_000, "2": 1_000}


@pytest.mark.both
def test_the_database_knows_two_people_too(model, both, monkeypatch):
    monkeypatch.setattr(approvals, "_check_other_person", lambda _request, _by: None)
    request = ask(model, by=by(both))

    for actor in (by(both), task_actor("t")):
        with pytest.raises(IntegrityError, match="split_request_"), transaction.atomic():
            traffic.approve_request(request=request, reason="x", by=actor)
    assert live_percents(model) == {1: 100}


def test_asking_for_little_and_raising_it_afterwards(model):
    approve(ask(model, 90, 10))

    with pytest.raises(ApprovalNeeded):
        traffic.set_split(model=model, arms=shares_of(model, 89, 11), reason="x", by=an_actor())


def test_an_old_approval_is_good_once(model):
    request = ask(model, 90, 10)
    approve(request)
    a_split(model, 100)

    with pytest.raises(StaleState):
        approve(request)
    with pytest.raises(ApprovalNeeded):
        traffic.set_split(model=model, arms=shares_of(model, 90, 10), reason="x", by=an_actor())


def test_the_leaders_name_cannot_be_lent_to_another(model):
    second = model.versions.get(number=2)

    with pytest.raises(Invalid):
        catalogue.move_alias(model=model, name="champion", version=second, reason="x", by=an_actor())


def test_switching_the_rule_on_catches_what_waits(verdict):
    """A split that one person wrote and that waits for engines would come after the rule."""
    model = a_live_model(90, 10)
    verdict(ReadinessState.WAIT)
    a_split(model, 50, 50)

    with pytest.raises(Conflict, match="without approval"):
        traffic.set_approval_rule(model=model, needed=True, reason="x", by=an_actor())


def test_the_rule_is_switched_by_administrators_alone(model):
    for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER):
        with pytest.raises(NotAllowed):
            traffic.set_approval_rule(model=model, needed=False, reason="x", by=by(a_person(role)))
    with pytest.raises(NotAllowed):
        traffic.set_approval_rule(model=model, needed=False, reason="x", by=a_key_of(a_person(Role.ADMIN)))


class TestNeverWaits:
    """Whatever takes share away, and whatever was live before, is one person's decision."""

    @pytest.fixture
    def split(self, model):
        approve(ask(model, 50, 50))
        return model

    def test_lowering(self, split):
        operator, arms = by(a_person(Role.OPERATOR)), shares_of(split, 60, 40)
        traffic.set_split(model=split, arms=arms, reason="x", by=operator)
        assert live_percents(split) == {1: 60, 2: 40}

    def test_rolling_back_to_the_split_before(self, split):
        traffic.roll_back(model=split, reason="x", by=by(a_person(Role.OPERATOR)))
        assert live_percents(split) == {1: 100}

    def test_rolling_back_to_a_version_once_live(self, split):
        traffic.roll_back(model=split, reason="x", by=an_actor())
        traffic.roll_back(model=split, to_version=split.versions.get(number=2), reason="x", by=an_actor())
        assert live_percents(split) == {2: 100}

    def test_stopping(self, split):
        assert traffic.stop_model(model=split, text="x", by=by(a_person(Role.OPERATOR))).kind == "stopped"
