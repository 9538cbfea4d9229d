"""Private files for what is too large for memory: bodies that wait for Django, answers that wait for their readers."""

import asyncio
import io
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from inference.checks.scratch import ScratchFolder
from registry.intake.errors import InsufficientStorage
from registry.intake.parts import room
from roundhouse.rsgi import FilePart

_FILE_STAYS_S = 60.0  # the server opens it at once, and what is open can be sent to its end
_BEGIN_AGAIN = "Free some space, then begin again."


class Spool:
    """The files of one process; they go with it. Its methods may take as long as the disk does: call them in threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._folder = ScratchFolder("spool")

    def body(self) -> "SpooledBody":
        return SpooledBody(self._folder.path)

    def answer(self, pieces: Iterable[bytes]) -> FilePart:
        """Write an answer down, for the server to send as fast as its reader takes it."""
        with tempfile.NamedTemporaryFile(dir=self._folder.path, delete=False) as file:
            path = Path(file.name)
            try:
                with room(_BEGIN_AGAIN):
                    size = sum(map(file.write, pieces))
                    file.flush()
            except BaseException:
                path.unlink()
                raise
        going = partial(path.unlink, missing_ok=True)
        self._loop.call_soon_threadsafe(self._loop.call_later, _FILE_STAYS_S, going)
        return FilePart(path, range(size))

    def close(self) -> None:
        self._folder.remove()


class SpooledBody:
    """A body in a private file. What finds no room there is received all the same: the sender comes to see the answer."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by whoever asked)
        self._refused: InsufficientStorage | None = None

    def write(self, parts: list[bytes]) -> None:
        if self._refused is None:
            try:
                with room(_BEGIN_AGAIN):
                    self._file.writelines(parts)
                    self._file.flush()
            except InsufficientStorage as error:
                self._refused = error
                self.close()  # whoever answers may need the room

    def read_back(self) -> IO[bytes]:
        if self._refused is not None:
            return cast("IO[bytes]", _Unkept(self._refused))
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        with suppress(OSError):  # of what could not be written before
            self._file.close()


class _Unkept(io.RawIOBase):
    """A body that found no room on the disk: whoever reads it is told."""

    def __init__(self, error: InsufficientStorage) -> None:
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> int:
        raise self._error
