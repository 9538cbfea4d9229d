"""What one does when something is wrong, through each of its three doors: the admin, the API, the command line."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from registry.access.policies import Role
from registry.catalogue.models import Model
from registry.record.models import AuditRecord
from registry.traffic.models import Hold
from registry.traffic.selectors import live_arms, open_holds
from tests.support.clients import client_with
from tests.support.factories import a_live_model, a_person, a_split, a_version
from tests.support.tables import cases

pytestmark = pytest.mark.django_db
WORDS = {"stop": "text"}  # what the reason is called, where it is not the reason


@pytest.fixture
def model():
    """Two versions that were live one after the other."""
    made = a_live_model(100, slug="fruit")
    a_split(made, 100, versions=[a_version(made)])
    return Model.objects.get(pk=made.pk)


class Admin:
    source = "admin"

    def __init__(self):
        self.client = Client()
        self.client.force_login(a_person(Role.OPERATOR))

    def __call__(self, verb, words, goal=None):
        name = verb.replace("-", "_")
        page = reverse(f"admin:registry_model_{name}", args=[Model.objects.get(slug="fruit").pk])
        to = {"to": "-".join(str(part) for part in goal)} if goal else {}
        answer = self.client.post(page, {"reason": words, "seen": self._seen(page), **to})
        return answer.status_code == 302, answer.content.decode()

    def _seen(self, page):
        form = self.client.get(page).context["form"]
        return form["seen"].value() if "seen" in form.fields else ""


class Api:
    source = "api"

    def __init__(self):
        self.client = client_with()

    def __call__(self, verb, words, goal=None):
        to = {f"to_{goal[0]}": goal[1]} if goal else {}
        answer = self.client.post(f"/api/v1/models/fruit/{verb}", {WORDS.get(verb, "reason"): words, **to})
        return answer.status_code in {200, 201}, answer.content.decode()


class Command:
    source = "command"

    def __call__(self, verb, words, goal=None):
        to = [{"split": "--to", "version": "--to-version"}[goal[0]], str(goal[1])] if goal else []
        name = {"roll-back": "roll_back"}.get(verb, f"{verb}_model")
        out = StringIO()
        try:
            call_command(name, "fruit", f"--{WORDS.get(verb, 'reason')}", words, *to, stdout=out)
        except CommandError as error:
            return False, str(error)
        return True, out.getvalue()


@pytest.fixture(params=[Admin, Api, Command], ids=["admin", "api", "command"])
def door(request, model):
    return request.param()


def shares():
    return {arm.version: arm.share for arm in live_arms(Model.objects.get(slug="fruit"))}


@cases(
    "begin, end, kind",
    stop=("stop", "start", Hold.Kind.STOPPED),
    freeze=("freeze", "unfreeze", Hold.Kind.FROZEN),
)
def test_a_hold_begins_and_ends(door, model, begin, end, kind):
    assert door(begin, "wrong prices since 14:00")[0]
    assert open_holds(model) == {kind: "wrong prices since 14:00"}

    assert door(end, "mended")[0]

    assert open_holds(Model.objects.get(pk=model.pk)) == {}
    records = AuditRecord.objects.order_by("-seq").values_list("action", "reason", "source")[:2]
    assert list(records) == [
        (f"{end}_model", "mended", door.source),
        (f"{begin}_model", "wrong prices since 14:00", door.source),
    ]


@pytest.mark.parametrize(
    "goal", [None, ("split", 1), ("version", 1)], ids=["the one before", "split", "version"]
)
def test_roll_back(door, model, goal):
    assert shares() == {2: 10_000}

    done, said = door("roll-back", "worse", goal)

    assert done, said
    assert shares() == {1: 10_000}
    record = AuditRecord.objects.order_by("-seq").first()
    assert (record.action, record.reason, record.source) == ("roll_back", "worse", door.source)


def test_a_frozen_model_is_rolled_back_and_not_started(door, model):
    door("stop", "wrong")
    door("freeze", "audit week")

    assert door("roll-back", "worse", ("version", 1))[0]
    done, said = door("start", "go")

    assert not done
    assert "audit week" in said
    assert shares() == {1: 10_000}


@pytest.mark.parametrize("verb", ["stop", "freeze", "roll-back"])
def test_it_does_not_go_without_a_reason(door, verb):
    before = shares()

    assert not door(verb, " ")[0]

    assert (shares(), Hold.objects.count()) == (before, 0)
