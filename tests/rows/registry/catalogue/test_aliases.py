import pytest

from registry.catalogue.models import Alias
from registry.catalogue.services import move_alias, retire_alias
from registry.errors import Invalid, NotFound, StaleState, VersionNotReady
from registry.record.models import AuditRecord
from tests.support.factories import a_model, a_version, an_actor, an_uploaded_version

pytestmark = pytest.mark.django_db


def moved(version, name="next", **more):
    return move_alias(
        model=version.model, name=name, version=version, **{"reason": "why", "by": an_actor(), **more}
    )


def test_every_move_is_kept_with_its_interval_actor_and_reason():
    model = a_model()
    first, second = a_version(model), a_version(model)
    moved(first, reason="one")

    alias = moved(second, reason="two")

    newest, oldest = alias.moves.all()
    assert alias.version == second
    assert (oldest.version, oldest.reason, oldest.moved_by, oldest.to_at) == (
        first, "one", "tester", newest.from_at,
    )  # fmt: skip
    assert (newest.version, newest.to_at) == (second, None)
    assert AuditRecord.objects.first().before == {"version": 1}


def test_a_retired_alias_points_nowhere_keeps_its_history_and_can_return():
    version = a_version()
    alias = retire_alias(alias=moved(version), reason="done", by=an_actor())

    assert alias.version is None
    assert alias.moves.get().to_at is not None
    with pytest.raises(NotFound):
        retire_alias(alias=alias, reason="again", by=an_actor())
    assert moved(version).moves.count() == 2


@pytest.mark.parametrize("verb", ["move", "retire"])
def test_champion_is_not_moved_by_hand(verb):
    version = a_version()
    alias = Alias.objects.create(model=version.model, name="champion", version=version)

    with pytest.raises(Invalid, match="set the split"):
        if verb == "move":
            moved(version, "champion")
        else:
            retire_alias(alias=alias, reason="x", by=an_actor())


def test_an_alias_names_ready_versions_of_its_model_only():
    model = a_model()

    with pytest.raises(VersionNotReady):
        moved(an_uploaded_version(model))
    with pytest.raises(Invalid, match="must point to a version"):
        move_alias(model=model, name="next", version=a_version(), reason="x", by=an_actor())


@pytest.mark.parametrize("name", ["Next", "a b", "", "../x", "x" * 65])
def test_what_cannot_be_an_alias(name):
    with pytest.raises(Invalid):
        moved(a_version(), name)

    assert not Alias.objects.exists()


def test_of_two_who_saw_the_same_alias_the_second_is_told():
    model = a_model()
    first, second = a_version(model), a_version(model)
    seen = moved(first).revision
    moved(second, expected_revision=seen)

    with pytest.raises(StaleState):
        moved(first, expected_revision=seen)
