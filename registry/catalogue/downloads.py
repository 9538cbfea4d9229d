"""Downloads of artifacts: signed links, byte ranges, and files whose hash is verified before they are sent."""

import hashlib
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import structlog
from django.core.signing import BadSignature, Signer

from registry.catalogue import artifacts
from registry.catalogue.errors import (
    ArtifactDamaged,
    BadLink,
    LinkExpired,
    RangeNotSatisfiable,
    hash_mismatch,
)
from registry.catalogue.models import Artifact, Version
from registry.errors import ArtifactMissing

log = structlog.get_logger("roundhouse.downloads")

_CHUNK = 2**18
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """Lets its bearer download one version's file for a short time, with the rights of the actor who requested it.

    `actor` is text made by `encode_actor`; `expires_at` is in seconds since 1970.
    """

    version_id: int
    actor: str
    expires_at: int

    @property
    def expires(self) -> datetime:
        return datetime.fromtimestamp(self.expires_at, UTC)


def file_name_of(version: Version) -> str:
    """The file's name outside the store, built from a slug and a number only."""
    return f"{version.model.slug}-v{version.number}.onnx"


def sign_link(link: DownloadLink) -> str:
    """Encode the link as text that fits into a URL."""
    return _signer().sign_object([link.version_id, link.actor, link.expires_at])


def read_link(text: str) -> DownloadLink:
    """Decode a signed link; raise BadLink for any other text, or LinkExpired."""
    try:
        link = DownloadLink(*_signer().unsign_object(text))
    except (BadSignature, UnicodeEncodeError):
        raise BadLink from None
    if time.time() >= link.expires_at:
        raise LinkExpired
    return link


def _signer() -> Signer:
    return Signer(salt="roundhouse download", sep=".")


def parse_range(header: str, size: int) -> range | None:
    """The bytes a Range header requests (RFC 9110, 14.2).

    None means the whole file: an invalid range, or more than one, may be ignored.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last N bytes
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size:
        raise RangeNotSatisfiable(f"The range starts after the file's {size:,} bytes.", size_bytes=size)
    return range(start, stop)


class _FileState(NamedTuple):
    """Differs whenever the file's content has changed, unless the disk itself corrupted it."""

    sha256: str
    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


class VerifiedFiles:
    """Remembers the last `max_files` files that had the right hash, so that each is hashed once per state.

    Damage is not remembered: a file repaired in place, with its old mtime, can be sent again.
    """

    def __init__(self, max_files: int = 4096) -> None:
        self._max_files = max_files
        self._verified: OrderedDict[_FileState, None] = OrderedDict()
        self._locks: WeakValueDictionary[_FileState, threading.Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def has(self, descriptor: int, sha256: str) -> bool:
        """Whether the open file has this hash. Concurrent callers wait for one computation."""
        state = _state_of(descriptor, sha256)
        with self._guard:
            lock = self._locks.setdefault(state, threading.Lock())
        with lock:
            if self._is_verified(state):
                return True
            is_right = _sha256_of(descriptor) == sha256
            if is_right and _state_of(descriptor, sha256) == state:  # otherwise it was modified meanwhile
                self._remember(state)
            return is_right

    def _is_verified(self, state: _FileState) -> bool:
        with self._guard:
            if state not in self._verified:
                return False
            self._verified.move_to_end(state)
            return True

    def _remember(self, state: _FileState) -> None:
        with self._guard:
            self._verified[state] = None
            if len(self._verified) > self._max_files:
                self._verified.popitem(last=False)


def _state_of(descriptor: int, sha256: str) -> _FileState:
    stat = os.fstat(descriptor)
    return _FileState(sha256, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _sha256_of(descriptor: int) -> str:
    with open(os.dup(descriptor), "rb", buffering=0) as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


_verified = VerifiedFiles()


class OpenArtifact:
    """An open, verified file. Iterating yields the bytes of `part`; a server that sends files itself uses `path` and
    `part`. `log_fields` are added to the log lines."""

    def __init__(self, artifact: Artifact, part: range, log_fields: Mapping[str, Any]) -> None:
        self._artifact, self.part, self._log_fields = artifact, part, log_fields
        self._position = part.start
        try:
            self.path: Path = artifacts.path_of(artifact.sha256)
            self._descriptor: int | None = _open_verified(self.path, artifact)
        except (ArtifactMissing, ArtifactDamaged) as error:
            log.error("artifact cannot be sent", sha256=artifact.sha256, reason=str(error), **log_fields)
            raise
        log.info("download begun", sha256=artifact.sha256, asked_bytes=len(part), **log_fields)

    def __iter__(self) -> "OpenArtifact":
        return self

    def __next__(self) -> bytes:
        left = self.part.stop - self._position
        if not left or self._descriptor is None:
            raise StopIteration
        piece = os.pread(self._descriptor, min(_CHUNK, left), self._position)
        if not piece:  # break the connection, so that the client does not mistake a part for the whole file
            log.error("artifact became shorter", sha256=self._artifact.sha256, **self._log_fields)
            raise ArtifactDamaged(f"The file {self._artifact} became shorter while it was being sent.")
        self._position += len(piece)
        return piece

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _open_verified(path: Path, artifact: Artifact) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactMissing(
            f"The file {artifact} was just removed from the store; upload the version again."
        ) from None
    try:
        size = os.fstat(descriptor).st_size
        if size != artifact.size_bytes:
            raise ArtifactDamaged(
                f"The stored file {artifact} has {size:,} bytes instead of {artifact.size_bytes:,}; "
                "restore it from a backup, or upload the version again."
            )
        if not _verified.has(descriptor, artifact.sha256):
            raise hash_mismatch(artifact)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
