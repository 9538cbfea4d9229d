"""Files of rows that were sent: `<data>/jobs/inputs/<name>`. A name is ours; nothing that a sender wrote becomes a path."""

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from inference.rows.durable import flush_folder
from registry.intake import parts
from registry.intake.errors import InsufficientStorage

_AGAIN = "Free some space, then send the job again."
_STRAY_S = 3600
_AT_ONCE = 500


def path_of(ref: str) -> Path:
    return _folder() / uuid.UUID(ref).hex


def keep(pieces: Iterable[bytes]) -> str:
    """Write a file as it comes; return its reference once it is safe on the disk."""
    if parts.free_bytes() < parts.RESERVE_BYTES:
        raise InsufficientStorage
    with _new() as path, path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return path.name


def adopt(source: Path) -> str:
    """Give a file of this disk a second name here, or copy it from another."""
    with _new() as path:
        try:
            os.link(source, path)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source, path)
    return path.name


def drop(ref: str) -> None:
    path_of(ref).unlink(missing_ok=True)


def strays() -> Iterator[list[str]]:
    """What lies here for so long that a job would have come by now, if one were to; some at a time."""
    before = time.time() - _STRAY_S
    old = [path.name for path in _folder().iterdir() if path.stat().st_ctime < before]
    for start in range(0, len(old), _AT_ONCE):
        yield old[start : start + _AT_ONCE]


@contextmanager
def _new() -> Iterator[Path]:
    path = _folder() / uuid.uuid4().hex
    try:
        with parts.room(_AGAIN):
            yield path
            flush_folder(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _folder() -> Path:
    folder = Path(settings.DATA_DIR) / "jobs" / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
