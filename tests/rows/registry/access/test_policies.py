import pytest
from django.contrib.auth.models import AnonymousUser, Group, User

from moderation.rights import ModerationRight
from registry.access.key_ring import Principal
from registry.access.policies import (
    GRANTS,
    Grants,
    Right,
    Role,
    actor_from_key,
    actor_from_user,
    command_actor,
    every_right,
    global_rights,
    key_scopes,
    rights_by_role,
    rights_of_scopes,
)
from registry.access.roles import page_rights, sync_roles
from registry.catalogue.models import Model, Version
from registry.errors import NotAllowed
from registry.kit.actors import Source, in_scope, visible_models
from tests.support.factories import a_model, a_person, a_version, an_actor

pytestmark = pytest.mark.django_db
_ANY = {Right.PREDICT, Right.PREDICT_UNAPPROVED}
MAY = {
    Role.VIEWER: {Right.READ, ModerationRight.READ_POLICIES},
    Role.OPERATOR: _ANY | {
        Right.READ, Right.READ_RECORD, Right.WRITE, Right.REQUEST_CHANGE, Right.SET_SPLIT,
        Right.MOVE_ALIAS, Right.LOWER, Right.STOP, Right.ROLL_BACK, Right.FREEZE, Right.DOWNLOAD, Right.MANAGE_JOBS,
        ModerationRight.READ_POLICIES,
    },
    Role.APPROVER: _ANY | {Right.READ, Right.READ_RECORD, Right.APPROVE, ModerationRight.READ_POLICIES},
    Role.ADMIN: _ANY | {
        Right.READ, Right.READ_RECORD, Right.FREEZE, Right.MANAGE_EVENTS, Right.MANAGE_PEOPLE,
        ModerationRight.READ_POLICIES,
        Right.MANAGE_KEYS, Right.MANAGE_SETTINGS,
    },
}  # fmt: skip


@pytest.mark.parametrize("role", Role)
def test_a_role_holds_exactly_its_rights(role):
    assert rights_by_role()[role] == MAY[role]


def test_no_key_can_approve_or_manage():
    held = rights_of_scopes(frozenset(key_scopes()))

    of_moderation = frozenset(ModerationRight)  # a tenant's keys change its policies
    assert not held & (global_rights() - of_moderation | {Right.APPROVE, Right.READ_RECORD})
    assert set(key_scopes()) == {
        "predict", "predict.unapproved", "registry.read", "registry.write", "registry.download", "moderate",
        "moderate.test", "report", "erase", "quality.read", "policies.read", "policies.write",
    }  # fmt: skip


def test_an_app_adds_rights_roles_scopes_and_pages():
    review = Grants(
        rights=frozenset({"review", "manage_review"}),
        roles={Role.VIEWER: frozenset({"review"})},
        scopes={"review": frozenset({"review"}), "registry.read": frozenset({"review"})},
        scope_labels={"review": "review content"},
        pages={"registry.change_tag": "review"},
        global_rights=frozenset({"manage_review"}),
    )
    before = every_right(), key_scopes(), rights_of_scopes(frozenset({"registry.read"}))

    with GRANTS.changed(reviews=review):
        assert rights_by_role()[Role.VIEWER] == MAY[Role.VIEWER] | {"review"}
        assert every_right() == before[0] | review.rights
        assert "manage_review" in global_rights()
        assert key_scopes() == {**before[1], "review": "review content"}
        assert rights_of_scopes(frozenset({"registry.read"})) == {Right.READ, "review"}
        sync_roles()
        assert Group.objects.get(name=Role.VIEWER).permissions.filter(codename="change_tag").exists()

    assert (every_right(), key_scopes(), rights_of_scopes(frozenset({"registry.read"}))) == before


def test_every_right_has_an_app():
    assert every_right() == frozenset(Right) | frozenset(ModerationRight)


@pytest.mark.parametrize("role", Role)
def test_groups_open_the_pages_of_their_rights_and_no_others(role):
    Group.objects.get(name=role).permissions.clear()

    sync_roles()

    held = {
        f"{found.content_type.app_label}.{found.codename}"
        for found in Group.objects.get(name=role).permissions.all()
    }
    assert held
    assert held == {page for page in held if page_rights()[page] in rights_by_role()[role]}


