"""A disk that is full, or becomes so: 507, and nothing stays."""

import io
import resource
import shutil
import signal
import subprocess
from contextlib import contextmanager

import pytest

from registry.catalogue.models import Version
from registry.intake import parts
from registry.intake.errors import InsufficientStorage
from registry.intake.models import Status, Upload
from registry.intake.parts import RESERVE_BYTES
from registry.intake.services import MAX_PART_BYTES, begin_upload, write_part
from registry.intake.services.uploads import MAX_OPEN
from tests.support.factories import an_actor

pytestmark = pytest.mark.django_db
MIB = 2**20
FILE = 100 * MIB


@contextmanager
def a_small_disk(folder):
    """10 MB of memory as a disk; where mounting is not allowed, a limit on the size of files stands in."""
    folder.mkdir()
    mounted = (
        shutil.which("mount")
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", folder], capture_output=True, check=False
        ).returncode
        == 0
    )
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        if not mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10 * MIB, old[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
        if mounted:
            subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_disk(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "disk"
    with a_small_disk(settings.DATA_DIR):
        yield settings.DATA_DIR


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_that_does_not_fit_is_refused_before_it_comes(small_disk, monkeypatch):
    if parts.free_bytes() > FILE:  # no mount here
        monkeypatch.setattr(parts, "free_bytes", lambda: 10 * MIB)

    for _ in range(MAX_OPEN + 1):
        with pytest.raises(InsufficientStorage, match=r"no room for this file of 100 MiB.*256 MiB"):
            begin_upload(size_bytes=FILE, by=an_actor())

    assert not Upload.objects.exists()
    assert files_in(small_disk) == []


@pytest.mark.both
def test_a_disk_that_fills_up_on_the_way_gets_everything_back(small_disk, monkeypatch):
    monkeypatch.setattr(parts, "free_bytes", lambda: 2**40)  # somebody else took the room meanwhile
    part = bytes(MAX_PART_BYTES)

    def write(upload, offset):
        read = io.BytesIO(part).read
        return write_part(upload=upload, offset=offset, length=len(part), read=read, by=an_actor())

    for _ in range(3):  # the second finds the room that the first had
        upload = write(begin_upload(size_bytes=FILE, by=an_actor()), 0)
        with pytest.raises(InsufficientStorage, match="is full"):
            write(upload, len(part))

        assert files_in(small_disk) == []

    assert set(Upload.objects.values_list("status", flat=True)) == {Status.FAILED}
    assert not Version.objects.exists()


def test_room_that_was_promised_is_not_promised_again(monkeypatch):
    monkeypatch.setattr(parts, "free_bytes", lambda: RESERVE_BYTES + 150 * MIB)
    begin_upload(size_bytes=FILE, by=an_actor())

    with pytest.raises(InsufficientStorage):
        begin_upload(size_bytes=FILE, by=an_actor())


def test_the_answer_is_507(api, monkeypatch):
    monkeypatch.setattr(parts, "free_bytes", lambda: 10 * MIB)

    answer = api.post("/api/v1/uploads", {"size_bytes": FILE})

    assert (answer.status_code, answer.json()["code"]) == (507, "insufficient_storage")
    assert "Free some space" in answer.json()["detail"]
