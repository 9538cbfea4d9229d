import json
import time
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction

from registry.record import checkpoints, verification
from registry.record.audit import audit_key
from registry.record.chain import Checkpoint, SealedRecord, hash_of
from registry.record.checkpoints import as_checkpoint, from_line, to_line, write_checkpoint
from registry.record.models import AuditCheckpoint, AuditRecord
from registry.record.verification import Fault, Finding, verify, walk

pytestmark = pytest.mark.django_db

RECORDS = 8
TABLE = AuditRecord._meta.db_table
COLUMNS = [field.column for field in AuditRecord._meta.fields]


@pytest.fixture
def chain(add_record):
    """Eight records with checkpoints at the fifth and the last; return the last one's copy kept elsewhere."""
    for number in range(RECORDS):
        add_record(reason=f"change {number}")
        if number == 4:
            write_checkpoint()
    return as_checkpoint(write_checkpoint())


def _sql(statement: str, *values: object) -> None:
    """What somebody does who has the database but not the key."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _copy_row(seq: int, new_seq: int, **changed: object) -> None:
    row = AuditRecord.objects.filter(pk=seq).values_list().get()
    values = dict(zip(COLUMNS, row, strict=True)) | {"seq": new_seq} | changed
    marks = ", ".join(["%s"] * len(values))
    _sql(f"INSERT INTO {TABLE} ({', '.join(values)}) VALUES ({marks})", *values.values())


def _drop_constraints() -> None:
    _sql(f"CREATE TABLE loose AS SELECT * FROM {TABLE}")
    _sql(f"DROP TABLE {TABLE}")
    _sql(f"ALTER TABLE loose RENAME TO {TABLE}")


def _shift(from_seq: int, by: int) -> None:
    # By way of numbers far away: a database may check uniqueness row by row.
    _sql(f"UPDATE {TABLE} SET seq = seq + %s + 1000 WHERE seq >= %s", by, from_seq)
    _sql(f"UPDATE {TABLE} SET seq = seq - 1000 WHERE seq > 1000")


def _swap(one: int, other: int) -> None:
    for old, new in ((one, 1000), (other, one), (1000, other)):
        _sql(f"UPDATE {TABLE} SET seq = %s WHERE seq = %s", new, old)


def _rehash(key: bytes, from_seq: int) -> None:
    """Seal everything again from here, with a key of one's own."""
    previous = AuditRecord.objects.get(pk=from_seq - 1).hash
    for seq in AuditRecord.objects.filter(pk__gte=from_seq).order_by("seq").values_list("seq", flat=True):
        _sql(f"UPDATE {TABLE} SET previous_hash = %s WHERE seq = %s", previous, seq)
        sealed = SealedRecord(*AuditRecord.objects.values_list(*SealedRecord._fields).get(pk=seq))
        previous = hash_of(sealed, key)
        _sql(f"UPDATE {TABLE} SET hash = %s WHERE seq = %s", previous, seq)


def _edit_and_rehash() -> None:
    _sql(f"UPDATE {TABLE} SET reason = 'nothing' WHERE seq = 4")
    _rehash(b"a key of one's own, long enough....", 4)


def _delete_and_close_the_gap() -> None:
    _sql(f"DELETE FROM {TABLE} WHERE seq = 4")
    _shift(5, -1)


def _insert() -> None:
    _shift(4, 1)
    _copy_row(3, 4)


def _duplicate() -> None:
    _drop_constraints()
    _copy_row(4, 4)


def _delete_tail() -> None:
    _sql(f"DELETE FROM {TABLE} WHERE seq > 6")


def _delete_checkpoint() -> None:
    _sql("DELETE FROM registry_auditcheckpoint WHERE number = 1")


