import pytest
from django.db import DatabaseError, connection, transaction

from registry.record import triggers
from registry.record.checkpoints import write_checkpoint
from registry.record.verification import verify

pytestmark = [pytest.mark.both, pytest.mark.django_db]

STATEMENTS = {
    "update": "UPDATE registry_auditrecord SET reason = 'other' WHERE seq = 1",
    "delete": "DELETE FROM registry_auditrecord WHERE seq = 1",
    "delete all": "DELETE FROM registry_auditrecord",
    "update a checkpoint": "UPDATE registry_auditcheckpoint SET seq = 9",
    "delete a checkpoint": "DELETE FROM registry_auditcheckpoint",
}


def _run(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def chain(add_record):
    add_record()
    write_checkpoint()
    triggers.install(using="default")
    triggers.install(using="default")  # as after every migration


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_database_refuses(chain, name):
    with pytest.raises(DatabaseError, match="only ever added"):
        _run(STATEMENTS[name])

    assert verify().records == 1


def test_adding_goes_on(chain, add_record):
    add_record()
    write_checkpoint()

    assert verify().records == 2


@pytest.mark.parametrize("name", STATEMENTS)
def test_without_the_triggers_it_does_not(add_record, name):
    add_record()
    write_checkpoint()

    _run(STATEMENTS[name])


def test_postgresql_refuses_to_empty_the_table(chain):
    if connection.vendor == "postgresql":
        with pytest.raises(DatabaseError, match="only ever added"):
            _run("TRUNCATE registry_auditrecord")
    else:
        assert "TRUNCATE" not in "".join(triggers.statements(connection.vendor))
