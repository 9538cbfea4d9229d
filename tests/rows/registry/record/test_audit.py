from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pytest
from django.db import DatabaseError, connection, transaction

from registry.kit.actors import Actor, Source
from registry.record import audit
from registry.record.audit import AuditSubject, record_change
from registry.record.chain import GENESIS
from registry.record.checkpoints import write_checkpoint
from registry.record.models import AuditCheckpoint, AuditRecord, Lease
from registry.record.verification import verify
from tests.support.tables import cases
from tests.support.together import at_once

pytestmark = pytest.mark.django_db
WRITERS, EACH = 8, 10


def test_a_record_keeps_who_did_what_to_which_object(add_record):
    record = add_record()

    kept = AuditRecord.objects.get()
    assert kept == record
    assert (kept.actor_name, kept.user_id, kept.key_id, kept.source) == ("ada", 7, None, "admin")
    assert (kept.action, kept.object_kind, kept.object_id) == ("set_split", "model", "1")
    assert kept.object_label == "fraud-score"
    assert (kept.model_slug, kept.request_id, kept.reason) == ("fraud-score", "req-1", "try version 2")
    assert kept.before == {"shares": {"1": 10_000}}
    assert kept.after == {"shares": {"1": 9_000, "2": 1_000}}


def test_records_are_numbered_from_one_and_name_their_predecessor(add_record):
    first, second = add_record(), add_record()

    assert (first.seq, second.seq) == (1, 2)
    assert first.previous_hash == GENESIS
    assert second.previous_hash == first.hash


def test_a_row_is_named_by_itself(by):
    lease = Lease.objects.create(name="beat", holder="host:1", expires_at=datetime(2030, 1, 1, tzinfo=UTC))

    with transaction.atomic():
        record = record_change(action="take", subject=lease, before=None, after={}, by=by)

    assert (record.object_kind, record.object_id, record.object_label) == ("lease", "beat", "beat: host:1")
    assert record.model_slug == ""


@cases(
    "label, kept",
    nul=("a\0b", "a�b"),
    half_surrogate=("a\ud800b", "a?b"),
    long=("x" * 300, "x" * 200),
    markup_and_bidi=("<b>\u202e", "<b>\u202e"),
)
def test_any_text_can_be_kept(add_record, label, kept):
    record = add_record(subject=AuditSubject("model", "1", label))

    assert AuditRecord.objects.get(pk=record.pk).object_label == kept
    assert verify().fault is None


@pytest.mark.both
@cases(
    "value, kept",
    large_float=(1e22, 1e22),
    inexact_float=(0.1 + 0.2, 0.30000000000000004),
    negative_zero=(-0.0, -0.0),
    large_whole=(10**30, 10**30),
    odd_text=("\0é\ud800", "\0é\ud800"),
    decimal=(Decimal("1.50"), "1.50"),
    time=(datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01T00:00:00Z"),
)
def test_values_come_back_as_they_were_sealed(add_record, value, kept):
    record = add_record(after={"value": value})

    assert AuditRecord.objects.get(pk=record.pk).after == {"value": kept}
    assert verify().fault is None


def test_a_change_that_fails_leaves_no_record_and_no_gap(add_record):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add_record()
        raise ZeroDivisionError

    assert add_record().seq == 1


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_record_outside_a_transaction_is_refused(by):
    with pytest.raises(transaction.TransactionManagementError):
        record_change(action="x", subject=AuditSubject("model", "1", "m"), before=None, after=None, by=by)


CHANGES = {
    "save": lambda row: row.save(),
    "delete": lambda row: row.delete(),
    "update": lambda row: type(row).objects.filter(pk=row.pk).update(hash="0"),
    "bulk update": lambda row: type(row).objects.bulk_update([row], ["hash"]),
    "bulk create": lambda row: type(row).objects.bulk_create([type(row)(pk=9)]),
    "delete many": lambda row: type(row).objects.all().delete(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_refuse_change(add_record, change):
    record = add_record()

    with pytest.raises(TypeError, match="only ever added"):
        CHANGES[change](record)


@pytest.mark.both
def test_a_new_object_with_a_used_number_does_not_replace_the_row(add_record):
    record = add_record()
    twin = AuditRecord(**{field.name: getattr(record, field.name) for field in AuditRecord._meta.fields})

    with pytest.raises(Exception, match=r"(?i)unique"), transaction.atomic():
        twin.save()


def test_checkpoints_refuse_change():
    with pytest.raises(TypeError, match="only ever added"):
        AuditCheckpoint(number=1).delete()


def _write(number: int) -> None:
    by, subject = Actor(name=f"writer {number}", source=Source.API), AuditSubject("writer", str(number), "w")
    for turn in range(EACH):
        with transaction.atomic():
            record_change(action="turn", subject=subject, before=None, after={"turn": turn}, by=by)


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_writers_queue_and_leave_no_gap():
    at_once(partial(_write, number) for number in range(WRITERS))

    numbers = list(AuditRecord.objects.order_by("seq").values_list("seq", flat=True))
    assert numbers == list(range(1, WRITERS * EACH + 1))
    assert verify().fault is None


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_without_the_queue_writers_collide(monkeypatch):
    monkeypatch.setattr(audit, "queue_writers", lambda: None)
    if connection.vendor == "sqlite":
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "transaction_mode", "DEFERRED")

    with pytest.raises(DatabaseError):
        at_once(partial(_write, number) for number in range(WRITERS))


STATEMENTS = {
    "update": "UPDATE registry_auditrecord SET reason = 'other' WHERE seq = 1",
    "delete": "DELETE FROM registry_auditrecord WHERE seq = 1",
    "delete all": "DELETE FROM registry_auditrecord",
    "update a checkpoint": "UPDATE registry_auditcheckpoint SET seq = 9",
    "delete a checkpoint": "DELETE FROM registry_auditcheckpoint",
}


def _execute(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def chain(add_record):
    add_record()
    write_checkpoint()
    audit.install_triggers(using="default")
    audit.install_triggers(using="default")  # as after every migration


@pytest.mark.both
@pytest.mark.parametrize("name", STATEMENTS)
def test_the_database_refuses_to_change_records(chain, name):
    with pytest.raises(DatabaseError, match="only ever added"):
        _execute(STATEMENTS[name])

    assert verify().records == 1


@pytest.mark.both
def test_records_can_still_be_added(chain, add_record):
    add_record()
    write_checkpoint()

    assert verify().records == 2


@pytest.mark.both
@pytest.mark.parametrize("name", STATEMENTS)
def test_without_the_triggers_it_changes_them(add_record, name):
    add_record()
    write_checkpoint()

    _execute(STATEMENTS[name])


@pytest.mark.both
def test_postgresql_refuses_to_empty_the_table(chain):
    if connection.vendor == "postgresql":
        with pytest.raises(DatabaseError, match="only ever added"):
            _execute("TRUNCATE registry_auditrecord")
    else:
        assert "TRUNCATE" not in "".join(audit.trigger_statements(connection.vendor))
