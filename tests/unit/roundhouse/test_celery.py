"""Messages in files: readers never see an incomplete one."""

import json

import pytest
from kombu import Connection, transport
from kombu.transport import filesystem

from roundhouse import celery


@pytest.fixture
def options(tmp_path):
    folder = tmp_path / "messages"
    folder.mkdir()
    return {
        "data_folder_in": str(folder), "data_folder_out": str(folder), "control_folder": str(tmp_path / "control"),
        "processed_folder": str(tmp_path), "store_processed": True,
    }  # fmt: skip


def names_seen_while_writing(kind, module, options, monkeypatch):
    """What a reader would find at the moment in which the message becomes bytes."""
    seen = []
    dumps = module.dumps

    def look_and_dump(payload):
        with Connection(transport=kind, transport_options=options) as reader:
            seen.append(reader.default_channel._size("chores"))
        return dumps(payload)

    monkeypatch.setattr(module, "dumps", look_and_dump)
    with Connection(transport=kind, transport_options=options) as sender:
        sender.default_channel._put("chores", {"body": "hello"})
    return seen


def test_message_is_complete_before_readers_see_it(options, monkeypatch):
    assert names_seen_while_writing(celery.FileTransport, celery, options, monkeypatch) == [0]


def test_kombus_own_message_is_visible_while_it_is_empty(options, monkeypatch):
    """The control, and the reason: as soon as this fails, our transport may go."""
    assert names_seen_while_writing(filesystem.Transport, filesystem, options, monkeypatch) == [1]


def test_message_arrives_as_it_was_sent(options):
    with Connection(transport=celery.FileTransport, transport_options=options) as connection:
        channel = connection.default_channel
        channel._put("chores", {"body": "größer", "n": 1})

        assert json.loads(json.dumps(channel._get("chores"))) == {"body": "größer", "n": 1}
        assert channel._size("chores") == 0


def test_celery_uses_our_transport(monkeypatch):
    monkeypatch.setattr(transport, "_transport_cache", {})  # where another test has made such a connection
    celery.install_file_transport()

    with Connection("filesystem://localhost") as connection:
        assert isinstance(connection.transport, celery.FileTransport)
