"""Private files for what is too large for memory, and full disks."""

import asyncio
import errno
import io

import pytest

from registry.intake.errors import InsufficientStorage
from roundhouse import spool as spooling
from roundhouse.spool import Spool, SpooledBody


class FullDisk(io.BytesIO):
    """A file on a disk that has room for ten bytes."""

    def writelines(self, pieces, /):
        for piece in pieces:
            if self.tell() + len(piece) > 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.write(piece)


@pytest.fixture
def disk(monkeypatch):
    disk = FullDisk()
    monkeypatch.setattr(spooling.tempfile, "TemporaryFile", lambda **_: disk)
    return disk


@pytest.fixture
def spool(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    loop = asyncio.new_event_loop()
    spool = Spool(loop)
    yield spool
    spool.close()
    loop.close()


def test_a_body_is_read_from_its_beginning(tmp_path):
    body = SpooledBody(tmp_path)
    body.write([b"12", b"3"])
    body.write([b"45"])

    with body.read_back() as file:
        assert file.read() == b"12345"
    assert list(tmp_path.iterdir()) == []


def test_reading_a_body_without_disk_space_raises(disk):
    """Parts go on being taken meanwhile, and the room is given back at once."""
    body = SpooledBody(None)
    for _ in range(3):
        body.write([b"123456"])

    assert disk.closed
    with pytest.raises(InsufficientStorage):
        body.read_back().read(1)


def test_a_response_is_written_completely(spool):
    path, part = spool.answer([b"12", b"", b"345"])

    assert (path.read_bytes(), part) == (b"12345", range(5))
    assert path.stat().st_mode & 0o077 == 0


def test_a_failed_response_leaves_no_file(spool):
    def pieces():
        yield b"12"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InsufficientStorage):
        spool.answer(pieces())

    assert [path for path in spool._folder.path.iterdir() if path.is_file()] == []


def test_files_are_deleted_with_their_process(spool):
    path, _ = spool.answer([b"12"])

    spool.close()

    assert not path.exists()
