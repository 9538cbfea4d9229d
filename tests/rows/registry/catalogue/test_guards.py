"""Guards of alias names: who gets past them, who may set them, and what is said to whom."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from registry.access import policies
from registry.access.keys import admit
from registry.access.models import ApiKey
from registry.access.policies import Right, Role, every_right
from registry.access.services import Person, change_person, revoke_key
from registry.catalogue.models import Alias, AliasGuard
from registry.catalogue.services import guard_alias, move_alias, retire_alias, unguard_alias
from registry.errors import Invalid, NotAllowed, NotFound, StaleState
from registry.kit.actors import Source
from registry.record.models import AuditRecord
from tests.support.factories import a_key, a_model, a_person, a_tenant, a_version, an_actor

pytestmark = pytest.mark.django_db
WHY = {"reason": "why"}


@pytest.fixture
def version():
    return a_version(a_model("fraud"))


def person(user):
    return policies.actor_from_user(user, Source.ADMIN)


def key(text):
    return policies.actor_from_key(admit(text).principal)


def guarded(model, *people, name="next", keys=(), **more):
    return guard_alias(model=model, name=name, people=people, keys=keys, **{**WHY, "by": an_actor(), **more})


def moved(version, by, name="next"):
    return move_alias(model=version.model, name=name, version=version, **WHY, by=by)


def may_move(version, by, name="next"):
    """Whether both verbs let the actor through; nothing is left of what they did."""
    present = moved(version, policies.command_actor("test"), name)
    verbs = [lambda: moved(version, by, name), lambda: retire_alias(alias=present, **WHY, by=by)]
    let = [is_let(verb) for verb in verbs]
    assert let[0] is let[1]
    return let[0]


def is_let(verb):
    try:
        verb()
    except NotAllowed:
        return False
    return True


def test_the_refusal_names_whom_the_guard_names(version):
    bob = person(a_person(Role.OPERATOR, username="bob"))
    assert may_move(version, bob)

    guarded(version.model, a_person(Role.OPERATOR, username="ann"))

    with pytest.raises(NotAllowed, match=r"bob may not move fraud@next: it is guarded, and only .*: ann\."):
        moved(version, bob)


def as_superuser(ann, named):
    root = a_person()
    root.is_superuser = True
    root.save()
    return person(root)


def as_a_namesake(ann, named):
    """A key of another tenant, with the name of the one that may."""
    namesake, text = a_key(tenant=a_tenant())
    ApiKey.objects.filter(pk=namesake.pk).update(name=named[0].name)
    return key(text)


@pytest.mark.parametrize(
    ("make", "is_let"),
    [
        (lambda ann, named: person(ann), True),
        (lambda ann, named: person(a_person(Role.OPERATOR)), False),
        (lambda ann, named: key(named[1]), True),
        (lambda ann, named: key(a_key()[1]), False),
        (as_a_namesake, False),
        (as_superuser, False),
        (lambda ann, named: policies.command_actor("move_alias"), True),
        (lambda ann, named: policies.task_actor("registry.some_task"), False),
        (lambda ann, named: replace(policies.command_actor("x"), user_id=a_person().pk), False),
    ],
    ids=[
        "a person it names", "another person", "a key it names", "another key", "key of the same name",
        "superuser", "command", "background task", "person behind a command",
    ],
)  # fmt: skip
def test_who_gets_past_a_guard(version, make, is_let):
    ann, named = a_person(Role.OPERATOR), a_key()
    guarded(version.model, ann, keys=[named[0]])

    assert may_move(version, make(ann, named)) is is_let


def test_a_person_and_a_key_of_the_same_number_are_two(version):
    ann = a_person(Role.OPERATOR)
    guarded(version.model, ann)

    assert not may_move(version, replace(key(a_key()[1]), key_id=ann.pk))


def test_a_guard_holds_for_one_name_of_one_model(version):
    guarded(version.model, a_person(Role.OPERATOR))

    for other in (person(a_person(Role.OPERATOR)), key(a_key()[1])):
        assert may_move(version, other, "other")
        assert may_move(a_version(), other, "next")


def test_a_guard_stands_before_there_is_an_alias(version):
    ann, bob = a_person(Role.OPERATOR), a_person(Role.OPERATOR)
    guarded(version.model, ann)

    with pytest.raises(NotAllowed):
        moved(version, person(bob))

    assert not Alias.objects.exists()
    assert moved(version, person(ann)).version == version


def test_a_guard_gives_nobody_the_right_to_move(version):
    ann = a_person(Role.OPERATOR, username="ann")
    guarded(version.model, ann, a_person(Role.OPERATOR, username="bob"))
    assert may_move(version, person(ann))

    a_person(Role.ADMIN)
    change_person(user=ann, person=Person(username="ann", roles=[Role.VIEWER]), by=an_actor())

    assert not may_move(version, person(ann))
    with pytest.raises(NotAllowed, match=r"only these may move it: bob\."):
        moved(version, person(a_person(Role.OPERATOR)))


def test_where_all_who_are_named_have_left_the_refusal_says_what_to_do(version):
    ann = a_person(Role.OPERATOR, username="ann")
    named, _ = a_key()
    guarded(version.model, ann, keys=[named])
    a_person(Role.ADMIN)
    change_person(user=ann, person=Person(username="ann", roles=[], is_active=False), by=an_actor())
    revoke_key(key=named, by=an_actor())

    with pytest.raises(NotAllowed, match="an administrator can name others"):
        moved(version, person(a_person(Role.OPERATOR)))


def test_a_guard_that_lost_everybody_lets_nobody_pass(version):
    ann = a_person(Role.OPERATOR)
    guarded(version.model, ann)
    ann.delete()

    assert AliasGuard.objects.exists()
    assert not may_move(version, person(a_person(Role.OPERATOR)))


def test_another_guard_takes_the_first_ones_place_and_both_are_on_record(version):
    ann, bob = a_person(Role.OPERATOR, username="ann"), a_person(Role.OPERATOR, username="bob")
    named, _ = a_key()
    guarded(version.model, ann)

    guarded(version.model, bob, keys=[named], reason="ann is away")

    record = AuditRecord.objects.order_by("-seq").first()
    now = {"people": ["bob"], "keys": [{"id": named.pk, "name": named.name}]}
    assert AliasGuard.objects.get().revision == 2
    assert (record.action, record.model_slug, record.reason) == ("guard_alias", "fraud", "ann is away")
    assert (record.before, record.after) == ({"people": ["ann"], "keys": []}, now)
    assert not may_move(version, person(ann))


def test_without_its_guard_everybody_moves_the_alias_again(version):
    guarded(version.model, a_person(Role.OPERATOR, username="ann"))

    unguard_alias(model=version.model, name="next", reason="all may", by=an_actor())

    record = AuditRecord.objects.order_by("-seq").first()
    assert (record.action, record.object_label) == ("unguard_alias", "guard of fraud@next")
    assert (record.before, record.after) == ({"people": ["ann"], "keys": []}, None)
    assert may_move(version, person(a_person(Role.OPERATOR)))
    with pytest.raises(NotFound, match="has no guard"):
        unguard_alias(model=version.model, name="next", **WHY, by=an_actor())


def test_what_is_read_of_an_alias_changes_with_its_guard(version):
    alias = moved(version, an_actor())
    guarded(version.model, a_person(Role.OPERATOR))

    with pytest.raises(StaleState, match="changed since you read it"):
        retire_alias(alias=alias, expected_revision=alias.revision, **WHY, by=policies.command_actor("test"))


def unguarded(model, **more):
    return unguard_alias(model=model, name="next", **{**WHY, "by": an_actor(), **more})


def guarded_by_somebody(model, **more):
    return guarded(model, a_person(Role.OPERATOR), **more)


BOTH_VERBS = pytest.mark.parametrize("verb", [guarded_by_somebody, unguarded], ids=["set", "take away"])


@BOTH_VERBS
def test_of_two_who_saw_the_same_guard_the_second_is_told(version, verb):
    seen = guarded_by_somebody(version.model, expected_revision=0).revision
    guarded_by_somebody(version.model)

    with pytest.raises(StaleState, match="guard of fraud@next has changed"):
        verb(version.model, expected_revision=seen)


def _inactive(_model):
    return {"people": [a_person(Role.OPERATOR, username="ann", is_active=False)]}


def _revoked(_model):
    return {"keys": [revoke_key(key=a_key()[0], by=an_actor())]}


def _expired(_model):
    found = a_key()[0]
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    return {"keys": [ApiKey.objects.get(pk=found.pk)]}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (lambda model: {}, "at least one"),
        (_inactive, "ann is not active"),
        (lambda model: {"people": [a_person(Role.ADMIN, username="ann")]}, "ann has no role"),
        (lambda model: {"people": [a_person(Role.OPERATOR, models=[a_model().pk])]}, "has no role"),
        (_revoked, "expired or was revoked"),
        (_expired, "expired or was revoked"),
        (lambda model: {"keys": [a_key("registry.read")[0]]}, "registry.write"),
        (lambda model: {"keys": [a_key(models=[a_model().pk])[0]]}, "registry.write"),
    ],
    ids=["nobody", "inactive", "no role", "reach", "revoked", "expired", "scope", "key's reach"],
)  # fmt: skip
def test_whom_a_guard_cannot_name(version, named, said):
    good = {"people": [a_person(Role.OPERATOR, models=[version.model_id])]}
    guard_alias(model=version.model, name="good", **good, **WHY, by=an_actor())

    with pytest.raises(Invalid, match=said):
        guard_alias(model=version.model, name="next", **named(version.model), **WHY, by=an_actor())

    assert AliasGuard.objects.get().name == "good"


def test_a_guard_names_fifty_at_most(version):
    ann = a_person(Role.OPERATOR)
    guarded(version.model, *[ann] * 50)

    with pytest.raises(Invalid, match="at most 50"):
        guarded(version.model, *[ann] * 51)


@pytest.mark.parametrize("name", ["champion", "Next", "a b", "", "x" * 65])
def test_what_cannot_be_guarded(version, name):
    with pytest.raises(Invalid):
        guarded(version.model, a_person(Role.OPERATOR), name=name)

    assert not AliasGuard.objects.exists()


@BOTH_VERBS
def test_setting_a_guard_needs_its_right_and_a_reason(version, verb):
    guarded_by_somebody(version.model)
    operator = an_actor(*(every_right() - {Right.MANAGE_SETTINGS}))

    with pytest.raises(NotAllowed, match="manage settings"):
        verb(version.model, by=operator)
    with pytest.raises(Invalid, match="Give a reason"):
        verb(version.model, reason=" ")
    verb(version.model, by=an_actor(Right.MANAGE_SETTINGS))


def run(*words):
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_guards_are_set_and_taken_away_by_command(version):
    named, _ = a_key()
    ann = a_person(Role.OPERATOR, username="ann")
    why = ["--reason", "x"]

    told = run("guard_alias", "fraud", "next", "--person", "ann", "--key", str(named.pk), *why)

    assert told.startswith(f"Only ann, {named.name} (rh_")
    assert may_move(version, person(ann))
    assert not may_move(version, person(a_person(Role.OPERATOR)))
    run("move_alias", "fraud", "next", "1", *why)
    run("retire_alias", "fraud", "next", *why)
    assert run("unguard_alias", "fraud", "next", *why) == "fraud@next is no longer guarded.\n"
    assert may_move(version, person(a_person(Role.OPERATOR)))
    assert AuditRecord.objects.filter(action="guard_alias", source="command").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--person", "ghost"], "no person named 'ghost'"),
        (["--key", "77"], "no key with the number 77"),
        ([], "at least one"),
    ],
    ids=["person", "key", "nobody"],
)  # fmt: skip
def test_what_is_wrong_with_a_command_ends_with_a_sentence(version, words, said):
    with pytest.raises(CommandError, match=said):
        run("guard_alias", "fraud", "next", *words, "--reason", "x")
