import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from registry.access.models import ApiKey
from registry.access.policies import Role, key_scopes
from registry.access.services import Person, change_person, revoke_key
from registry.catalogue.models import AliasGuard
from registry.catalogue.policies import key_may_move, person_may_move
from registry.catalogue.selectors import keys_that_may_move, people_who_may_move
from registry.catalogue.services import guard_alias, move_alias
from registry.record.models import AuditRecord
from tests.support.factories import a_key, a_live_model, a_model, a_person, a_version, an_actor

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def alias():
    version = a_version(a_model("fraud"))
    return move_alias(model=version.model, name="next", version=version, reason="x", by=an_actor())


@pytest.fixture
def ann():
    return a_person(Role.OPERATOR, username="ann")


@pytest.fixture
def admin(client):
    client.force_login(a_person(Role.ADMIN, username="chief"))
    return client


def page_of(alias):
    return reverse("admin:registry_alias_change", args=[alias.pk])


def guard_page(name="next", verb="guard", slug="fraud"):
    return reverse(f"admin:registry_alias_{verb}", args=[slug, name])


def another_page(slug="fraud"):
    return reverse("admin:registry_alias_guard_another", args=[slug])


def guarded(model, *people, name="next", keys=()):
    return guard_alias(model=model, name=name, people=people, keys=keys, reason=EVIL, by=an_actor())


def test_a_guard_is_added_edited_and_removed_on_the_aliass_page(admin, alias, ann):
    named, _ = a_key()
    assert "It has no guard" in admin.get(page_of(alias)).text
    form = admin.get(guard_page()).text
    assert "1 person and 1 key can move it now." in form
    assert "chief" not in form.split("<form")[-1]  # an admin is no operator

    done = admin.post(
        guard_page(), {"people": [ann.pk], "keys": [named.pk], "reason": EVIL, "seen": "0"}, follow=True
    )

    assert done.redirect_chain[-1][0] == page_of(alias)
    assert f"Only ann, key {named.name} can now move fraud@next." in done.text
    assert EVIL not in done.text
    assert "guarded by chief" in done.text
    assert "checked" in admin.get(guard_page()).text
    admin.post(guard_page(), {"people": [ann.pk], "reason": "x", "seen": "1"})
    assert not AliasGuard.objects.get().keys.exists()
    gone = admin.post(guard_page(verb="unguard"), {"reason": "all may"}, follow=True)
    assert "It has no guard" in gone.text
    assert AuditRecord.objects.order_by("-seq").first().source == "admin"


def test_a_name_is_guarded_from_the_models_page_before_there_is_an_alias(admin, alias, ann):
    model_page = f"{reverse('admin:registry_model_change', args=[alias.model_id])}?tab=access"
    assert another_page() in admin.get(model_page).text

    done = admin.post(another_page(), {"name": "later", "people": [ann.pk], "reason": "x", "seen": "0"})

    assert done["Location"] == model_page
    page = admin.get(model_page).text
    assert "@later" in page
    assert guard_page("later") in page and guard_page("later", "unguard") in page
    again = admin.post(another_page(), {"name": "later", "people": [ann.pk], "reason": "x", "seen": "0"})
    assert "@later already has a guard" in again.text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Choose at least one"),
        ({"people": ["chief"]}, "not one of the available choices"),
        ({"people": ["ann"], "reason": ""}, "required"),
        ({"people": ["ann"], "seen": "7"}, "changed since you read it"),
        ({"people": ["ann"], "name": "champion"}, "cannot be guarded"),
        ({"people": ["ann"], "name": "A B"}, "lower-case"),
    ],
    ids=["nobody", "no right", "no reason", "somebody was faster", "champion", "no name"],
)
def test_what_is_wrong_with_a_guard_is_said_on_its_form(admin, alias, ann, given, said):
    people = [User.objects.get(username=name).pk for name in given.get("people", [])]

    page = admin.post(another_page(), {"name": "next", "reason": "x", "seen": "0", **given, "people": people})

    assert said in page.text
    assert not AliasGuard.objects.exists()


def test_anyone_who_can_see_an_alias_sees_who_can_move_it(client, admin, alias, ann):
    guarded(alias.model, ann, a_person(Role.OPERATOR, username="bob"))
    change_person(user=ann, person=Person(username="ann", roles=[Role.VIEWER]), by=an_actor())
    client.force_login(a_person(Role.VIEWER))

    model_page = f"{reverse('admin:registry_model_change', args=[alias.model_id])}?tab=access"
    for url in (page_of(alias), model_page):
        page = client.get(url).text
        assert "ann (no longer allowed)" in page and ">bob</span>" in page
        assert guard_page() not in page
        assert EVIL not in page
    assert "those named in its guard" in client.get(reverse("admin:registry_alias_changelist")).text


