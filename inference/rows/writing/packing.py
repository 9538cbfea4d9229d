"""Gzip in members: files of them put one behind the other are one gzip file."""

import gzip
import zlib
from types import TracebackType
from typing import IO, Self

from inference.rows.errors import BadFile

_PIECE = 2**16
_AS_GZIP = 31


class Members:
    """Packs what is written into `target`; `begin` ends a member and begins the next."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._member: gzip.GzipFile | None = None

    def write(self, data: bytes) -> int:
        if self._member is None:
            self._member = gzip.GzipFile(
                fileobj=self._target, mode="wb", filename="", mtime=0, compresslevel=6
            )
        return self._member.write(data)

    def begin(self) -> None:
        if self._member is not None:
            self._member.close()
        self._member = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.begin()


def first_member(file: IO[bytes]) -> bytes:
    """Unpack one member and leave `file` behind it."""
    at = file.tell()
    unpacker = zlib.decompressobj(_AS_GZIP)
    out: list[bytes] = []
    while not unpacker.eof:
        piece = file.read(_PIECE)
        if not piece:
            raise BadFile("A part of the result is cut off; run its chunk again.")
        out.append(unpacker.decompress(piece))
        at += len(piece)
    file.seek(at - len(unpacker.unused_data))
    return b"".join(out)
