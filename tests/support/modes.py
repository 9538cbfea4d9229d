"""Who may read what lies in a folder."""

import stat
from contextlib import suppress


def open_to_others(folder) -> dict[str, str]:
    """The folder and everything below it that group or others may read, write or enter, with its mode."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        with suppress(FileNotFoundError):  # a running server ends its files
            mode = path.lstat().st_mode
            if mode & 0o077 and not stat.S_ISLNK(mode):
                found[str(path.relative_to(folder))] = oct(stat.S_IMODE(mode))
    return found
