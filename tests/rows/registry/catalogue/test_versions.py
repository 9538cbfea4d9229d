import pytest

from registry.access.policies import Right
from registry.catalogue import services
from registry.catalogue.models import Artifact, Version
from registry.catalogue.transitions import ALLOWED, Status
from registry.errors import Conflict, Invalid, StaleState
from registry.record.models import AuditRecord, Event
from tests.support.factories import SIGNATURE, a_file, a_model, a_version, an_actor, an_uploaded_version

pytestmark = pytest.mark.django_db


def test_versions_are_numbered_from_one_per_model():
    model = a_model()

    numbers = [an_uploaded_version(model).number for _ in range(3)]

    assert numbers == [1, 2, 3]
    assert an_uploaded_version().number == 1


def test_the_same_file_is_one_artifact():
    file = a_file()

    first, second = an_uploaded_version(file=file), an_uploaded_version(file=file)

    assert first.artifact == second.artifact
    assert Artifact.objects.count() == 1


def test_a_version_begins_uploaded_with_default_serving_settings_and_a_record():
    version = an_uploaded_version()

    assert (version.status, version.signature, version.is_servable) == (Status.UPLOADED, None, False)
    assert version.serving_settings.get().revision == 1
    assert AuditRecord.objects.first().action == "register_version"


def test_a_parent_that_the_actor_may_not_see_is_no_parent():
    parent, model = a_version(), a_model()
    limited = an_actor(*Right, models=frozenset({model.pk}))

    with pytest.raises(Invalid, match="may not see"):
        services.register_version(model=model, file=a_file(), derived_from=parent, by=limited)


STEPS = {
    "start_check": (services.start_check, {}, Status.CHECKING),
    "pass_check": (services.pass_check, {"signature": SIGNATURE}, Status.READY),
    "fail_check": (services.fail_check, {"failure": "bad"}, Status.FAILED),
    "archive": (services.archive_version, {"reason": "x"}, Status.ARCHIVED),
}
WAYS = {
    Status.UPLOADED: [],
    Status.CHECKING: ["start_check"],
    Status.READY: ["start_check", "pass_check"],
    Status.FAILED: ["start_check", "fail_check"],
    Status.ARCHIVED: ["start_check", "pass_check", "archive"],
}


def take(step, version):
    verb, given, _to = STEPS[step]
    return verb(version=version, **given, by=an_actor())


def a_version_that_is(status):
    version = an_uploaded_version()
    for step in WAYS[status]:
        version = take(step, version)
    return version


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", Status.values)
def test_every_move_is_made_exactly_where_the_table_allows_it(status, step):
    version = a_version_that_is(Status(status))
    to = STEPS[step][-1]
    is_back_from_archive = status == Status.ARCHIVED

    if to in ALLOWED[Status(status)] and not is_back_from_archive:
        assert take(step, version).status == to
    elif not is_back_from_archive or to not in ALLOWED[Status.ARCHIVED]:
        with pytest.raises(Conflict):
            take(step, version)
        assert Version.objects.get(pk=version.pk).status == status


def test_of_two_who_saw_the_same_state_the_second_is_told():
    version = an_uploaded_version()
    copy = Version.objects.get(pk=version.pk)
    services.start_check(version=version, by=an_actor())

    with pytest.raises(StaleState, match="no longer uploaded"):
        services.start_check(version=copy, by=an_actor())


@pytest.mark.parametrize(("status", "back"), [(Status.READY, "ready"), (Status.FAILED, "failed")])
def test_an_archived_version_comes_back_as_what_its_check_had_found(status, back):
    version = services.archive_version(version=a_version_that_is(status), reason="x", by=an_actor())

    assert services.unarchive_version(version=version, reason="y", by=an_actor()).status == back


def test_a_failed_check_says_why_and_tells_people():
    version = a_version_that_is(Status.CHECKING)

    failed = services.fail_check(version=version, failure="the file does not load", by=an_actor())

    assert failed.failure == "the file does not load"
    assert "does not load" in Event.objects.get(kind="check_failed").summary


def test_a_failed_version_that_is_checked_again_has_no_failure_any_more_and_the_record_keeps_it():
    checked = services.start_check(version=a_version_that_is(Status.FAILED), by=an_actor())

    assert (checked.status, checked.failure) == (Status.CHECKING, "")
    record = AuditRecord.objects.first()
    assert (record.action, record.before_json) == ("start_check", '{"failure":"bad","status":"failed"}')


def test_a_version_that_an_alias_names_cannot_be_archived():
    version = a_version()
    alias = services.move_alias(model=version.model, name="next", version=version, reason="x", by=an_actor())

    with pytest.raises(Conflict, match="@next"):
        services.archive_version(version=version, reason="x", by=an_actor())

    services.retire_alias(alias=alias, reason="x", by=an_actor())
    assert services.archive_version(version=version, reason="x", by=an_actor()).status == Status.ARCHIVED


def test_a_version_cannot_be_saved_again_or_deleted():
    version = a_version()
    version.task_config = {"labels": ["x"]}

    with pytest.raises(Conflict, match="immutable"):
        version.save()
    with pytest.raises(Conflict, match="history"):
        version.delete()
