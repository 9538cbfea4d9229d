"""The store's contract, on the folder and on the remote store. The remote one runs over Django's own storages
(files and memory), not over S3: what only S3 can get wrong is not tested here."""

import hashlib
import os

import pytest
from django.core.files.storage import FileSystemStorage, InMemoryStorage

from registry.catalogue import artifacts
from registry.catalogue.artifacts import FolderStore, RemoteStore
from registry.errors import ArtifactMissing

CONTENT = [b"wheel", b"", b"house" * 300_000]
SHA256 = hashlib.sha256(b"".join(CONTENT)).hexdigest()


def a_folder_store(folder):
    return FolderStore(folder / "artifacts")


def a_remote_store_over_files(folder):
    return RemoteStore(FileSystemStorage(folder / "remote"), cache=FolderStore(folder / "cache"))


def a_remote_store_over_memory(folder):
    return RemoteStore(InMemoryStorage(), cache=FolderStore(folder / "cache"))


@pytest.fixture(params=[a_folder_store, a_remote_store_over_files, a_remote_store_over_memory])
def store(request, tmp_path):
    return request.param(tmp_path)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_was_stored_is_found_under_its_hash(store):
    file = store.store(CONTENT)

    assert (file.sha256, file.size_bytes) == (SHA256, sum(map(len, CONTENT)))
    assert store.has(SHA256)
    assert store.path_of(SHA256).read_bytes() == b"".join(CONTENT)
    assert store.path_of(SHA256).name == SHA256


def test_the_same_content_twice_is_one_file(store, tmp_path):
    store.store(CONTENT)
    before = files_in(tmp_path)

    store.store(CONTENT)

    assert files_in(tmp_path) == before


def test_what_breaks_off_leaves_nothing(store, tmp_path):
    def torn():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.store(torn())

    assert files_in(tmp_path) == []


def test_an_unknown_hash_is_missing(store):
    assert not store.has("0" * 64)
    with pytest.raises(ArtifactMissing):
        store.path_of("0" * 64)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..",
        "",
        "A" * 64,
        "0" * 63,
        "0" * 65,
        "0" * 62 + "/0",
        "0" * 63 + "\0",
        "0" * 64 + "\n",
    ],
)
def test_what_is_no_hash_never_becomes_a_path(store, name):
    with pytest.raises(ArtifactMissing):
        store.path_of(name)


def test_an_empty_file_is_a_file(store):
    assert store.path_of(store.store([]).sha256).read_bytes() == b""


def test_another_machine_fetches_from_the_remote_store_once(tmp_path):
    remote = InMemoryStorage()
    RemoteStore(remote, cache=FolderStore(tmp_path / "one")).store(CONTENT)
    other = RemoteStore(remote, cache=FolderStore(tmp_path / "two"))

    first = other.path_of(SHA256)
    remote.delete(f"{SHA256[:2]}/{SHA256}")

    assert first.read_bytes() == other.path_of(SHA256).read_bytes() == b"".join(CONTENT)


def test_a_remote_file_with_other_content_is_not_believed(tmp_path):
    remote = FileSystemStorage(tmp_path / "remote")
    RemoteStore(remote, cache=FolderStore(tmp_path / "one")).store(CONTENT)
    (tmp_path / "remote" / SHA256[:2] / SHA256).write_bytes(b"poison")

    with pytest.raises(ArtifactMissing, match="different content"):
        RemoteStore(remote, cache=FolderStore(tmp_path / "two")).path_of(SHA256)

    assert files_in(tmp_path / "two") == []


def test_the_setting_chooses_the_store(settings, tmp_path):
    settings.DATA_DIR, settings.ARTIFACT_STORE_URL = tmp_path, None
    assert isinstance(artifacts.current_store(), FolderStore)

    settings.ARTIFACT_STORE_URL = "s3://models/roundhouse/eu"
    store = artifacts.current_store()

    assert isinstance(store, RemoteStore)
    assert (store._storage.bucket_name, store._storage.location) == ("models", "roundhouse/eu")


def test_files_are_readable_by_their_owner_only(tmp_path):
    path = FolderStore(tmp_path).path_of(FolderStore(tmp_path).store(CONTENT).sha256)

    assert os.stat(path).st_mode & 0o077 == 0
