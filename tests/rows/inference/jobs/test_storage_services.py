import pytest
from django.db import IntegrityError, transaction

from inference.jobs import storage as files_module
from inference.jobs.errors import BadStore, BadStorePath, NotInStore
from inference.jobs.models import Store, StoreKind
from inference.jobs.policies import stores_for
from inference.jobs.services.storage import StoreSettings, add_store, change_store, remove_store
from inference.jobs.storage import fetch, make_reference, open_for_writing
from inference.rows.errors import RowFileTooLarge
from inference.rows.files import RowLimits
from registry.access.policies import Right, every_right
from registry.errors import NameTaken, NotAllowed, NotFound
from registry.kit.actors import Actor, Source
from registry.record.models import AuditRecord
from registry.record.sentences import describe
from tests.support.factories import a_tenant, an_actor

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.JOB_FOLDERS = [tmp_path / "allowed"]
    settings.DATA_DIR = tmp_path / "data"
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "rows.csv").write_text("x\n1\n")
    return tmp_path / "allowed"


def put(ref, source):
    with open_for_writing(ref) as target:
        target.write(source.read())


def store_settings(folder, **more):
    return StoreSettings(**{"kind": StoreKind.FOLDER, "root": str(folder), **more})


def a_store(folder, name="lake", **more):
    return add_store(name=name, settings=store_settings(folder, **more), by=an_actor())


def key_of(tenant):
    return Actor("key", Source.API, every_right(), key_id=1, tenant_id=tenant.pk)


def test_every_change_is_recorded(folder):
    tenant = a_tenant("acme")
    store = a_store(folder)
    change_store(
        store=store, settings=store_settings(folder, may_write=True, tenants=[tenant]), by=an_actor()
    )
    remove_store(store=store, by=an_actor())

    records = {record.action: record for record in AuditRecord.objects.filter(action__endswith="_store")}
    assert set(records) == {"add_store", "change_store", "remove_store"}
    assert records["change_store"].after["tenants"] == ["acme"]
    assert records["change_store"].before["tenants"] == []
    assert {action: describe(record) for action, record in records.items()} == {
        "add_store": f"added job storage lake: folder “{folder}”, jobs may read",
        "change_store": "changed job storage lake: jobs may write: no → yes; tenants: none → acme",
        "remove_store": "removed job storage lake",
    }
    assert Store.objects.count() == 0


def test_only_who_manages_settings_makes_stores(folder):
    store = a_store(folder)
    other = an_actor(Right.WRITE, Right.PREDICT)

    for forbidden in (
        lambda: add_store(name="mine", settings=store_settings(folder), by=other),
        lambda: change_store(store=store, settings=store_settings(folder), by=other),
        lambda: remove_store(store=store, by=other),
    ):
        with pytest.raises(NotAllowed):
            forbidden()


@pytest.mark.parametrize(
    "wish",
    [
        {"root": "/etc"},
        {"root": ""},
        {"root": "x" * 301},
        {"may_read": False},
        {"prefix": "../x"},
        {"kind": StoreKind.S3, "root": "s3://bucket"},
    ],
    ids=str,
)
def test_stores_that_cannot_be_are_refused(folder, wish):
    with pytest.raises((BadStore, BadStorePath)):
        a_store(folder, **wish)
    assert Store.objects.count() == 0


@pytest.mark.parametrize("name", ["", "Lake", "a/b", "a" * 65])
def test_names_are_plain(folder, name):
    with pytest.raises(BadStore):
        a_store(folder, name=name)


@pytest.mark.both
def test_a_name_is_there_once(folder):
    a_store(folder)

    with pytest.raises(NameTaken):
        a_store(folder)


@pytest.mark.both
@pytest.mark.parametrize("row", [{"root": ""}, {"may_read": False, "may_write": False}], ids=str)
def test_the_database_keeps_it_so(folder, row):
    store = a_store(folder)

    with pytest.raises(IntegrityError), transaction.atomic():
        Store.objects.filter(pk=store.pk).update(**row)
    Store.objects.filter(pk=store.pk).update(root="/x", may_read=False, may_write=True)


def test_a_store_is_open_to_its_tenants_and_to_people_where_it_says_so(folder):
    mine, other = a_tenant(), a_tenant()
    a_store(folder, "for-tenant", tenants=[mine])
    a_store(folder, "for-people", for_people=True)
    a_store(folder, "for-nobody")
    person = Actor("person", Source.ADMIN, every_right(), user_id=1)

    assert [store.name for store in stores_for(key_of(mine))] == ["for-tenant"]
    assert [store.name for store in stores_for(key_of(other))] == []
    assert [store.name for store in stores_for(person)] == ["for-people"]
    assert [store.name for store in stores_for(Actor("task", Source.TASK, every_right()))] == []


def test_references_are_given_for_what_is_allowed(folder):
    tenant = a_tenant()
    a_store(folder, tenants=[tenant])

    assert make_reference(store="lake", path="a/rows.csv", by=key_of(tenant)) == "lake/a/rows.csv"
    with pytest.raises(NotAllowed, match="write"):
        make_reference(store="lake", path="out.csv", writing=True, by=key_of(tenant))
    with pytest.raises(BadStorePath):
        make_reference(store="lake", path="../x", by=key_of(tenant))
    for store, who in (("lake", key_of(a_tenant())), ("sea", key_of(tenant))):
        with pytest.raises(NotFound, match="may not use"):
            make_reference(store=store, path="x", by=who)


def test_a_file_is_fetched_once_and_what_is_done_to_it_later_does_not_matter(folder, tmp_path):
    a_store(folder)

    fetch("lake/rows.csv", tmp_path / "copy")
    (folder / "rows.csv").write_text("other")

    assert fetch("lake/rows.csv", tmp_path / "copy").read_text() == "x\n1\n"
    with pytest.raises(NotInStore):
        fetch("lake/no.csv", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_file_that_is_too_large_is_not_fetched(folder, tmp_path, monkeypatch):
    a_store(folder)
    monkeypatch.setattr(files_module, "LIMITS", RowLimits(bytes=3))

    with pytest.raises(RowFileTooLarge):
        fetch("lake/rows.csv", tmp_path / "out" / "copy")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_was_taken_away_since_is_refused(folder, tmp_path):
    store = a_store(folder, may_write=True)
    with (folder / "rows.csv").open("rb") as file:
        put("lake/out/copy.csv", file)
        assert (folder / "out" / "copy.csv").read_text() == "x\n1\n"
        change_store(store=store, settings=store_settings(folder), by=an_actor())
        with pytest.raises(NotAllowed):
            put("lake/out/copy.csv", file)
    remove_store(store=store, by=an_actor())
    with pytest.raises(NotFound):
        fetch("lake/rows.csv", tmp_path / "copy")
