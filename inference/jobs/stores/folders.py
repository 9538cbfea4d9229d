"""Files below a folder, reached from name to name, so that no link on the way leads out of it."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from django.conf import settings

from inference.jobs.stores.errors import BadStore, BadStorePath, NotInStore, StoreUnavailable

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not hold us
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A store is there to be shared: our own files are for one user (the umask sees to it), these for the group as well.
_GROUP_READS, _GROUP_ENTERS = stat.S_IRGRP, stat.S_IRGRP | stat.S_IXGRP
_LED_AWAY = (errno.ELOOP, errno.ENOTDIR)


class FolderFiles:
    """`root` must be an allowed folder or lie in one; raise BadStore."""

    def __init__(self, root: str, prefix: str) -> None:
        self._allowed, inner = _allowed_for(root)
        self._way = [*inner, *(prefix.split("/") if prefix else [])]

    @contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        """Open a plain file; raise NotInStore or BadStorePath."""
        *folders, name = path.split("/")
        with _opened(self._allowed, [*self._way, *folders]) as folder:
            with _named(path):
                descriptor = os.open(name, _READ, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise NotInStore(f"{path!r} is not a file.")
            with os.fdopen(descriptor, "rb") as file:
                yield file

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """Make the file and its folders; it gets its name when the block has ended well, over an older one."""
        *folders, name = path.split("/")
        with _opened(self._allowed, [*self._way, *folders], make=len(folders)) as folder:
            scratch = f".writing-{secrets.token_hex(8)}"
            with _named(path):
                descriptor = os.open(scratch, _NEW, 0o600, dir_fd=folder)
            try:
                _let_group(descriptor, _GROUP_READS)
                with os.fdopen(descriptor, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                with _named(path):
                    os.replace(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
                    os.fsync(folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(scratch, dir_fd=folder)
                raise


def check_folder(root: str) -> None:
    """Raise BadStore unless the environment allows this folder."""
    _allowed_for(root)


def _allowed_for(root: str) -> tuple[Path, tuple[str, ...]]:
    """The allowed folder that `root` is in, and the way from there."""
    path = Path(root)
    if not path.is_absolute() or ".." in path.parts:
        raise BadStore("Name the folder by its whole path, without `..`.")
    own = Path(settings.DATA_DIR).resolve()
    if path.resolve().is_relative_to(own) or own.is_relative_to(path.resolve()):
        raise BadStore("This folder holds what the server itself keeps.")
    for allowed in settings.JOB_FOLDERS:
        if path.is_relative_to(allowed):
            return allowed, path.relative_to(allowed).parts
    raise BadStore(
        "This folder is not in one of ROUNDHOUSE_JOB_FOLDERS; whoever runs this server allows folders there."
    )


@contextmanager
def _opened(start: Path, names: Sequence[str], *, make: int = 0) -> Iterator[int]:
    """The folder at the end of the way; the last `make` names of it are made where they are missing."""
    with _named("/".join(names)):
        folder = os.open(start, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for place, name in enumerate(names):
                is_new = place >= len(names) - make and _make(name, folder)
                inner = os.open(name, _FOLDER, dir_fd=folder)
                if is_new:
                    _let_group(inner, _GROUP_ENTERS)
                os.close(folder)
                folder = inner
        except BaseException:
            os.close(folder)
            raise
    try:
        yield folder
    finally:
        os.close(folder)


def _make(name: str, folder: int) -> bool:
    """Make the folder for its owner; return whether it was missing."""
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return False
    os.fsync(folder)
    return True


def _let_group(descriptor: int, bits: int) -> None:
    """Add to the mode, which may have a bit that the folder above hands down."""
    with suppress(PermissionError):  # a disk that keeps no modes
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | bits)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Say what the disk said, without saying where the store lies."""
    try:
        yield
    except FileNotFoundError:
        raise NotInStore(f"The store has no {path!r}.") from None
    except OSError as error:
        if error.errno in _LED_AWAY:
            raise BadStorePath(f"{path!r} goes through a link or a file, which is not followed.") from None
        raise StoreUnavailable(
            f"The store cannot be used for {path!r}: {os.strerror(error.errno or 0)}."
        ) from None
