"""Where bytes wait until their file is whole: `<data>/uploads/<id>.part`. Nothing a person typed becomes a path."""

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import OperationalError

from registry.catalogue import artifacts
from registry.catalogue.artifacts import FolderStore, StoredFile, read_chunks
from registry.intake.errors import InsufficientStorage, UploadInUse

RESERVE_BYTES = 256 * 2**20  # left for the database and everything else on this disk
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL = "The disk became full."


def folder() -> Path:
    return Path(settings.DATA_DIR) / "uploads"


def made_folder() -> Path:
    """The folder, made if it is not there yet."""
    folder().mkdir(parents=True, exist_ok=True)
    return folder()


def path_of(upload_id: UUID) -> Path:
    return folder() / f"{upload_id}.part"


def free_bytes() -> int:
    """What the disk that holds uploads has left for us."""
    return shutil.disk_usage(made_folder()).free


@contextmanager
def opened(upload_id: UUID, *, is_new: bool = False) -> Iterator[int]:
    """Open the file for writing; raise FileNotFoundError when there is none and it is not new."""
    made_folder()
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if is_new else 0)
    descriptor = os.open(path_of(upload_id), flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked(descriptor: int, *, at_once: bool = False) -> Iterator[None]:
    """Hold the file's lock, which the kernel takes back when a process dies; raise UploadInUse where it is held."""
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
    """Turn the system's words for a full disk, and those of a database on the same disk, into ours."""
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
    """Whether an embedded database said so: its disk is ours, and the room that we give back is its."""
    return getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_FULL"


def begin_at(descriptor: int, offset: int) -> bool:
    """Cut off what an unfinished part left behind; False when bytes before the offset are missing."""
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
    """Bring the whole file into the artifact store, by a rename where that is a folder of this disk."""
    path, target = path_of(upload_id), artifacts.current_store()
    if target.has(file.sha256):
        return
    if isinstance(target, FolderStore):
        try:
            target.keep(path, file.sha256)
            return
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.ENOENT}:
                raise  # else: another disk, or the store's very first file, for which the copy makes the folder
    with path.open("rb") as source:
        target.store(read_chunks(source))


def remove(upload_id: UUID) -> None:
    path_of(upload_id).unlink(missing_ok=True)


def ids_older_than(seconds: float) -> list[UUID]:
    """Whose bytes lie here and were not written to for that long."""
    found = []
    for path in folder().glob("*.part"):
        with suppress(OSError, ValueError):
            if path.stat().st_mtime < time.time() - seconds:
                found.append(UUID(path.stem))
    return found
