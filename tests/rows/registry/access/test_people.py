from functools import partial

import pytest
from django.contrib.auth.models import User

from registry.access import services
from registry.access.policies import Right, actor_from_user
from registry.access.services import Person
from registry.errors import Conflict, Invalid, NameTaken, NotAllowed
from registry.kit.actors import Source
from registry.record.models import AuditRecord
from tests.support.factories import PASSWORD, a_model, a_person, an_actor
from tests.support.tables import cases
from tests.support.together import at_once

pytestmark = pytest.mark.django_db
BY = an_actor()


def as_themselves(user: User):
    return actor_from_user(User.objects.get(pk=user.pk), Source.ADMIN)


def test_a_person_is_made_with_roles_and_no_more():
    model = a_model("fraud")
    person = Person("ada", ["viewer", "operator"], "Ada", "Lovelace", "ada@example.org", models=[model.pk])

    user = services.create_person(person=person, password=PASSWORD, by=BY)

    assert user.check_password(PASSWORD)
    assert (user.is_staff, user.is_superuser, user.user_permissions.count()) == (True, False, 0)
    record = AuditRecord.objects.get(action="create_person")
    assert record.after == {
        "username": "ada", "name": "Ada Lovelace", "email": "ada@example.org", "active": True,
        "roles": ["operator", "viewer"], "models": ["fraud"],
    }  # fmt: skip
    assert PASSWORD not in record.after_json
    assert user.password not in record.after_json


def test_a_change_of_roles_is_recorded_with_before_and_after():
    a_person("admin")
    user = a_person("viewer", username="ada")

    services.change_person(user=user, person=Person("ada", ["operator"], is_active=False), by=BY)

    record = AuditRecord.objects.get(action="change_person")
    assert (record.before["roles"], record.after["roles"]) == (["viewer"], ["operator"])
    assert (record.before["active"], record.after["active"]) == (True, False)


def test_a_person_without_a_password_cannot_log_in():
    user = services.create_person(person=Person("ada", []), password=None, by=BY)

    assert not user.has_usable_password()


@cases(
    "person, error",
    unknown_role=(Person("ada", ["wizard"]), Invalid),
    no_name=(Person("", []), Invalid),
    control_character=(Person("a\tb", []), Invalid),
    taken=(Person("taken", []), NameTaken),
    limited_admin=(Person("ada", ["admin"], models=[]), Invalid),
    unknown_model=(Person("ada", ["viewer"], models=[10**9]), Invalid),
)
def test_what_cannot_be_is_refused(person, error):
    a_person(username="taken")

    with pytest.raises(error):
        services.create_person(person=person, password=None, by=BY)
    assert User.objects.count() == 1


class TestEscalation:
    """What somebody with the admin role, and nothing else, might try."""

    @pytest.fixture
    def by(self):
        return as_themselves(a_person("admin"))

    def test_there_is_no_way_to_say_superuser(self, by):
        with pytest.raises(TypeError):
            Person("ada", [], is_superuser=True)
        assert not services.create_person(person=Person("ada", []), password=None, by=by).is_superuser

    @pytest.mark.parametrize("deed", ["change", "password"])
    def test_a_superuser_is_out_of_reach(self, by, deed):
        root = User.objects.create_superuser("root", password=PASSWORD)

        with pytest.raises(NotAllowed):
            if deed == "change":
                services.change_person(user=root, person=Person("root", [], is_active=False), by=by)
            else:
                services.set_password(user=root, password="taken over", by=by)

        root.refresh_from_db()
        assert root.is_active
        assert root.check_password(PASSWORD)

    def test_a_superuser_reaches_a_superuser(self):
        root = User.objects.create_superuser("root", password=PASSWORD)
        other = User.objects.create_superuser("other", password=PASSWORD)

        services.set_password(user=other, password="new-and-long-enough", by=as_themselves(root))

        other.refresh_from_db()
        assert other.check_password("new-and-long-enough")

    @cases(
        "verb",
        create=lambda user, by: services.create_person(person=Person("", ["wizard"]), password=None, by=by),
        change=lambda user, by: services.change_person(user=user, person=Person("ada", ["admin"]), by=by),
        password=lambda user, by: services.set_password(user=a_person("viewer"), password="x", by=by),
    )
    def test_every_other_right_manages_nobody(self, verb):
        user = a_person("viewer", username="ada")
        a_person("admin")
        others = [right for right in Right if right is not Right.MANAGE_PEOPLE]

        with pytest.raises(NotAllowed):
            verb(user, an_actor(*others, user=user))
        assert list(user.groups.values_list("name", flat=True)) == ["viewer"]

    def test_everybody_sets_their_own_password(self):
        user = a_person("viewer")

        services.set_password(user=user, password="new-and-long-enough", by=as_themselves(user))

        assert User.objects.get(pk=user.pk).check_password("new-and-long-enough")
        assert AuditRecord.objects.filter(action="set_password").exists()


class TestLastAdmin:
    @cases("change", role_taken={"roles": ["viewer"]}, locked_out={"roles": ["admin"], "is_active": False})
    def test_the_last_one_stays(self, change):
        user = a_person("admin", username="ada")

        with pytest.raises(Conflict):
            services.change_person(user=user, person=Person("ada", **change), by=BY)

        user.refresh_from_db()
        assert user.is_active
        assert list(user.groups.values_list("name", flat=True)) == ["admin"]
        assert not AuditRecord.objects.filter(action="change_person").exists()

    def test_the_last_but_one_may_go(self):
        a_person("admin")
        user = a_person("admin", username="ada")

        services.change_person(user=user, person=Person("ada", ["viewer"]), by=BY)

        assert list(user.groups.values_list("name", flat=True)) == ["viewer"]

    def test_an_inactive_admin_does_not_count(self):
        a_person("admin", is_active=False)
        user = a_person("admin", username="ada")

        with pytest.raises(Conflict):
            services.change_person(user=user, person=Person("ada", []), by=BY)


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_dismiss_each_other_one_stays():
    pair = [a_person("admin", username="ada"), a_person("admin", username="bob")]

    def dismiss(user):
        try:
            services.change_person(user=user, person=Person(user.username, []), by=BY)
        except Conflict:
            return "refused"
        return "dismissed"

    assert sorted(at_once(partial(dismiss, user) for user in pair)) == ["dismissed", "refused"]
    assert User.objects.filter(groups__name="admin").count() == 1
