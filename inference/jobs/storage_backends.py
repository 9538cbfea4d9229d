"""Where the files of a store are: below a folder, or below a prefix of an S3 bucket.

Folders are opened one path component at a time, so that no link on the way leads out of the store.
"""

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage

from inference.jobs.errors import BadStore, BadStorePath, NotInStore, StoreUnavailable
from inference.rows.errors import RowFileTooLarge
from inference.rows.files import LIMITS
from registry.catalogue.artifacts import s3_storage

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a named pipe must not block us
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Stores are for sharing: our own files are private (by the umask), files in a store are readable by the group.
_GROUP_READS, _GROUP_ENTERS = stat.S_IRGRP, stat.S_IRGRP | stat.S_IXGRP
_NOT_FOLLOWED = (errno.ELOOP, errno.ENOTDIR)


class FolderFiles:
    """`root` must be an allowed folder or inside one; otherwise raises BadStore."""

    def __init__(self, root: str, prefix: str) -> None:
        self._allowed, inner = _allowed_for(root)
        self._base = [*inner, *(prefix.split("/") if prefix else [])]

    @contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        """Open a regular file; raise NotInStore or BadStorePath."""
        *folders, name = path.split("/")
        with _open_folder(self._allowed, [*self._base, *folders]) as folder:
            with _translated_errors(path):
                descriptor = os.open(name, _READ, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise NotInStore(f"{path!r} is not a file.")
            with os.fdopen(descriptor, "rb") as file:
                yield file

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """Create the file and its folders; it gets its name when the block succeeds, replacing an older file."""
        *folders, name = path.split("/")
        with _open_folder(self._allowed, [*self._base, *folders], make=len(folders)) as folder:
            scratch = f".writing-{secrets.token_hex(8)}"
            with _translated_errors(path):
                descriptor = os.open(scratch, _NEW, 0o600, dir_fd=folder)
            try:
                _grant_group(descriptor, _GROUP_READS)
                with os.fdopen(descriptor, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                with _translated_errors(path):
                    os.replace(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
                    os.fsync(folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(scratch, dir_fd=folder)
                raise


def check_folder(root: str) -> None:
    """Raise BadStore unless ROUNDHOUSE_JOB_FOLDERS allows this folder."""
    _allowed_for(root)


def _allowed_for(root: str) -> tuple[Path, tuple[str, ...]]:
    """The allowed folder that contains `root`, and the path from there."""
    path = Path(root)
    if not path.is_absolute() or ".." in path.parts:
        raise BadStore("Enter the absolute path of the folder, without `..`.")
    data = Path(settings.DATA_DIR).resolve()
    if path.resolve().is_relative_to(data) or data.is_relative_to(path.resolve()):
        raise BadStore("This folder contains the server's own data; choose another.")
    for allowed in settings.JOB_FOLDERS:
        if path.is_relative_to(allowed):
            return allowed, path.relative_to(allowed).parts
    raise BadStore(
        "This folder is not inside one of ROUNDHOUSE_JOB_FOLDERS; ask the operator of this server to allow it there."
    )


@contextmanager
def _open_folder(start: Path, names: Sequence[str], *, make: int = 0) -> Iterator[int]:
    """Open the folder at the end of a path; the last `make` names are created if missing."""
    with _translated_errors("/".join(names)):
        folder = os.open(start, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for depth, name in enumerate(names):
                is_new = depth >= len(names) - make and _make_folder(name, folder)
                inner = os.open(name, _FOLDER, dir_fd=folder)
                if is_new:
                    _grant_group(inner, _GROUP_ENTERS)
                os.close(folder)
                folder = inner
        except BaseException:
            os.close(folder)
            raise
    try:
        yield folder
    finally:
        os.close(folder)


def _make_folder(name: str, folder: int) -> bool:
    """Create a private folder; return whether it was missing."""
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return False
    os.fsync(folder)
    return True


def _grant_group(descriptor: int, bits: int) -> None:
    """Add bits to the mode, which may include bits inherited from the parent folder."""
    with suppress(PermissionError):  # a file system without modes
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | bits)


@contextmanager
def _translated_errors(path: str) -> Iterator[None]:
    """Report errors of the file system without revealing where the store is."""
    try:
        yield
    except FileNotFoundError:
        raise NotInStore(f"The store has no {path!r}.") from None
    except OSError as error:
        if error.errno in _NOT_FOLLOWED:
            raise BadStorePath(f"{path!r} leads through a link or a file; links are not followed.") from None
        raise StoreUnavailable(f"Access to {path!r} failed: {os.strerror(error.errno or 0)}.") from None


class BucketFiles:
    def __init__(self, bucket: str, prefix: str, storage: Storage | None = None) -> None:
        check_bucket(bucket, prefix)
        self._storage = storage or s3_storage(bucket, prefix)

    @contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        try:
            file = self._storage.open(path)
            if file.size > LIMITS.bytes:
                raise RowFileTooLarge(f"{path!r} has {file.size:,} bytes; the limit is {LIMITS.bytes:,}.")
            file.read(0)  # opens the object, so that its errors appear here
        except RowFileTooLarge:
            raise
        except FileNotFoundError:
            raise NotInStore(f"The store has no {path!r}.") from None
        except Exception as error:  # noqa: BLE001 (botocore has many error classes; their messages name the bucket)
            raise _unavailable(path, error) from None
        with file:
            yield file

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """Upload when the block succeeds; an object in a bucket is always complete."""
        with tempfile.TemporaryFile(dir=scratch_folder()) as file:
            yield file
            file.seek(0)
            try:
                self._storage.save(path, File(file))
            except Exception as error:  # noqa: BLE001
                raise _unavailable(path, error) from None


def check_bucket(bucket: str, prefix: str) -> None:
    """Raise BadStore if the store would contain our own artifacts, or be inside their prefix."""
    if "/" in bucket or ":" in bucket:
        raise BadStore("Enter only the name of the bucket; the path inside it is the prefix.")
    artifacts = urlsplit(settings.ARTIFACT_STORE_URL or "")
    ours, theirs = (f"{path}/" if path else "" for path in (artifacts.path.strip("/"), prefix))
    if artifacts.netloc == bucket and (f"{prefix}/".startswith(ours) or ours.startswith(theirs)):
        raise BadStore("Model files are stored there; choose another bucket or another prefix.")


def scratch_folder() -> Path:
    folder = Path(settings.DATA_DIR) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _unavailable(path: str, error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"Access to {path!r} in the store failed ({type(error).__name__}); try again.")
