"""Bytes of uploads until the file is complete: `<data>/uploads/<id>.part`. Nothing a user typed becomes a path."""

import errno
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import OperationalError

from registry.catalogue import artifacts
from registry.catalogue.artifacts import FolderStore, StoredFile, read_chunks
from registry.intake.errors import InsufficientStorage, UploadInUse

RESERVE_BYTES = 256 * 2**20  # kept free for the database and everything else on this disk
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL = "The disk is full."
_MAX_DIGESTS = 256
# Running hashes, in this process only: another process that continues an upload hashes the whole file.
_digests: "OrderedDict[UUID, tuple[int, hashlib._Hash]]" = OrderedDict()
_lock = threading.Lock()


def folder() -> Path:
    return Path(settings.DATA_DIR) / "uploads"


def existing_folder() -> Path:
    """The folder, created if necessary."""
    folder().mkdir(parents=True, exist_ok=True)
    return folder()


def path_of(upload_id: UUID) -> Path:
    return folder() / f"{upload_id}.part"


def free_bytes() -> int:
    """The free space on the disk that holds uploads."""
    return shutil.disk_usage(existing_folder()).free


def check_space(size: int, what: str) -> None:
    """Raise InsufficientStorage unless the disk has room for what is about to be written."""
    if free_bytes() < size + RESERVE_BYTES:
        raise InsufficientStorage(
            f"The disk has no room for {what} of {size:,} bytes. Free some space, then try again."
        )


@contextmanager
def opened(upload_id: UUID, *, is_new: bool = False) -> Iterator[int]:
    """Open the file for writing; raise FileNotFoundError if it is missing and not new."""
    existing_folder()
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if is_new else 0)
    descriptor = os.open(path_of(upload_id), flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked(descriptor: int, *, at_once: bool = False) -> Iterator[None]:
    """Hold the file's lock, which the kernel releases when a process dies; with `at_once`, raise UploadInUse if it is held."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if at_once else 0))
    except BlockingIOError:
        raise UploadInUse from None
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def room(advice: str) -> Iterator[None]:
    """Raise InsufficientStorage for a full disk, including when a database on the same disk reports it."""
    try:
        yield
    except OSError as error:
        if lacks_room(error):
            raise InsufficientStorage(f"{_FULL} {advice}") from None
        raise
    except OperationalError as error:
        if is_full(error):
            raise InsufficientStorage(f"{_FULL} {advice}") from None
        raise


def lacks_room(error: OSError) -> bool:
    return error.errno in _NO_ROOM


def is_full(error: OperationalError) -> bool:
    """Whether an embedded database, which shares our disk, ran out of space."""
    return getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_FULL"


def begin_at(descriptor: int, offset: int) -> bool:
    """Cut off the rest of an unfinished part; False if bytes before the offset are missing."""
    if os.fstat(descriptor).st_size < offset:
        return False
    os.ftruncate(descriptor, offset)
    return True


def write_at(descriptor: int, piece: bytes, position: int) -> None:
    rest = memoryview(piece)
    while rest:
        written = os.pwrite(descriptor, rest, position)
        rest, position = rest[written:], position + written


def flush(descriptor: int) -> None:
    os.fsync(descriptor)


def hash_of(upload_id: UUID) -> str:
    with path_of(upload_id).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store(upload_id: UUID, file: StoredFile) -> None:
    """Move the whole file into the artifact store, by renaming it if the store is a folder on this disk."""
    path, target = path_of(upload_id), artifacts.current_store()
    if target.has(file.sha256):
        return
    if isinstance(target, FolderStore):
        try:
            target.keep(path, file.sha256)
            return
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.ENOENT}:
                raise  # else: another disk, or no folder yet; the copy below handles both
    with path.open("rb") as source:
        target.store(read_chunks(source))


def remove(upload_id: UUID) -> None:
    path_of(upload_id).unlink(missing_ok=True)
    drop_digest(upload_id)


def ids_older_than(seconds: float) -> list[UUID]:
    """The uploads whose file has not been written to for that long."""
    ids = []
    for path in folder().glob("*.part"):
        with suppress(OSError, ValueError):
            if path.stat().st_mtime < time.time() - seconds:
                ids.append(UUID(path.stem))
    return ids


def digest_at(upload_id: UUID, offset: int) -> "hashlib._Hash | None":
    """A copy of the hash of the first `offset` bytes, if this process received all of them."""
    if offset == 0:
        return hashlib.sha256()
    with _lock:
        at, digest = _digests.get(upload_id, (-1, None))
        return digest.copy() if digest is not None and at == offset else None


def keep_digest(upload_id: UUID, offset: int, digest: "hashlib._Hash") -> None:
    """Remember the hash of the first `offset` bytes, which are now on the disk."""
    with _lock:
        _digests[upload_id] = (offset, digest)
        _digests.move_to_end(upload_id)
        if len(_digests) > _MAX_DIGESTS:
            _digests.popitem(last=False)


def drop_digest(upload_id: UUID) -> None:
    with _lock:
        _digests.pop(upload_id, None)
