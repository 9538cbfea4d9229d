"""What the processes write is for the user they run as: sessions, keys, rows and models are in it."""

import os
import stat
from contextlib import suppress
from pathlib import Path

UMASK = 0o077
OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# A folder that holds one of these has been a data folder. Any other that is not empty may be somebody else's, and
# keeps its mode.
_MARKS = {"secret-key", "audit-key", "roundhouse.sqlite3", "artifacts", "artifact-cache", "broker"}


def make_private(folder: Path) -> None:
    """Make the data folder for its owner alone, or close one of an older installation.

    The folder's own mode keeps others from everything below it. The entries directly in it are closed as well: a
    database or a key that is moved elsewhere must not be open there. What cannot be changed, `check_data_folder` reports.
    """
    os.umask(UMASK)
    folder.mkdir(parents=True, exist_ok=True)
    entries = list(folder.iterdir())
    if entries and not any(entry.name in _MARKS for entry in entries):
        return
    for path in (folder.resolve(), *entries):
        with suppress(OSError):  # another user's, a read-only disk, or gone meanwhile
            _close(path)


def _close(path: Path) -> None:
    mode = path.lstat().st_mode
    if mode & OF_OTHERS and not stat.S_ISLNK(mode):
        path.chmod(stat.S_IMODE(mode) & ~OF_OTHERS)
