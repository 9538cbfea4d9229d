"""Private files for what is too large for memory: request bodies for Django, and responses for clients."""

import asyncio
import io
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from inference.scratch import ScratchFolder
from registry.intake.errors import InsufficientStorage
from registry.intake.parts import room
from roundhouse.rsgi import FilePart

_FILE_STAYS_S = 60.0  # the server opens it immediately, and can send an open file after it is deleted
_START_AGAIN = "Free some space, then send the request again."


class Spool:
    """The files of one process, deleted with it. Its methods wait for the disk: call them in threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._folder = ScratchFolder("spool")

    def body(self) -> "SpooledBody":
        return SpooledBody(self._folder.path)

    def answer(self, pieces: Iterable[bytes]) -> FilePart:
        """Write a response to a file, which the server sends as fast as the client reads it."""
        with tempfile.NamedTemporaryFile(dir=self._folder.path, delete=False) as file:
            path = Path(file.name)
            try:
                with room(_START_AGAIN):
                    size = sum(map(file.write, pieces))
                    file.flush()
            except BaseException:
                path.unlink()
                raise
        delete = partial(path.unlink, missing_ok=True)
        self._loop.call_soon_threadsafe(self._loop.call_later, _FILE_STAYS_S, delete)
        return FilePart(path, range(size))

    def close(self) -> None:
        self._folder.remove()


class SpooledBody:
    """A body in a private file. If the disk is full, the rest is still received, so that the sender sees the response."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by the caller)
        self._refused: InsufficientStorage | None = None

    def write(self, parts: list[bytes]) -> None:
        if self._refused is None:
            try:
                with room(_START_AGAIN):
                    self._file.writelines(parts)
                    self._file.flush()
            except InsufficientStorage as error:
                self._refused = error
                self.close()  # the response may need the space

    def read_back(self) -> IO[bytes]:
        if self._refused is not None:
            return cast("IO[bytes]", _RefusedBody(self._refused))
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        with suppress(OSError):  # writing buffered bytes may fail again
            self._file.close()


class _RefusedBody(io.RawIOBase):
    """A body for which the disk had no space: reading it raises the error."""

    def __init__(self, error: InsufficientStorage) -> None:
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> int:
        raise self._error