GARBAGE = {
    "a word for a number": ("seq", "four"),
    "no number": ("seq", None),
    "a word for a time": ("at", "yesterday"),
    "an impossible time": ("at", "2026-13-45 99:00:00"),
    "no time": ("at", None),
    "a number for a time": ("at", 12),
    "bytes for a name": ("actor_name", b"\x00\x01"),
    "bytes for what it was": ("before_json", b"\xff\xfe"),
    "bytes for a hash": ("hash", b"\xff" * 32),
    "another alphabet for a hash": ("hash", "\u00e9" * 64),
    "no hash": ("hash", None),
    "bytes for a link": ("previous_hash", b"\xff" * 32),
}


TAMPERINGS = {
    "edit": (lambda: _sql(f"UPDATE {TABLE} SET actor_name = 'eve' WHERE seq = 4"), Finding.ALTERED, 4),
    "delete": (lambda: _sql(f"DELETE FROM {TABLE} WHERE seq = 4"), Finding.MISSING, 4),
    "delete and close the gap": (_delete_and_close_the_gap, Finding.ALTERED, 4),
    "delete the first": (lambda: _sql(f"DELETE FROM {TABLE} WHERE seq = 1"), Finding.MISSING, 1),
    "insert": (_insert, Finding.ALTERED, 4),
    "append a copy": (lambda: _copy_row(8, 9), Finding.ALTERED, 9),
    "swap": (lambda: _swap(4, 5), Finding.ALTERED, 4),
    "move to the end": (lambda: _swap(2, 8), Finding.ALTERED, 2),
    "duplicate a number": (_duplicate, Finding.DUPLICATED, 4),
    "open a gap": (lambda: _shift(4, 3), Finding.MISSING, 4),
    "cut the tail": (_delete_tail, Finding.CUT, 7),
    "delete everything": (lambda: _sql(f"DELETE FROM {TABLE}"), Finding.CUT, 1),
    "edit and seal again": (_edit_and_rehash, Finding.ALTERED, 4),
    "seal the last again": (lambda: _rehash(b"a key of one's own", 8), Finding.ALTERED, 8),
    "edit a hash": (lambda: _sql(f"UPDATE {TABLE} SET hash = %s WHERE seq = 4", "0" * 64), Finding.ALTERED, 4),
    "edit a link": (
        lambda: _sql(f"UPDATE {TABLE} SET previous_hash = %s WHERE seq = 4", "0" * 64), Finding.ALTERED, 4,
    ),
    "edit a checkpoint": (
        lambda: _sql("UPDATE registry_auditcheckpoint SET seq = 6 WHERE number = 2"),
        Finding.CHECKPOINT_ALTERED, 2,
    ),
    "delete a checkpoint": (_delete_checkpoint, Finding.CHECKPOINT_MISSING, 1),
}  # fmt: skip


def test_an_untouched_chain_is_good(chain):
    report = verify([chain])

    assert (report.records, report.checkpoints, report.fault) == (RECORDS, 2, None)


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found_with_its_first_record(chain, tampering):
    tamper, finding, number = TAMPERINGS[tampering]

    tamper()

    assert verify().fault == Fault(finding, number)


FIELDS = [field for field in SealedRecord._fields if field not in {"seq", "previous_hash"}]
OTHER = {
    "at": "2001-01-01 00:00:00+00:00",
    "user_id": 1,
    "key_id": 1,
    "before_json": "{}",
    "after_json": "{}",
}


@pytest.mark.parametrize("field", FIELDS)
def test_an_edit_of_any_column_is_found(chain, field):
    _sql(f"UPDATE {TABLE} SET {field} = %s WHERE seq = 3", OTHER.get(field, "eve"))

    assert verify().fault == Fault(Finding.ALTERED, 3)


