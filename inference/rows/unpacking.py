"""From what was sent to a plain file that can be read from any place; bombs are refused on the way."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from inference.rows.durable import written_whole
from inference.rows.errors import BadFile, FileTooLarge
from inference.rows.formats.npz_file import is_packed, unpack_members
from inference.rows.limits import LIMITS, Limits
from inference.rows.planning import FileFormat, Kind

_PIECE = 2**20


def plain_file(source: Path, kind: Kind, scratch: Path, *, limits: Limits = LIMITS) -> Path:
    """Give `source` itself where it is plain already, else write `scratch`; raise BadFile or FileTooLarge.

    Gzip is unpacked, and so are the arrays of a packed NPZ file: rows in the middle cannot be reached otherwise.
    """
    packed = source.stat().st_size
    if packed > limits.bytes:
        raise FileTooLarge(f"The file has {packed:,} bytes; {limits.bytes:,} is the most.")
    if kind.format is FileFormat.NPZ:
        with source.open("rb") as file:
            if not is_packed(file, limits):
                return source
            with written_whole(scratch) as target:
                unpack_members(file, target, Meter(packed, limits))
        return scratch
    if not kind.gzipped:
        return source
    with source.open("rb") as file, written_whole(scratch) as target:
        for piece in _unpacked(file, Meter(packed, limits)):
            target.write(piece)
    return scratch


class Meter:
    """Counts what comes out of a packed file."""

    def __init__(self, packed_bytes: int, limits: Limits) -> None:
        self._packed = packed_bytes
        self._limits = limits
        self._out = 0

    def add(self, size: int) -> None:
        """Raise FileTooLarge as soon as it is too much."""
        self._out += size
        limits = self._limits
        if self._out > limits.bytes:
            raise FileTooLarge(f"The file unpacks to more than {limits.bytes:,} bytes, which is the most.")
        if self._out > limits.ratio_floor and self._out > limits.ratio * self._packed:
            raise FileTooLarge(
                f"The file unpacks to more than {limits.ratio:,} times its size; send it unpacked, or in parts."
            )


def _unpacked(file: IO[bytes], meter: Meter) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while piece := packed.read(_PIECE):
                meter.add(len(piece))
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadFile("The file is not whole gzip; pack and send it again.") from None
