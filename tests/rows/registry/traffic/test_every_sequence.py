"""Whatever is done in whatever order by whomever: no version gains live share that the rule does not give."""

import itertools
from typing import ClassVar

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from registry.access.keys import ring
from registry.access.policies import (
    Right,
    Role,
    actor_from_key,
    actor_from_user,
    command_actor,
    key_scopes,
    task_actor,
)
from registry.access.services import issue_key
from registry.catalogue import services as catalogue
from registry.errors import RoundhouseError
from registry.kit.actors import Actor, Source
from registry.traffic import services as traffic
from registry.traffic.models import Split, SplitRequest
from registry.traffic.readiness import READINESS, Readiness, ReadinessCheck, ReadinessState
from registry.traffic.services import approvals, rollback, splits
from tests.rows.registry.traffic.judging import look, wrongs, wrongs_with_settling
from tests.support.factories import a_model, a_person, a_split, a_tenant, a_version, an_actor

pytestmark = [pytest.mark.django_db]
VERSIONS = 4
PEOPLE = {
    "viewer": [Role.VIEWER],
    "operator": [Role.OPERATOR],
    "another operator": [Role.OPERATOR],
    "approver": [Role.APPROVER],
    "both": [Role.OPERATOR, Role.APPROVER],
    "both, too": [Role.OPERATOR, Role.APPROVER],
    "admin": [Role.ADMIN],
    "all": [Role.OPERATOR, Role.APPROVER, Role.ADMIN],
}
ISSUERS = ["operator", "approver", "both", "all"]
CALLERS = [*PEOPLE, *(f"key of {name}" for name in ISSUERS), "key of nobody", "command", "task"]
callers = st.sampled_from(CALLERS)
# Those who come near to it; with everybody each time, two steps that belong together would hardly ever meet.
askers = st.sampled_from(["operator", "both", "all", "key of approver", "key of both", "task", "viewer"])
deciders = st.sampled_from(["approver", "both", "all", "key of both", "task", "command", "operator"])
choices = st.integers(0, 7)


@st.composite
def some_shares(draw):
    """Basis points of the versions, by their place."""
    chosen = draw(st.lists(st.integers(0, VERSIONS - 1), min_size=1, max_size=3, unique=True))
    cuts = sorted(
        draw(st.lists(st.integers(1, 9), min_size=len(chosen) - 1, max_size=len(chosen) - 1, unique=True))
    )
    return dict(zip(chosen, (b - a for a, b in itertools.pairwise([0, *cuts, 10])), strict=True))


class EverySequence(RuleBasedStateMachine):
    """One Model that begins with the rule on, and everybody who may do something to it."""

    actors: ClassVar[dict[str, Actor]]

    def __init__(self):
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.verdict = ReadinessState.READY
        check = ReadinessCheck(lambda _: Readiness(self.verdict, "because"))
        self.readiness = READINESS.changed(engines=check)
        self.readiness.__enter__()

    @initialize()
    def a_live_model(self):
        model = a_model()
        self.versions = [a_version(model) for _ in range(VERSIONS)]
        a_split(model, 70, 30)
        self.model = traffic.set_approval_rule(model=model, needed=True, reason="a test", by=an_actor())

    def teardown(self):
        self.readiness.__exit__(None, None, None)
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    def does(self, verb, caller, **what):
        """Let somebody do it; whether or not they were refused, nothing may be wrong afterwards."""
        by, before = self.actors[caller], look(self.model)
        try:
            with transaction.atomic():
                verb(**what, by=by)
        except RoundhouseError:
            pass
        assert wrongs(self.model, before, by) == []

    def arms(self, shares):
        return {self.versions[place]: tenths * 1_000 for place, tenths in shares.items()}

    def one_of(self, rows, choice):
        found = list(rows.order_by("pk"))
        assume(found)
        return found[choice % len(found)]

    @rule(caller=askers, shares=some_shares())
    def ask(self, caller, shares):
        self.does(traffic.ask_for_split, caller, model=self.model, arms=self.arms(shares), comment="x")

    @rule(caller=deciders, choice=choices)
    def approve(self, caller, choice):
        request = self.one_of(SplitRequest.objects.filter(model=self.model, status="open"), choice)
        self.does(traffic.approve_request, caller, request=request, reason="x")

    @rule(caller=askers, shares=some_shares())
    def ask_and_approve(self, caller, shares):
        self.ask(caller, shares)
        self.approve(caller, -1)

    @rule(
        caller=deciders,
        verb=st.sampled_from([traffic.approve_request, traffic.reject_request, traffic.withdraw_request]),
        choice=choices,
    )
    def decide_any(self, caller, verb, choice):
        self.does(
            verb,
            caller,
            request=self.one_of(SplitRequest.objects.filter(model=self.model), choice),
            reason="x",
        )

    @rule(caller=callers, shares=some_shares(), verb=st.sampled_from([traffic.set_split, traffic.set_or_ask]))
    def set(self, caller, shares, verb):
        self.does(verb, caller, model=self.model, arms=self.arms(shares), reason="x")

    @rule(caller=callers, to=st.sampled_from(["before", "split", "version"]), choice=choices)
    def roll_back(self, caller, to, choice):
        goal = {
            "before": {},
            "split": {"to_split": self.one_of(Split.objects.filter(model=self.model), choice)},
            "version": {"to_version": self.versions[choice % VERSIONS]},
        }[to]
        self.does(traffic.roll_back, caller, model=self.model, **goal, reason="x")

    @rule(caller=callers, needed=st.booleans())
    def set_rule(self, caller, needed):
        self.does(traffic.set_approval_rule, caller, model=self.model, needed=needed, reason="x")

    @rule(
        caller=callers,
        verb=st.sampled_from(
            [traffic.freeze_model, traffic.unfreeze_model, traffic.start_model, traffic.reshuffle]
        ),
    )
    def hold_or_reshuffle(self, caller, verb):
        self.does(verb, caller, model=self.model, reason="x")

    @rule(caller=callers)
    def stop(self, caller):
        self.does(traffic.stop_model, caller, model=self.model, text="x")

    @rule(caller=callers, name=st.sampled_from(["champion", "next"]), choice=choices)
    def move_alias(self, caller, name, choice):
        version = self.versions[choice % VERSIONS]
        self.does(catalogue.move_alias, caller, model=self.model, name=name, version=version, reason="x")

    @rule(
        caller=callers,
        choice=choices,
        verb=st.sampled_from([catalogue.archive_version, catalogue.unarchive_version]),
    )
    def put_away(self, caller, choice, verb):
        self.does(verb, caller, version=self.versions[choice % VERSIONS], reason="x")

    @rule(verdict=st.sampled_from(ReadinessState))
    def warmth_changes(self, verdict):
        self.verdict = verdict

    @rule()
    def settle(self):
        before = look(self.model)
        traffic.settle_waiting_splits(by=task_actor("test"))
        assert wrongs_with_settling(self.model, before) == []

    @rule(caller=callers, verb=st.sampled_from(["settle", "expire"]), choice=choices)
    def end_waiting(self, caller, verb, choice):
        split = self.one_of(Split.objects.filter(model=self.model, status="waiting"), choice)
        if verb == "settle":
            self.does(traffic.settle_split, caller, split=split)
        else:
            self.does(traffic.expire_split, caller, split=split, reason="x")


