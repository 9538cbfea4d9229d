"""The artifact store on an object store, through Django's storage interface, with a local cache by hash."""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from django.core.files import File
from django.core.files.storage import Storage

from registry.catalogue.artifacts import FolderStore, StoredFile, read_chunks
from registry.errors import ArtifactMissing


class RemoteStore:
    """Writes go through to the object store; reads come from the cache, checked against their hash."""

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
            raise ArtifactMissing(f"The file {sha256[:12]} is not in the store; upload the version again.")
        with (
            self._storage.open(_name(sha256)) as source,
            self._cache.incoming(read_chunks(source)) as (scratch, file),
        ):
            if file.sha256 != sha256:
                raise ArtifactMissing(
                    f"The file {sha256[:12]} came back from the store with other content; upload the version again."
                )
            return self._cache.keep(scratch, sha256)

    def has(self, sha256: str) -> bool:
        return self._storage.exists(_name(sha256))

    def _upload(self, scratch: Path, sha256: str) -> None:
        with scratch.open("rb") as source:
            self._storage.save(_name(sha256), File(source))


def s3_storage(bucket: str, prefix: str) -> Storage:
    """Credentials, region and endpoint come from where boto3 looks for them (AWS_ variables, instance role)."""
    from storages.backends.s3 import S3Storage  # imports boto3, which only this profile needs

    made = S3Storage(
        bucket_name=bucket, location=prefix, default_acl=None, querystring_auth=True, file_overwrite=True
    )
    return cast("Storage", made)


def _name(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"