def test_a_person_acts_with_the_rights_of_all_their_roles():
    user = a_person("viewer", "approver")

    by = actor_from_user(user, Source.API, "req-1")

    assert by.rights == MAY[Role.VIEWER] | MAY[Role.APPROVER]
    assert (by.name, by.user_id, by.models, by.request_id) == (user.username, user.pk, None, "req-1")


@pytest.mark.parametrize(
    "make",
    [AnonymousUser, lambda: a_person("operator", is_active=False), a_person],
    ids=["anonymous", "inactive", "without roles"],
)
def test_nobody_has_rights_by_default(make):
    assert actor_from_user(make(), Source.ADMIN).rights == frozenset()


def test_a_group_that_is_no_role_gives_nothing():
    user = a_person("viewer")
    user.groups.add(Group.objects.create(name="wizards"))

    assert actor_from_user(user, Source.ADMIN).rights == MAY[Role.VIEWER]


def test_a_superuser_may_do_anything():
    user = User.objects.create_superuser("root", password="x")

    assert actor_from_user(user, Source.ADMIN).rights == every_right()


def test_whoever_is_limited_to_some_models_manages_nothing_that_belongs_to_none():
    root = User.objects.create_superuser("root", password="x")
    mine = a_model()
    limited = a_person("operator", models=[mine.pk])
    root.object_scope = limited.object_scope  # as a shell could, past every service
    limited.object_scope.user = root
    limited.object_scope.save()

    by = actor_from_user(User.objects.get(pk=root.pk), Source.ADMIN)

    assert by.models == {mine.pk}
    assert not by.rights & global_rights()


def _principal(scopes, models=None) -> Principal:
    return Principal(1, "ci", 2, "acme", frozenset(scopes), models, None)


def test_a_key_acts_with_the_rights_of_its_scopes():
    by = actor_from_key(_principal(["predict", "registry.read"], frozenset({4})), request_id="req-1")

    assert by.rights == {Right.PREDICT, Right.READ}
    assert (by.key_id, by.tenant_id, by.models, by.user_id) == (1, 2, {4}, None)
    with pytest.raises(NotAllowed):
        by.check(Right.WRITE, model_id=4)


def test_a_scope_of_a_later_release_gives_nothing():
    assert actor_from_key(_principal(["cases.write"])).rights == frozenset()


def test_a_command_says_who_ran_it():
    by = command_actor("promote")

    assert by.name.endswith(": manage.py promote")
    assert (by.source, by.rights) == (Source.COMMAND, every_right())


class TestScope:
    @pytest.mark.parametrize(
        ("limit", "seen"),
        [(["a"], ["a"]), (["b"], ["b"]), (None, ["a", "b"]), ([], [])],
        ids=["one", "the other", "no limit", "none"],
    )
    def test_people_see_the_models_of_their_limit(self, limit, seen):
        models = {slug: a_model(slug).pk for slug in ("a", "b")}
        person = a_person("viewer", models=None if limit is None else [models[slug] for slug in limit])

        visible = visible_models(Model.objects.all(), actor_from_user(person, Source.API))

        assert sorted(visible.values_list("slug", flat=True)) == seen

    def test_without_the_right_to_read_nothing_is_seen(self):
        a_model()

        assert not visible_models(Model.objects.all(), an_actor(Right.PREDICT)).exists()

    def test_rows_of_models_follow_their_model(self):
        mine, other = a_version(), a_version()
        by = an_actor(Right.READ, models=frozenset({mine.model_id}))

        seen = set(in_scope(Version.objects.all(), by))

        assert seen == {mine}
        assert other in set(in_scope(Version.objects.all(), an_actor(Right.READ)))

    def test_the_limit_holds_for_every_right(self):
        mine, other = a_model(), a_model()
        by = actor_from_user(a_person("operator", models=[mine.pk]), Source.API)

        assert by.may(Right.SET_SPLIT, model_id=mine.pk)
        assert not by.may(Right.SET_SPLIT, model_id=other.pk)
        assert not by.may(Right.SET_SPLIT)