@pytest.mark.both
def test_garbage_in_the_table_is_named_and_no_traceback(chain):
    """SQLite takes anything in a column that has lost its type; PostgreSQL at least nothing."""
    kinds = [kind for kind in GARBAGE.values() if connection.vendor == "sqlite" or kind[1] is None]
    assert len(kinds) >= 3

    for column, value in kinds:
        with transaction.atomic():
            _drop_constraints()
            _sql(f"UPDATE {TABLE} SET {column} = %s WHERE seq = 4", value)
            fault = verify().fault
            transaction.set_rollback(True)
        # a row without its number stands where the database sorts it: first, or last, and then the fourth is missing
        assert fault is not None and fault.number in ({1, 4} if column == "seq" else {4}), (column, value)

    assert verify().fault is None


@pytest.mark.parametrize("kind", GARBAGE)
def test_whatever_stands_in_a_record_it_is_named(chain, kind):
    column, value = GARBAGE[kind]
    rows = list(verification._records())
    record, stored_hash = rows[3]
    rows[3] = (record, value) if column == "hash" else (record._replace(**{column: value}), stored_hash)

    assert walk(rows, {}, audit_key()) == (3, Fault(Finding.ALTERED, 4))


@pytest.mark.parametrize("column", Checkpoint._fields)
def test_a_checkpoint_of_garbage_is_named(chain, column, monkeypatch):
    inside, _ = verification._checkpoints()
    garbage = [inside[0]._replace(**{column: b"\xff"}), *inside[1:]]

    fault = verification.checkpoint_fault(garbage, [], audit_key())

    assert fault is not None and fault.is_of_checkpoint and fault.number in {1, b"\xff"}


def test_every_column_but_the_hash_is_sealed():
    assert {field.name for field in AuditRecord._meta.fields} - set(SealedRecord._fields) == {"hash"}


@pytest.mark.parametrize(
    "tampering", [name for name, (_, finding, _) in TAMPERINGS.items() if finding is Finding.ALTERED]
)
def test_without_the_hash_check_an_edit_is_not_found(chain, tampering, monkeypatch):
    monkeypatch.setattr(
        verification, "hash_of", lambda record, _key: AuditRecord.objects.get(pk=record.seq).hash
    )

    TAMPERINGS[tampering][0]()

    fault = verify().fault
    assert fault is None or fault.finding is not Finding.ALTERED


def test_records_sealed_with_our_key_in_another_history_do_not_continue_this_one(chain):
    """Somebody restores an old copy, lets it go on, and puts its records into this one."""
    _rehash(audit_key(), 4)
    assert verify().fault is None
    _sql(f"UPDATE {TABLE} SET reason = 'other' WHERE seq = 4")
    sealed = SealedRecord(*AuditRecord.objects.values_list(*SealedRecord._fields).get(pk=4))
    _sql(f"UPDATE {TABLE} SET hash = %s WHERE seq = 4", hash_of(sealed, audit_key()))

    assert verify().fault == Fault(Finding.UNLINKED, 5)


def test_a_rewritten_history_differs_from_its_checkpoint(chain):
    _sql(f"UPDATE {TABLE} SET reason = 'other' WHERE seq = 4")
    _rehash(audit_key(), 4)

    assert verify().fault == Fault(Finding.REPLACED, 5)


def _cut_tail_and_checkpoint() -> None:
    _delete_tail()
    _sql("DELETE FROM registry_auditcheckpoint WHERE number = 2")


def test_a_cut_of_chain_and_checkpoints_is_found_by_the_copy_outside(chain):
    _cut_tail_and_checkpoint()

    assert verify([chain]).fault == Fault(Finding.CUT, 7)


def test_without_the_copy_outside_such_a_cut_is_not_found(chain):
    _cut_tail_and_checkpoint()

    assert verify().fault is None


def test_a_checkpoint_that_only_the_copy_has_is_missing(chain):
    _sql("DELETE FROM registry_auditcheckpoint WHERE number = 2")

    assert verify([chain]).fault == Fault(Finding.CHECKPOINT_MISSING, 2)


def test_a_forged_copy_is_named(chain):
    assert verify([chain._replace(seq=3)]).fault == Fault(Finding.CHECKPOINT_ALTERED, 2)


