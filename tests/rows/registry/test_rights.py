"""Each verb of the catalogue and of the intake checks its actor itself, whichever door the call came through."""

from pathlib import Path

import pytest

from registry.access.policies import Right, every_right
from registry.catalogue import services as catalogue
from registry.catalogue.services import edit_model, move_alias, register_version
from registry.errors import NotAllowed
from registry.intake.bundles.services import export_bundle, import_bundle, make_bundle
from registry.intake.checklist.services import ask_check
from registry.intake.examples.services import add_examples, put_golden_set
from registry.intake.services import begin_upload
from registry.record.models import AuditRecord
from tests.support.factories import a_file, a_model, a_person, a_version, an_actor

pytestmark = pytest.mark.django_db
WHY = {"reason": "x"}


def unread():
    raise AssertionError("read")
    yield b""


def retire(version, by):
    alias = move_alias(model=version.model, name="next", version=version, **WHY, by=an_actor())
    catalogue.retire_alias(alias=alias, **WHY, by=by)


def put_set(version, by):
    put_golden_set(model=version.model, lines=unread(), metric="f1", floor=None, margin=None, **WHY, by=by)


NEEDS = {
    "create_model": (Right.WRITE, lambda version, by: catalogue.create_model(slug="new", by=by)),
    "edit_model": (Right.WRITE, lambda version, by: edit_model(model=version.model, changes={}, by=by)),
    "register": (
        Right.WRITE,
        lambda version, by: register_version(model=version.model, file=a_file(), by=by),
    ),
    "start_check": (Right.WRITE, lambda version, by: catalogue.start_check(version=version, by=by)),
    "pass_check": (
        Right.WRITE,
        lambda version, by: catalogue.pass_check(version=version, signature={}, by=by),
    ),
    "fail_check": (
        Right.WRITE,
        lambda version, by: catalogue.fail_check(version=version, failure="x", by=by),
    ),
    "archive": (Right.WRITE, lambda version, by: catalogue.archive_version(version=version, **WHY, by=by)),
    "unarchive": (
        Right.WRITE,
        lambda version, by: catalogue.unarchive_version(version=version, **WHY, by=by),
    ),
    "serving": (
        Right.WRITE,
        lambda version, by: catalogue.change_serving(version=version, changes={}, **WHY, by=by),
    ),
    "move_alias": (
        Right.MOVE_ALIAS,
        lambda version, by: move_alias(model=version.model, name="next", version=version, **WHY, by=by),
    ),
    "retire_alias": (Right.MOVE_ALIAS, retire),
    "download": (Right.DOWNLOAD, lambda version, by: catalogue.make_download_link(version=version, by=by)),
    "export": (
        Right.DOWNLOAD,
        lambda version, by: catalogue.export_artifact(version=version, path="/nowhere", by=by),
    ),
    "export_bundle": (
        Right.DOWNLOAD,
        lambda version, by: export_bundle(version=version, path=Path("/nowhere"), by=by),
    ),
    "make_bundle": (Right.DOWNLOAD, lambda version, by: make_bundle(version=version, by=by)),
    "import_bundle": (Right.WRITE, lambda _, by: import_bundle(path=Path("/nowhere"), by=by)),
    "begin_upload": (Right.WRITE, lambda version, by: begin_upload(size_bytes=1, by=by)),
    "ask_check": (Right.WRITE, lambda version, by: ask_check(version=version, by=by)),
    "add_examples": (Right.WRITE, lambda version, by: add_examples(version=version, examples=[{}], by=by)),
    "put_golden_set": (Right.WRITE, put_set),
}


@pytest.mark.parametrize(("right", "verb"), NEEDS.values(), ids=NEEDS)
def test_without_its_right_or_out_of_reach_nothing_is_done(right, verb):
    version, person = a_version(a_model()), a_person("operator")

    for by in (an_actor(*(every_right() - {right}), user=person), an_actor(models=frozenset(), user=person)):
        with pytest.raises(NotAllowed):
            verb(version, by)

    assert not AuditRecord.objects.filter(actor_name=person.username).exists()


@pytest.mark.parametrize("name", ["edit_model", "register", "archive", "serving", "move_alias", "ask_check"])
def test_its_right_alone_is_enough_within_reach(name):
    version = a_version()
    right, verb = NEEDS[name]
    before = AuditRecord.objects.count()

    verb(version, an_actor(right, models=frozenset({version.model_id})))

    assert AuditRecord.objects.count() == before + 1
