"""A served Roundhouse on a disk that is small, or fills up under it: 507, nothing stays, and predictions go on."""

import shutil
import subprocess
from contextlib import contextmanager

import pytest

from registry.intake.parts import RESERVE_BYTES
from registry.intake.services import MAX_PART_BYTES
from tests.support.processes import serving
from tests.support.served_uploads import MIB, Bytes, caller_of, files_in, versions_in

FILE = 100 * MIB


@contextmanager
def a_disk(folder, mebibytes):
    """So much memory as a disk of its own, where mounting is allowed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder, leaving=0):
    """Somebody else's file, which takes what is left of the disk."""
    with (folder / "filler").open("ab", buffering=0) as filler:
        left = shutil.disk_usage(folder).free - leaving
        try:
            while left > 0:
                left -= filler.write(bytes(min(left, MIB)))
        except OSError:  # others took some of it meanwhile
            return


@pytest.fixture
def small(tmp_path):
    with (
        a_disk(tmp_path / "data" / "uploads", 10),
        serving(tmp_path, "--demo", WEB_PROCESSES=1) as served,
    ):
        served.wait_ready()
        yield served


@pytest.mark.long
def test_of_a_file_that_does_not_fit_nothing_is_taken(small):
    caller = caller_of(small)
    versions = versions_in(small.data)
    answers, predictions = [], set()

    for _ in range(20):
        answers.append(caller.ask("POST", "uploads", {"size_bytes": FILE}))
        predictions.add(caller.predict(5))

    assert {(status, said["code"]) for status, said in answers} == {(507, "insufficient_storage")}
    assert predictions == {200}
    assert caller.ask("GET", "uploads")[1]["results"] == []
    assert files_in(small.data / "uploads") == []
    assert versions_in(small.data) == versions


@pytest.fixture
def filling(tmp_path):
    with (
        a_disk(tmp_path / "data", (RESERVE_BYTES + FILE) // MIB + 32),
        serving(tmp_path, "--demo", WEB_PROCESSES=1) as served,
    ):
        served.wait_ready()
        yield served


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(0, id="nothing", marks=pytest.mark.long),
        pytest.param(64 << 10, id="little", marks=pytest.mark.long),
        pytest.param(MAX_PART_BYTES // 2, id="half a part"),
    ],
)
def test_a_disk_that_fills_up_while_parts_come(filling, left):
    """The database lies on the same disk."""
    caller, file = caller_of(filling), Bytes(FILE, seed=left)
    upload = caller.begin(FILE)
    caller.send(upload, Bytes(MAX_PART_BYTES, seed=left))
    fill(filling.data, leaving=left)

    status, said = caller.put(upload, MAX_PART_BYTES, file[MAX_PART_BYTES : 2 * MAX_PART_BYTES])
    predictions = {caller.predict(5) for _ in range(20)}
    refused, _ = caller.ask("POST", "uploads", {"size_bytes": 1})

    assert (status, said["code"], refused) == (507, "insufficient_storage", 507)
    assert predictions == {200}
    assert caller.show(upload)["status"] == "failed"
    assert files_in(filling.data / "uploads") == []
    (filling.data / "filler").unlink()
    again = caller.begin(FILE, sha256=file.sha256())
    caller.send(again, file)
    assert caller.complete(again, "fits")["size_bytes"] == FILE


@pytest.mark.long
def test_an_upload_can_be_given_up_on_a_full_disk(filling):
    """Nobody else may be able to make room."""
    caller = caller_of(filling)
    uploads = [caller.begin(MAX_PART_BYTES) for _ in range(4)]
    for upload in uploads:
        caller.send(upload, Bytes(MAX_PART_BYTES, seed=1))

    for upload in uploads:
        fill(filling.data)
        caller.abandon(upload)

    assert files_in(filling.data / "uploads") == []
    assert {caller.show(upload)["status"] for upload in uploads} == {"abandoned"}


@pytest.mark.long
def test_a_whole_file_waits_for_room_to_be_completed(filling):
    caller = caller_of(filling)
    file = Bytes(MAX_PART_BYTES, seed=2)
    upload = caller.begin(file.size)
    caller.send(upload, file)
    versions = versions_in(filling.data)
    fill(filling.data)

    status, said = caller.ask("POST", f"uploads/{upload}/complete", {"model": "whole", "new_model": {}})
    assert (status, said["code"]) == (507, "insufficient_storage")
    assert versions_in(filling.data) == versions
    (filling.data / "filler").unlink()
    assert caller.complete(upload, "whole")["sha256"] == file.sha256()
