"""Working folders for disposable child processes. Folders whose owner was killed are swept."""

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

from django.conf import settings

_LOCK = ".lock"


class ScratchFolder:
    """An empty folder that exists until `remove`; a context manager.

    Its owner keeps a file beside it locked. The kernel releases the lock however the owner ends. A process id in the name
    would not be enough: containers that share the data folder number their processes separately.
    """

    def __init__(self, kind: str) -> None:
        self.path, self._lock = _claimed(kind)
        try:
            self.path.mkdir()
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        _remove(self.path)
        self._lock.close()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def sweep_scratch_folders() -> int:
    """Remove the folders whose owners are dead; return how many."""
    swept = 0
    for lock_path in list(_root().glob(f"*{_LOCK}")):
        with suppress(FileNotFoundError, BlockingIOError), lock_path.open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock_path.with_suffix(""))
            swept += 1
    return swept


def _claimed(kind: str) -> tuple[Path, IO[bytes]]:
    """A name for a new folder, and the lock that we hold on it."""
    root = _root()
    root.mkdir(parents=True, exist_ok=True)
    while True:
        path = root / f"{kind}-{secrets.token_hex(8)}"
        lock = path.with_suffix(_LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.with_suffix(_LOCK).exists():
            return path, lock
        lock.close()  # a sweep came first, and mistook the file for a dead owner's


def _remove(path: Path) -> None:
    """Delete the lock file last, and only if the folder is gone, so the next sweep finds what could not be removed."""
    with suppress(RecursionError):
        shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        _remove_deep(path)
    if not path.exists():
        path.with_suffix(_LOCK).unlink(missing_ok=True)


def _remove_deep(path: Path) -> None:
    """Remove what a hostile child nested so deep, or closed so well, that `rmtree` gives up: move inner folders up first."""
    with suppress(OSError):
        while folders := [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]:
            for folder in folders:
                os.chmod(folder, 0o700)
                for entry in list(os.scandir(folder)):
                    if entry.is_dir(follow_symlinks=False):
                        os.rename(entry.path, path / secrets.token_hex(16))
                    else:
                        os.unlink(entry.path)
                os.rmdir(folder)
        shutil.rmtree(path, ignore_errors=True)


def _root() -> Path:
    return Path(settings.DATA_DIR) / "tmp" / "checks"