def verb_page(alias, verb):
    return reverse(f"admin:registry_alias_{verb}", args=[alias.pk])


def test_an_alias_is_moved_and_retired_from_its_page(client, alias, ann):
    client.force_login(ann)
    assert "No other version of fraud is ready." in client.get(verb_page(alias, "move")).text
    second = a_version(alias.model)
    assert "It points to version 1 now." in client.get(verb_page(alias, "move")).text

    done = client.post(
        verb_page(alias, "move"), {"version": second.pk, "reason": EVIL, "seen": alias.revision}, follow=True
    )

    assert "fraud@next now points to version 2." in done.text
    assert EVIL not in done.text
    late = client.post(verb_page(alias, "retire"), {"reason": "x", "seen": alias.revision})
    assert "changed since you read it" in late.text
    done = client.post(verb_page(alias, "retire"), {"reason": "x", "seen": alias.revision + 1}, follow=True)
    assert "fraud@next is retired: it no longer points to a version." in done.text
    assert verb_page(alias, "retire") not in done.text


@pytest.mark.parametrize("verb", ["move", "retire"])
def test_people_not_named_in_a_guard_get_no_button_and_are_refused(client, alias, ann, verb):
    second = a_version(alias.model)
    body = {"version": second.pk, "reason": "x", "seen": "2"}
    guarded(alias.model, ann)

    client.force_login(a_person(Role.OPERATOR, username="bob"))
    assert verb_page(alias, verb) not in client.get(page_of(alias)).text
    refused = client.post(verb_page(alias, verb), body).text
    assert "bob may not move fraud@next: it is guarded, and only these may move it: ann." in refused
    assert alias.moves.get().to_at is None

    client.force_login(ann)
    assert verb_page(alias, verb) in client.get(page_of(alias)).text
    assert client.post(verb_page(alias, verb), body).status_code == 302
    alias.refresh_from_db()
    assert alias.version == (second if verb == "move" else None)


def test_people_without_the_right_any_longer_are_named_and_left_out(admin, alias, ann):
    guarded(alias.model, ann, a_person(Role.OPERATOR, username="bob"))
    change_person(user=ann, person=Person(username="ann", roles=[Role.VIEWER]), by=an_actor())

    page = admin.get(guard_page()).text

    assert "These can move it now: bob." in page
    assert "left out of this form: ann." in page


def test_champion_offers_no_guard(admin):
    model = a_live_model(100)

    page = admin.get(page_of(model.aliases.get(name="champion"))).text

    assert "No one can move it: it follows the split" in page
    for address in (guard_page("champion", slug=model.slug), "/move/", "/retire/"):
        assert address not in page


def test_no_buttons_without_the_rights(client, alias, ann):
    guarded(alias.model, ann)
    client.force_login(a_person(Role.VIEWER))

    page = client.get(page_of(alias)).text

    buttons = [guard_page(), guard_page(verb="unguard"), another_page()]
    buttons += [verb_page(alias, "move"), verb_page(alias, "retire")]
    assert [button for button in buttons if button in page] == []


def test_guards_of_models_out_of_reach_are_not_there(client, alias, ann):
    guarded(alias.model, ann)
    client.force_login(a_person(Role.OPERATOR, models=[a_model().pk]))

    for url in (guard_page(), guard_page(verb="unguard"), another_page()):
        assert client.get(url).status_code == 404
    assert "fraud" not in client.get(reverse("admin:registry_alias_changelist")).text


@pytest.mark.both
def test_the_forms_offer_exactly_those_who_may_move(alias):
    model = alias.model
    for role in Role:
        a_person(role)
        a_person(role, is_active=False)
    a_person(Role.OPERATOR, models=[model.pk])
    a_person(Role.OPERATOR, models=[a_model().pk])
    a_person(Role.OPERATOR, Role.VIEWER)
    root = a_person()
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    for scope in key_scopes():
        a_key(scope)
    a_key(models=[model.pk])
    a_key(models=[a_model().pk])
    revoke_key(key=a_key()[0], by=an_actor())

    people = [user for user in User.objects.order_by("username") if person_may_move(user, model)]
    keys = [key for key in ApiKey.objects.order_by("name", "pk") if key_may_move(key, model)]

    assert list(people_who_may_move(model)) == people
    assert list(keys_that_may_move(model)) == keys
    assert (len(people), len(keys)) == (4, 2)
