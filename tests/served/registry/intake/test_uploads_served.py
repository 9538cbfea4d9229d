"""Uploads against `manage.py serve`: cut anywhere, large, and slow."""

import hashlib
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from registry.intake.services import MAX_PART_BYTES
from tests.served.conftest import WEB_THREADS
from tests.support.connections import KEEPALIVE, port_of, server_sides
from tests.support.processes import changed_web_process, growing_at_most, wait_until
from tests.support.served_uploads import MIB, Bytes, caller_of, files_in, versions_in
from tests.support.strangers import A_THREAD_EACH

THREADS = WEB_THREADS
SENDERS = 8  # as many uploads as a caller may have open
SIZE = MAX_PART_BYTES + 2 * MIB
EDGES = [0, 1, MIB - 1, MIB, MAX_PART_BYTES - 1, MAX_PART_BYTES, MAX_PART_BYTES + 1, SIZE - 1]
CUTS = sorted({*EDGES, *range(500_000, SIZE, SIZE // 12)})


@pytest.fixture
def caller(embedded):
    return caller_of(embedded)


def _cut(caller, upload, file, cut_at):
    """Send up to there, in the middle of a part; by turns with an orderly end and without."""
    begin = cut_at - cut_at % MAX_PART_BYTES
    part = file[begin : begin + MAX_PART_BYTES]
    if begin:
        caller.put(upload, 0, file[0:begin])
    caller.break_off(upload, begin, part, cut_at - begin, is_abrupt=bool(cut_at % 2))


def _go_on(caller, upload, file, within_s):
    """Do what the page on uploads says: ask where it stands, and send what begins there."""

    def is_whole():
        stands_at = caller.show(upload)["offset"]
        status, said = caller.put(upload, stands_at, file[stands_at : stands_at + MAX_PART_BYTES])
        assert status in {200, 409}, said
        return status == 200 and said["offset"] == SIZE

    wait_until(is_whole, within_s=within_s, what="the whole file")


@pytest.mark.parametrize("cut_at", CUTS)
def test_cut_anywhere_and_resumed_it_is_the_same_file(embedded, caller, cut_at):
    file = Bytes(SIZE, seed=cut_at)
    upload = caller.begin(SIZE)

    _cut(caller, upload, file, cut_at)

    assert caller.show(upload)["offset"] <= cut_at
    _go_on(caller, upload, file, within_s=20)
    version = caller.complete(upload, "cut")
    sha256 = file.sha256()
    stored = embedded.data / "artifacts" / sha256[:2] / sha256
    assert version["sha256"] == sha256
    with stored.open("rb") as kept:
        assert hashlib.file_digest(kept, "sha256").hexdigest() == sha256
    assert files_in(embedded.data / "uploads") == []


def test_cut_anywhere_and_abandoned_nothing_of_it_is_left(embedded, caller):
    assert len(CUTS) >= 20
    artifacts, versions = files_in(embedded.data / "artifacts"), versions_in(embedded.data)

    for cut_at in CUTS:
        upload = caller.begin(SIZE)
        _cut(caller, upload, Bytes(SIZE, seed=cut_at), cut_at)
        caller.abandon(upload)
        shown = caller.show(upload)
        assert (shown["status"], shown["version"]) == ("abandoned", None)

    wait_until(lambda: files_in(embedded.data / "uploads") == [], within_s=10, what="an empty folder")
    assert files_in(embedded.data / "artifacts") == artifacts
    assert versions_in(embedded.data) == versions
    assert caller.ask("GET", "uploads")[1]["results"] == []


@pytest.mark.long
def test_a_process_that_is_killed_loses_one_part(embedded, caller):
    file = Bytes(SIZE, seed=0)
    upload = caller.begin(SIZE)
    caller.put(upload, 0, file[0:MIB])
    worker = embedded.find("granian")[-1]
    with caller.putting(upload, MIB, MAX_PART_BYTES) as line:
        line.sendall(file[MIB : 4 * MIB])
        wait_until(lambda: _waiting_in(worker) >= MIB, within_s=10, what="a piece of the part")
        os.kill(worker, signal.SIGKILL)
    wait_until(
        lambda: worker not in embedded.family() and embedded.is_ready(), within_s=20, what="another process"
    )
    assert caller.show(upload)["offset"] == MIB

    _go_on(caller, upload, file, within_s=90)

    assert caller.complete(upload, "killed")["sha256"] == file.sha256()


def _waiting_in(process) -> int:
    """How much a process has put by in a file without a name."""
    sizes = [0]
    for one in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            sizes.append(one.stat().st_size if one.readlink().name.endswith(" (deleted)") else 0)
    return max(sizes)


def test_a_sender_that_vanished_is_looked_for(embedded, caller):
    """Else its connection would stay until the process ends."""
    upload = caller.begin(MIB)

    with caller.putting(upload, 0, MIB) as line:
        line.sendall(b"x")
        wait_until(
            lambda: server_sides(caller.port).get(port_of(line)) == KEEPALIVE,
            within_s=5,
            what="a timer on the server's side",
        )

    assert caller.put(upload, 0, bytes(MIB))[0] == 200  # at once: who vanished holds nothing
    caller.abandon(upload)


@pytest.mark.parametrize("mebibytes", [256, pytest.param(1024, marks=pytest.mark.long)])
def test_size_of_a_file_is_not_the_memory_it_takes(embedded, caller, mebibytes):
    file = Bytes(mebibytes * MIB, seed=mebibytes)

    with growing_at_most(embedded.find("granian"), 64):
        upload = caller.begin(file.size, sha256=file.sha256())
        caller.send(upload, file)
        version = caller.complete(upload, "large")

    assert version["size_bytes"] == file.size


class TestSlowSenders:
    """As many slow senders as one caller may have open uploads."""

    LASTS_S, WITHIN_S = 3.0, 2.0

    @pytest.fixture
    def uploads(self, caller):
        uploads = [caller.begin(MIB) for _ in range(SENDERS)]
        yield uploads
        for upload in uploads:
            caller.abandon(upload)

    def test_predictions_and_uploads_go_on(self, caller, uploads):
        alone, p99_alone = caller.predict_for(self.LASTS_S, self.WITHIN_S)

        with caller.dripping(uploads) as refused:
            beside, p99_beside = caller.predict_for(self.LASTS_S, self.WITHIN_S)
            taken, said = caller.put(uploads[0], 0, bytes(MIB))

        assert (alone, beside) == ({200}, {200})
        assert max(p99_alone, p99_beside) < self.WITHIN_S
        assert not any(refused.values())
        assert (taken, said["offset"]) == (200, MIB)

    def test_where_each_body_has_a_thread_they_starve(self, embedded, caller, uploads, tmp_path):
        """Negative control: the same product with threads that wait for bodies."""
        with changed_web_process(tmp_path, embedded.data, A_THREAD_EACH, threads=SENDERS) as port:
            unbounded = caller.at(port)
            wait_until(lambda: unbounded.predict(20) == 200, within_s=30, what="the server that waits")

            with unbounded.dripping(uploads):
                wait_until(
                    lambda: unbounded.predict(self.WITHIN_S) == 0,
                    within_s=20,
                    what="a prediction that gets no answer",
                )
