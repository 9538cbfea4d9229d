"""Files on their way out: few at once, because a slow reader holds its thread for as long as it likes."""

import os
import threading
from collections.abc import Mapping
from typing import Any

import structlog
from django.conf import settings

from registry.catalogue import artifacts
from registry.catalogue.errors import ArtifactDamaged, DownloadsBusy, other_bytes
from registry.catalogue.models import Artifact
from registry.catalogue.verified_files import VerifiedFiles
from registry.errors import ArtifactMissing

log = structlog.get_logger("roundhouse.downloads")

_CHUNK = 2**18
_places = threading.BoundedSemaphore(settings.DOWNLOAD_THREADS)
_verified = VerifiedFiles()


def take_place() -> None:
    """Take one of the places of this process, or raise DownloadsBusy; give it back with `free_place`."""
    if not _places.acquire(blocking=False):
        raise DownloadsBusy(
            f"This process sends {settings.DOWNLOAD_THREADS} files at once, and does now. Ask again in a second."
        )


def free_place() -> None:
    _places.release()


class OpenArtifact:
    """An open file that holds one of the places, until it is closed. Iterating gives the bytes of `part`.

    `told` goes into the log line that says how much of it was taken.
    """

    def __init__(self, artifact: Artifact, part: range, told: Mapping[str, Any]) -> None:
        self._artifact, self._part, self._told = artifact, part, told
        self._position = part.start
        take_place()
        try:
            self._descriptor: int | None = _opened(artifact)
        except BaseException as error:
            free_place()
            if isinstance(error, (ArtifactMissing, ArtifactDamaged)):
                log.error("artifact cannot be sent", sha256=artifact.sha256, reason=str(error), **told)
            raise

    def __iter__(self) -> "OpenArtifact":
        return self

    def __next__(self) -> bytes:
        left = self._part.stop - self._position
        if not left or self._descriptor is None:
            raise StopIteration
        piece = os.pread(self._descriptor, min(_CHUNK, left), self._position)
        if not piece:  # the connection breaks off, so that nobody takes the rest for a whole file
            log.error("artifact became shorter", sha256=self._artifact.sha256, **self._told)
            raise ArtifactDamaged(f"The file {self._artifact} became shorter while it was sent.")
        self._position += len(piece)
        return piece

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        os.close(descriptor)
        free_place()
        sent = self._position - self._part.start
        log.info(
            "download ended",
            sha256=self._artifact.sha256,
            sent_bytes=sent,
            asked_bytes=len(self._part),
            **self._told,
        )


def _opened(artifact: Artifact) -> int:
    path = artifacts.path_of(artifact.sha256)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactMissing(
            f"The file {artifact} has just gone from the store; upload the version again."
        ) from None
    try:
        size = os.fstat(descriptor).st_size
        if size != artifact.size_bytes:
            raise ArtifactDamaged(
                f"The stored file {artifact} has {size:,} bytes instead of {artifact.size_bytes:,}; "
                "restore it from a backup, or upload the version again."
            )
        if not _verified.has(descriptor, artifact.sha256):
            raise other_bytes(artifact)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
