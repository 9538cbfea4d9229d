"""Asking and deciding at the terminal, where everybody says who they are and proves it."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from registry.access.policies import Role
from registry.access.services import Person, change_person
from registry.record.models import AuditRecord
from registry.traffic.models import SplitRequest
from tests.rows.registry.traffic.two_people import a_guarded_model, ask, live_percents
from tests.support.factories import PASSWORD, a_live_model, a_person, an_actor

pytestmark = pytest.mark.django_db
WHY = ["--reason", "because"]


@pytest.fixture
def run(monkeypatch):
    def run(*words, password=PASSWORD, stdin=None):
        monkeypatch.setattr("sys.stdin", stdin or StringIO(f"{password}\n"))
        out = StringIO()
        call_command(*map(str, words), stdout=out)
        return out.getvalue()

    return run


@pytest.fixture
def model():
    return a_guarded_model()


@pytest.fixture
def olga(db):
    a_person(Role.OPERATOR, username="olga")
    return ["--as", "olga", "--password-stdin", *WHY]


@pytest.fixture
def anna(db):
    a_person(Role.APPROVER, username="anna")
    return ["--as", "anna", "--password-stdin", *WHY]


def make_olga(**changes):
    """Say anew who she is."""
    a_person(Role.ADMIN)  # somebody has to be left who manages people
    person = Person("olga", **{"roles": [Role.OPERATOR], **changes})
    change_person(user=User.objects.get(username="olga"), person=person, by=an_actor())


def test_one_asks_and_another_approves(run, olga, anna, model):
    asked = run("ask_split", model.slug, "1=90", "2=10", *olga)
    (request,) = SplitRequest.objects.all()
    listed = run("list_requests")
    approved = run("approve_request", model.slug, request.pk, *anna)

    assert asked.startswith(f"{request} is waiting for an approver at http")
    assert f"{request}: open. Requested by olga on" in listed
    assert ": version 1 90 %, version 2 10 % (because)\n  checks " in listed
    assert approved == f"{request} is approved. {model} split 2 is current.\n"
    assert live_percents(model) == {1: 90, 2: 10}
    records = AuditRecord.objects.filter(action__endswith="request").values_list("actor_name", "source")
    assert set(records) == {("anna", "command")}


def test_the_one_who_asked_does_not_decide_and_withdraws(run, olga, model):
    make_olga(roles=[Role.OPERATOR, Role.APPROVER])
    run("ask_split", model.slug, "2=100", *olga)
    (request,) = SplitRequest.objects.all()

    with pytest.raises(CommandError, match="someone else has to decide"):
        run("approve_request", model.slug, request.pk, *olga)
    assert "withdrawn" in run("withdraw_request", model.slug, request.pk, *olga)


def test_rejecting_keeps_what_is_live(run, anna, model):
    request = ask(model)

    assert run("reject_request", model.slug, request.pk, *anna) == f"{request} is rejected.\n"

    assert run("list_requests") == "There are no open requests.\n"
    assert "rejected. Requested by tester on" in run("list_requests", model.slug, "--all")
    assert "  anna: because\n" in run("list_requests", "--all")
    assert live_percents(model) == {1: 100}


def test_the_machine_decides_nothing(run, model):
    request = ask(model)

    with pytest.raises(CommandError, match="--as"):
        run("approve_request", model.slug, request.pk, *WHY)


def test_a_role_that_may_not_is_refused(run, olga, anna, model):
    request = ask(model)

    with pytest.raises(CommandError, match="olga lacks the right to approve change"):
        run("approve_request", model.slug, request.pk, *olga)
    with pytest.raises(CommandError, match="anna lacks the right to request change"):
        run("ask_split", model.slug, "2=100", *anna)


@pytest.mark.parametrize("wrong", ["password", "name", "inactive"])
def test_who_does_not_prove_who_they_are_does_nothing(run, olga, wrong, model):
    words = ["ask_split", model.slug, "2=100", *olga]
    if wrong == "inactive":
        make_olga(is_active=False)
    if wrong == "name":
        words[words.index("olga")] = "nobody"

    with pytest.raises(CommandError, match="Wrong password, or"):
        run(*words, password="guess" if wrong == "password" else PASSWORD)

    assert not SplitRequest.objects.exists()


def test_after_ten_wrong_passwords_the_right_one_is_refused(run, olga, model):
    words = ["ask_split", model.slug, "2=100", *olga]
    for _ in range(10):
        with pytest.raises(CommandError):
            run(*words, password="guess")

    with pytest.raises(CommandError, match="or it is locked"):
        run(*words)


def test_the_right_password_forgets_the_wrong_ones(run, olga, model):
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(CommandError):
                run("ask_split", model.slug, "2=100", *olga, password="guess")
        run("ask_split", model.slug, "2=100", *olga)

    assert SplitRequest.objects.count() == 3


def test_without_a_terminal_the_password_is_piped_in(run, olga, model):
    olga.remove("--password-stdin")

    with pytest.raises(CommandError, match="--password-stdin"):
        run("ask_split", model.slug, "2=100", *olga)


def test_at_a_terminal_it_is_asked_for(run, olga, monkeypatch, model):
    olga.remove("--password-stdin")
    asked = []
    monkeypatch.setattr("registry.management.base.getpass", lambda text: asked.append(text) or PASSWORD)

    run("ask_split", model.slug, "2=100", *olga, stdin=Terminal())

    assert asked == ["Password for olga: "]
    assert SplitRequest.objects.get().asked_by == "olga"


def test_a_request_is_found_under_its_model_only(run, anna):
    request, other = ask(a_guarded_model()), a_guarded_model()

    with pytest.raises(CommandError, match=f"{other} has no request {request.pk}"):
        run("approve_request", other.slug, request.pk, *anna)
    with pytest.raises(CommandError, match="no Model named 'ghost'"):
        run("list_requests", "ghost")


def test_set_split_says_where_to_ask(run, model):
    with pytest.raises(CommandError, match=r"needs a second person's approval.*ask_split"):
        run("set_split", model.slug, "2=100", *WHY)


def test_the_rule_is_switched(run):
    model = a_live_model(100)

    assert (
        run("approval_rule", model.slug, "on", *WHY)
        == f"Changes to {model} need a second person's approval.\n"
    )
    with pytest.raises(CommandError, match="already"):
        run("approval_rule", model.slug, "on", *WHY)
    assert (
        run("approval_rule", model.slug, "off", *WHY)
        == f"Changes to {model} do not need a second person's approval.\n"
    )

    record = AuditRecord.objects.filter(action="set_approval_rule").first()
    assert (record.after, record.reason) == ({"needs_approval": False}, "because")


class Terminal(StringIO):
    def isatty(self):
        return True
