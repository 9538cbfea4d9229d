"""The data folder: private to the user that Roundhouse runs as. It holds sessions, keys, rows and models."""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

UMASK = 0o077
GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# A folder with one of these entries has been a data folder before. Any other non-empty folder may belong to someone
# else, and keeps its mode.
_MARKERS = {"secret-key", "audit-key", "roundhouse.sqlite3", "artifacts", "artifact-cache", "broker"}


def prepare_data_folder(folder: Path) -> None:
    """Create the data folder for its owner only, or restrict one from an older installation.

    The folder's own mode keeps others out of everything below it. Its direct entries are restricted as well, so that a
    database or a key stays private when it is moved. `check_data_folder` reports what cannot be changed here.
    """
    os.umask(UMASK)
    folder.mkdir(parents=True, exist_ok=True)
    entries = list(folder.iterdir())
    if entries and not any(entry.name in _MARKERS for entry in entries):
        return
    for path in (folder.resolve(), *entries):
        with suppress(OSError):  # owned by another user, on a read-only disk, or deleted meanwhile
            mode = path.lstat().st_mode
            if mode & GROUP_AND_OTHERS and not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(mode) & ~GROUP_AND_OTHERS)


def read_or_create_secret(path: Path) -> str:
    """Read a generated secret; create it (mode 0600) the first time."""
    if path.exists():
        return path.read_text().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_urlsafe(48)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    scratch.touch(mode=0o600)
    scratch.write_text(secret)
    try:
        # Linking fails if the file exists: of two processes that start together, one creates the key and both use it.
        path.hardlink_to(scratch)
    except FileExistsError:
        return path.read_text().strip()
    finally:
        scratch.unlink()
    return secret


def explain_os_error(folder: Path, error: OSError) -> str:
    """Tell the person at the terminal what an error with the data folder means, and what to do."""
    if error.errno == errno.ENOSPC:
        return f"The disk that holds {folder} is full. Free some space, or set ROUNDHOUSE_DATA to a folder on another disk."
    return f"The data folder {folder} cannot be used: {error.strerror}. Set ROUNDHOUSE_DATA to a writable folder."