def test_another_key_fits_nothing(chain, settings):
    settings.AUDIT_KEY = "another key that is long enough to be one"

    assert verify().fault == Fault(Finding.ALTERED, 1)


def test_a_checkpoint_is_written_only_when_there_is_news(add_record):
    assert write_checkpoint() is None
    add_record()
    assert write_checkpoint().seq == 1
    assert write_checkpoint() is None
    add_record()
    assert write_checkpoint().number == 2


def test_a_checkpoint_goes_to_the_log_too(add_record, django_capture_on_commit_callbacks, monkeypatch):
    lines = []
    monkeypatch.setattr(checkpoints.log, "info", lambda event, **values: lines.append(values))
    add_record()

    with django_capture_on_commit_callbacks(execute=True):
        row = write_checkpoint()

    assert from_line(lines[0]["checkpoint"]) == as_checkpoint(row)


def test_the_exported_line_can_be_read_again(chain):
    assert from_line(to_line(chain)) == chain


def _run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_verify_audit_says_that_all_is_good(chain):
    assert _run("verify_audit") == "8 records and 2 checkpoints are intact.\n"
    assert json.loads(_run("verify_audit", "--json")) == {
        "ok": True, "records": 8, "checkpoints": 2, "fault": None,
    }  # fmt: skip


def test_verify_audit_names_the_first_bad_record_and_fails(chain):
    _sql(f"UPDATE {TABLE} SET reason = 'other' WHERE seq = 4")
    out = StringIO()

    with pytest.raises(CommandError):
        call_command("verify_audit", "--json", stdout=out)

    sentence = "Record 4 was altered, or written without the key."
    fault = {"kind": "altered", "of": "record", "number": 4, "sentence": sentence}
    assert json.loads(out.getvalue())["fault"] == fault


def test_an_exported_file_finds_a_cut(chain, tmp_path):
    kept = tmp_path / "checkpoints"
    _run("export_checkpoint", "--append", str(kept))
    _cut_tail_and_checkpoint()

    with pytest.raises(CommandError):
        call_command("verify_audit", "--checkpoints", str(kept), stdout=(out := StringIO()))

    assert "Record 7 is missing, as are all after it" in out.getvalue()


def test_export_prints_the_newest(chain):
    assert from_line(_run("export_checkpoint")) == chain


def test_export_of_an_empty_chain_says_so():
    with pytest.raises(CommandError, match="no audit record yet"):
        _run("export_checkpoint")


@pytest.mark.parametrize(
    "text", ["{}", "no json", '{"number": 1}', "[]"], ids=["empty", "text", "part", "list"]
)
def test_a_file_that_is_no_export_is_refused(chain, tmp_path, text):
    file = tmp_path / "file"
    file.write_text(text)

    with pytest.raises(CommandError, match="export_checkpoint"):
        _run("verify_audit", "--checkpoints", str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        _run("verify_audit", "--checkpoints", str(tmp_path / "none"))


@pytest.mark.long
def test_a_hundred_thousand_records_are_verified_in_a_minute(add_record):
    first = add_record()
    begun = SealedRecord(*AuditRecord.objects.values_list(*SealedRecord._fields).get())
    rows, previous = [], first.hash
    for seq in range(2, 100_001):
        sealed = begun._replace(seq=seq, previous_hash=previous)
        previous = hash_of(sealed, audit_key())
        rows.append(AuditRecord(**sealed._asdict(), hash=previous))
    models.QuerySet(AuditRecord).bulk_create(rows, batch_size=1_000)

    began = time.thread_time()
    report = verify()

    assert (report.records, report.fault) == (100_000, None)
    assert time.thread_time() - began < 60


def test_checkpoint_rows_hold_what_is_signed():
    names = [field.name for field in AuditCheckpoint._meta.fields]
    assert names == list(checkpoints.Checkpoint._fields)
