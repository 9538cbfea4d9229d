"""Bodies that wait for Django in a file, and disks that have no room for them."""

import errno
import io

import pytest

from roundhouse import django_threads
from roundhouse.django_threads import _Spool


class Disk(io.BytesIO):
    """A file on a disk with so much room, which takes no more than a few bytes at once."""

    room = 10

    def write(self, piece, /):
        left = self.room - self.tell()
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(bytes(piece)[: min(left, 4)])


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(django_threads.tempfile, "TemporaryFile", lambda **_: disk)
    return disk


def test_what_was_written_is_read_from_its_beginning(tmp_path):
    spool = _Spool(tmp_path)
    spool.write([b"12", b"3"])
    spool.write([b"45"])

    with spool.body() as body:
        assert body.read() == b"12345"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_a_little_at_a_time_gets_all(disk):
    spool = _Spool(None)
    spool.write([b"1234567890"])

    assert disk.getvalue() == b"1234567890"


def test_who_reads_what_found_no_room_is_told(disk):
    """Parts go on being taken meanwhile, and the room is given back at once."""
    spool = _Spool(None)
    for _ in range(3):
        spool.write([b"123456"])

    assert disk.closed
    with pytest.raises(OSError) as told:
        spool.body().read(1)
    assert told.value.errno == errno.ENOSPC
