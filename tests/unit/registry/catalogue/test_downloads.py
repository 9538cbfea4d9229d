"""A stored file is hashed once for each state that it is in, by one at a time."""

import hashlib
import os
import threading

import pytest

from registry.catalogue import downloads
from registry.catalogue.downloads import VerifiedFiles
from tests.support.together import in_threads

CONTENT = b"content"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def hashed(monkeypatch):
    """How often a file was read."""
    calls, real = [], downloads._sha256_of
    monkeypatch.setattr(downloads, "_sha256_of", lambda file: calls.append(file) or real(file))
    return calls


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def ask(files, path, sha256=SHA256):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return files.has(descriptor, sha256)
    finally:
        os.close(descriptor)


def test_the_same_file_is_hashed_once(path, hashed):
    files = VerifiedFiles()

    assert [ask(files, path) for _ in range(3)] == [True] * 3
    assert len(hashed) == 1


def rewrite(path):
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(1, 1))


def replace(path):
    times = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(other, path)


@pytest.mark.parametrize(
    "change", [rewrite, replace, lambda path: path.write_bytes(b"longer content")],
    ids=["mtime", "inode", "size"],
)  # fmt: skip
def test_a_changed_file_is_hashed_again(path, change):
    files = VerifiedFiles()
    assert ask(files, path)

    change(path)

    assert not ask(files, path)


def test_one_file_is_not_taken_for_another(path):
    files = VerifiedFiles()
    assert ask(files, path)

    assert not ask(files, path, hashlib.sha256(b"another").hexdigest())


def test_a_file_mended_with_its_old_time_is_sent_again(path):
    files, times = VerifiedFiles(), path.stat()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not ask(files, path)

    path.write_bytes(CONTENT)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert ask(files, path)


def test_what_is_written_to_while_it_is_hashed_is_not_remembered(path, monkeypatch):
    files, real = VerifiedFiles(), downloads._sha256_of

    def hash_and_touch(file):
        found = real(file)
        rewrite(path)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_sha256_of", hash_and_touch)
        ask(files, path)

    assert not ask(files, path)


def test_the_longest_unasked_are_forgotten(tmp_path, hashed):
    files = VerifiedFiles(max_files=2)
    paths = [tmp_path / str(number) for number in range(3)]
    for path in paths:
        path.write_bytes(CONTENT)
    first, second, third = paths

    for path in (first, second, first, third):
        ask(files, path)
    assert len(hashed) == 3

    ask(files, first)
    assert len(hashed) == 3
    ask(files, second)
    assert len(hashed) == 4


def test_who_asks_meanwhile_waits_for_the_one_hash(path, monkeypatch):
    files, calls, real = VerifiedFiles(), [], downloads._sha256_of
    all_came, second = threading.Barrier(4), threading.Event()

    def hash_while_others_ask(file):
        calls.append(1)
        if len(calls) == 1:
            all_came.wait(10)
            second.wait(0.3)  # long enough for one that does not wait
        else:
            second.set()
        return real(file)

    def ask_together(number):
        if number:
            all_came.wait(10)
        assert ask(files, path)

    monkeypatch.setattr(downloads, "_sha256_of", hash_while_others_ask)

    assert in_threads(4, ask_together) == []
    assert calls == [1]
    assert len(files._locks) == 0
