"""Formats and limits of row files, and writing a file atomically."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, NamedTuple

from inference.rows.errors import UnknownFormat


class FileFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    NPZ = "npz"
    PARQUET = "parquet"
    ZIP = "zip"  # of pictures; never of results


ENTRY_NAME = "name"  # the column with the path of a zip's entry


class FileKind(NamedTuple):
    format: FileFormat
    gzipped: bool


_ENDINGS = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".npz": FileFormat.NPZ,
    ".parquet": FileFormat.PARQUET,
    ".zip": FileFormat.ZIP,
}


def kind_of(name: str) -> FileKind:
    """Guess format and compression from a file name; raise UnknownFormat."""
    plain = name.lower().removesuffix(".gz")
    for ending, file_format in _ENDINGS.items():
        if plain.endswith(ending):
            gzipped = plain != name.lower()
            if gzipped and file_format not in (FileFormat.JSONL, FileFormat.CSV):
                raise UnknownFormat(f"{file_format} files are already compressed; send them without gzip.")
            return FileKind(file_format, gzipped)
    raise UnknownFormat(
        f"The file name must end in one of {', '.join(_ENDINGS)}, optionally followed by .gz."
    )


@dataclass(frozen=True, slots=True)
class RowLimits:
    """What one file of rows may hold. A job's own limits may be smaller."""

    row_bytes: int = 2**20  # one row of CSV or JSONL
    rows: int = 100_000_000
    bytes: int = 64 * 2**30  # uncompressed
    chunk_bytes: int = 8 * 2**20  # a chunk ends here even if it has fewer rows than requested
    ratio: int = 200  # uncompressed to compressed size, after the first `ratio_floor` bytes
    ratio_floor: int = 64 * 2**20
    entry_bytes: int = 64 * 2**20  # one file of a zip
    members: int = 1_000  # arrays of an NPZ file; CSV and Parquet may have ten times as many columns


LIMITS = RowLimits()


@contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Write a temporary file next to `path`; fsync and rename it when the block succeeds, else remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".writing-", delete=False) as scratch:
        name = Path(scratch.name)
        try:
            yield scratch
            scratch.flush()
            os.fsync(scratch.fileno())
            os.replace(name, path)
        except BaseException:
            name.unlink(missing_ok=True)
            raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
