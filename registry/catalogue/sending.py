"""Files on their way out: opened once their bytes are known to be the right ones."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from registry.catalogue import artifacts
from registry.catalogue.errors import ArtifactDamaged, other_bytes
from registry.catalogue.models import Artifact
from registry.catalogue.verified_files import VerifiedFiles
from registry.errors import ArtifactMissing

log = structlog.get_logger("roundhouse.downloads")

_CHUNK = 2**18
_verified = VerifiedFiles()


class OpenArtifact:
    """An open file. Iterating gives the bytes of `part`; a server that sends files by itself takes `path` and `part`.

    `told` goes into the log line that says that somebody takes it.
    """

    def __init__(self, artifact: Artifact, part: range, told: Mapping[str, Any]) -> None:
        self._artifact, self.part, self._told = artifact, part, told
        self._position = part.start
        try:
            self.path: Path = artifacts.path_of(artifact.sha256)
            self._descriptor: int | None = _opened(artifact)
        except (ArtifactMissing, ArtifactDamaged) as error:
            log.error("artifact cannot be sent", sha256=artifact.sha256, reason=str(error), **told)
            raise
        log.info("download begun", sha256=artifact.sha256, asked_bytes=len(part), **told)

    def __iter__(self) -> "OpenArtifact":
        return self

    def __next__(self) -> bytes:
        left = self.part.stop - self._position
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
        if descriptor is not None:
            os.close(descriptor)


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
