"""An erasure whose process is killed again and again ends with nothing left, not even in the database's file."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.decision_rows import a_png
from tests.support.processes import ROOT, clean_environment, manage, product_environment, wait_until

AUTHOR, TEXT = "ann-the-author-7731", "you blockhead of Elm Street"
CONTENTS, KILLS = 1_500, 2
TRACES = (AUTHOR.encode(), TEXT.encode(), a_png())


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    assert manage("migrate", DATA=folder, timeout=180).returncode == 0
    assert run_child(folder, "prepare", AUTHOR, TEXT, str(CONTENTS)).returncode == 0
    return folder


def run_child(folder, *arguments):
    return subprocess.run(
        [sys.executable, Path(__file__).with_name("erasure_child.py"), *arguments],
        env=product_environment(DATA=folder, GRPC_PORT=0),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def database(folder):
    (file,) = folder.glob("*.sqlite3")
    return file


def contents_left(folder):
    with closing(sqlite3.connect(database(folder), timeout=20)) as connection:
        return connection.execute("SELECT count(*) FROM moderation_storedcontent").fetchone()[0]


def traces_in(folder):
    """Where a piece of what was erased lies, in whatever file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [(path.name, trace[:20]) for path in files for trace in TRACES if trace in path.read_bytes()]


def begin_erasing(folder):
    command = ["erase_contents", "--author-id", AUTHOR, "--reason", "She asked"]
    return subprocess.Popen(
        [sys.executable, ROOT / "manage.py", *command],
        env=clean_environment(DATA=folder, GRPC_PORT=0),
        stdout=subprocess.DEVNULL,
    )


def kill_amid(folder):
    """Erase, and kill the process when it has erased some. While a dead one still holds the lease, others do nothing."""
    before = contents_left(folder)
    eraser = begin_erasing(folder)

    def has_erased_some():
        nonlocal eraser
        if contents_left(folder) < before:
            return True
        if eraser.poll() is not None:
            eraser = begin_erasing(folder)
        return False

    try:
        wait_until(has_erased_some, within_s=180, what="some contents are erased")
    finally:
        eraser.send_signal(signal.SIGKILL)
        eraser.wait()
    assert contents_left(folder) > 1


def test_nothing_is_left_after_kills(data):
    shutil.copytree(data, data.with_name("careless"))
    assert len({trace for _, trace in traces_in(data)}) == len(TRACES)
    for _ in range(KILLS):
        kill_amid(data)

    wait_until(lambda: run_child(data, "go on").stdout == "done", within_s=180, what="the erasure is done")

    assert contents_left(data) == 1
    assert traces_in(data) == []
    assert "intact" in manage("verify_audit", DATA=data).stdout
    _rows_that_are_only_deleted_leave_traces(data.with_name("careless"))


def _rows_that_are_only_deleted_leave_traces(folder):
    """What the search would find, if SQLite did not overwrite what is deleted."""
    with closing(sqlite3.connect(database(folder))) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        for table in ("storedcontent", "storedpicture"):
            connection.execute(f"DELETE FROM moderation_{table}")
        connection.commit()
    assert contents_left(folder) == 0
    assert {trace for _, trace in traces_in(folder)} >= {TRACES[1][:20], TRACES[2][:20]}
