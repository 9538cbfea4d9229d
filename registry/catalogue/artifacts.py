"""Where artifact files lie: under their SHA-256, written whole or not at all.

`ROUNDHOUSE_ARTIFACT_STORE_URL` chooses the store; callers see hashes and local paths only.
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
from typing import IO, Protocol
from urllib.parse import urlsplit

from django.conf import settings

from registry.errors import ArtifactMissing

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class StoredFile:
    sha256: str
    size_bytes: int


class ArtifactStore(Protocol):
    """Keeps files by content. Nothing is ever overwritten: the same hash is the same file."""

    def store(self, chunks: Iterable[bytes]) -> StoredFile:
        """Write the file, hashing on the way; a file already known is not stored twice."""

    def path_of(self, sha256: str) -> Path:
        """Where the file lies on this machine, fetched if need be; raise ArtifactMissing."""

    def has(self, sha256: str) -> bool: ...


class FolderStore:
    """Files in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, chunks: Iterable[bytes]) -> StoredFile:
        with self.incoming(chunks) as (scratch, file):
            self.keep(scratch, file.sha256)
        return file

    def path_of(self, sha256: str) -> Path:
        path = self._place(sha256)
        if not path.exists():
            raise ArtifactMissing(f"The file {sha256[:12]} is not in the store; upload the version again.")
        return path

    def has(self, sha256: str) -> bool:
        return self._place(sha256).exists()

    @contextmanager
    def incoming(self, chunks: Iterable[bytes]) -> Iterator[tuple[Path, StoredFile]]:
        """Write a scratch file and hash it; it is gone afterwards unless it was kept."""
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
        """Give the scratch file its place: a rename, so that nobody sees half a file."""
        place = self._place(sha256)
        place.parent.mkdir(exist_ok=True)
        os.replace(scratch, place)
        _flush_folder(place.parent)
        return place

    def _place(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):  # a path is made of it
            raise ArtifactMissing(f"{sha256[:64]!r} is no SHA-256.")
        return self._folder / sha256[:2] / sha256


def read_chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_CHUNK), b"")


def current_store() -> ArtifactStore:
    """The store that the settings name."""
    return _made(settings.ARTIFACT_STORE_URL, Path(settings.DATA_DIR))


@lru_cache(maxsize=4)
def _made(url: str | None, data_folder: Path) -> ArtifactStore:
    if not url:
        return FolderStore(data_folder / "artifacts")
    from registry.catalogue.remote_artifacts import RemoteStore, s3_storage

    bucket, prefix = urlsplit(url).netloc, urlsplit(url).path.strip("/")
    return RemoteStore(s3_storage(bucket, prefix), cache=FolderStore(data_folder / "artifact-cache"))


def store(chunks: Iterable[bytes]) -> StoredFile:
    return current_store().store(chunks)


def path_of(sha256: str) -> Path:
    return current_store().path_of(sha256)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