@pytest.fixture
def run(db):
    """Try so many sequences of so many steps."""
    people = {name: a_person(*roles) for name, roles in PEOPLE.items()}
    tenant = a_tenant()
    issuers = {name: an_actor(user=people[name]) for name in ISSUERS} | {"nobody": an_actor()}
    actors = {name: actor_from_user(user, Source.API) for name, user in people.items()}
    actors |= {f"key of {name}": a_keys_actor(tenant, issuer) for name, issuer in issuers.items()}
    actors |= {"command": command_actor("test"), "task": task_actor("test")}
    assert actors.keys() == set(CALLERS)

    def run(examples, steps=18, phases=tuple(Phase)):
        run_state_machine_as_test(
            type("WithActors", (EverySequence,), {"actors": actors}),
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, database=None, phases=phases,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip

    yield run
    ring.clear()


def a_keys_actor(tenant, issuer):
    _, text = issue_key(name="key", tenant=tenant, scopes=key_scopes(), by=issuer)
    return actor_from_key(ring.admit(text).principal)


def test_no_sequence_gives_live_share_that_the_rule_does_not(run):
    run(15)


@pytest.mark.long
def test_no_sequence_of_many_gives_live_share_that_the_rule_does_not(run):
    run(600, steps=40)


class TestTheSearchItself:
    """Its negative controls: holes that it must find."""

    def test_setting_a_split_without_the_rule(self, run, monkeypatch):
        found = splits.lock_model

        def one_person_is_enough(model):
            present = found(model)
            present.needs_approval = False
            return present

        monkeypatch.setattr(splits, "lock_model", one_person_is_enough)

        with pytest.raises(AssertionError, match="nobody approved it"):
            run(300, phases=[Phase.generate])

    @pytest.mark.long
    def test_rolling_back_to_what_was_never_live(self, run, monkeypatch):
        monkeypatch.setattr(rollback, "_check_was_live", lambda _model, version: version)

        with pytest.raises(AssertionError, match="nobody approved it"):
            run(300, phases=[Phase.generate])

    @pytest.mark.long
    def test_a_rule_that_anybody_may_switch(self, run, monkeypatch):
        class Rights:
            REQUEST_CHANGE, APPROVE, MANAGE_SETTINGS = Right.REQUEST_CHANGE, Right.APPROVE, Right.READ

        monkeypatch.setattr(approvals, "Right", Rights)

        with pytest.raises(AssertionError, match="lacks manage_settings"):
            run(300, phases=[Phase.generate])

    @pytest.mark.long
    def test_one_person_twice_is_stopped_by_the_database(self, run, monkeypatch):
        monkeypatch.setattr(approvals, "_check_other_person", lambda _request, _by: None)

        with pytest.raises(IntegrityError, match="split_request_"):
            run(300, phases=[Phase.generate])
