"""Where artifact files are kept: under their SHA-256, written whole or not at all.

`ROUNDHOUSE_ARTIFACT_STORE_URL` chooses the store; callers only see hashes and local paths.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Protocol, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage

from registry.errors import ArtifactMissing

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class StoredFile:
    sha256: str
    size_bytes: int


class ArtifactStore(Protocol):
    """Stores files by content. Nothing is ever overwritten: the same hash is the same file."""

    def store(self, chunks: Iterable[bytes]) -> StoredFile:
        """Write and hash the file; identical content is stored only once."""

    def path_of(self, sha256: str) -> Path:
        """Return the file's local path, fetching the file if needed; raise ArtifactMissing."""

    def has(self, sha256: str) -> bool: ...


class FolderStore:
    """Files in a local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, chunks: Iterable[bytes]) -> StoredFile:
        with self.incoming(chunks) as (scratch, file):
            self.keep(scratch, file.sha256)
        return file

    def path_of(self, sha256: str) -> Path:
        path = self._path(sha256)
        if not path.exists():
            raise not_in_store(sha256)
        return path

    def has(self, sha256: str) -> bool:
        return self._path(sha256).exists()

    @contextmanager
    def incoming(self, chunks: Iterable[bytes]) -> Iterator[tuple[Path, StoredFile]]:
        """Write and hash a scratch file, which is removed on exit unless `keep` moved it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".incoming-", delete=False) as scratch:
            path = Path(scratch.name)
            try:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    scratch.write(chunk)
                scratch.flush()
                os.fsync(scratch.fileno())
                yield path, StoredFile(digest.hexdigest(), size)
            finally:
                path.unlink(missing_ok=True)

    def keep(self, scratch: Path, sha256: str) -> Path:
        """Move the scratch file into the store; a rename, so that readers never see half a file."""
        path = self._path(sha256)
        path.parent.mkdir(exist_ok=True)
        os.replace(scratch, path)
        _flush_folder(path.parent)
        return path

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):  # because it becomes part of a path
            raise ArtifactMissing(f"{sha256[:64]!r} is not a SHA-256.")
        return self._folder / sha256[:2] / sha256


def read_chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_CHUNK), b"")


class RemoteStore:
    """An object store behind Django's storage interface. Reads come from a local cache, verified by hash."""

    def __init__(self, storage: Storage, *, cache: FolderStore) -> None:
        self._storage = storage
        self._cache = cache

    def store(self, chunks: Iterable[bytes]) -> StoredFile:
        with self._cache.incoming(chunks) as (scratch, file):
            if not self.has(file.sha256):
                self._upload(scratch, file.sha256)
            self._cache.keep(scratch, file.sha256)
        return file

    def path_of(self, sha256: str) -> Path:
        if self._cache.has(sha256):
            return self._cache.path_of(sha256)
        if not self.has(sha256):
            raise not_in_store(sha256)
        with (
            self._storage.open(_name(sha256)) as source,
            self._cache.incoming(read_chunks(source)) as (scratch, file),
        ):
            if file.sha256 != sha256:
                raise ArtifactMissing(
                    f"The store returned different content for the file {sha256[:12]}; upload the version again."
                )
            return self._cache.keep(scratch, sha256)

    def has(self, sha256: str) -> bool:
        return self._storage.exists(_name(sha256))

    def _upload(self, scratch: Path, sha256: str) -> None:
        with scratch.open("rb") as source:
            self._storage.save(_name(sha256), File(source))


def s3_storage(bucket: str, prefix: str) -> Storage:
    """boto3 finds the credentials, region and endpoint (AWS_ variables, instance role)."""
    from storages.backends.s3 import S3Storage  # imports boto3, which only this profile needs

    storage = S3Storage(
        bucket_name=bucket, location=prefix, default_acl=None, querystring_auth=True, file_overwrite=True
    )
    return cast("Storage", storage)


def _name(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def current_store() -> ArtifactStore:
    """The store configured in the settings."""
    return _store_at(settings.ARTIFACT_STORE_URL, Path(settings.DATA_DIR))


@lru_cache(maxsize=4)
def _store_at(url: str | None, data_folder: Path) -> ArtifactStore:
    if not url:
        return FolderStore(data_folder / "artifacts")
    bucket, prefix = urlsplit(url).netloc, urlsplit(url).path.strip("/")
    return RemoteStore(s3_storage(bucket, prefix), cache=FolderStore(data_folder / "artifact-cache"))


def store(chunks: Iterable[bytes]) -> StoredFile:
    return current_store().store(chunks)


def path_of(sha256: str) -> Path:
    return current_store().path_of(sha256)


def not_in_store(sha256: str) -> ArtifactMissing:
    return ArtifactMissing(f"The file {sha256[:12]} is not in the store; upload the version again.")


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
