"""Cutting a file into chunks of whole rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from inference.rows.errors import FileTooLarge, UnknownFormat
from inference.rows.limits import Limits
from inference.rows.lines import Ends


class FileFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    NPZ = "npz"
    PARQUET = "parquet"


class Kind(NamedTuple):
    format: FileFormat
    gzipped: bool


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """One chunk: `rows` rows from row number `first_row` on. In a file of text they are its bytes
    `byte_from` to `byte_to` (not included); in NPZ and Parquet both are 0.
    """

    index: int
    first_row: int  # counted from 1
    rows: int
    byte_from: int = 0
    byte_to: int = 0


_ENDINGS = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".npz": FileFormat.NPZ,
    ".parquet": FileFormat.PARQUET,
}


def kind_of(name: str) -> Kind:
    """Tell format and packing by a file's name; raise UnknownFormat."""
    plain = name.lower().removesuffix(".gz")
    for ending, found in _ENDINGS.items():
        if plain.endswith(ending):
            gzipped = plain != name.lower()
            if gzipped and found in (FileFormat.NPZ, FileFormat.PARQUET):
                raise UnknownFormat(f"{found} files are packed inside already; send them without gzip.")
            return Kind(found, gzipped)
    raise UnknownFormat(f"The name must end in one of {', '.join(_ENDINGS)}, or in one of them and .gz.")


def chunks_of_lines(
    ends: Iterable[Ends], rows_per_chunk: int, limits: Limits, *, byte_from: int
) -> Iterator[ChunkPlan]:
    """Group rows by their ends; a chunk holds at most `rows_per_chunk` rows and `limits.chunk_bytes` bytes."""
    index, first_row, start = 0, 1, byte_from
    held = np.empty(0, np.int64)

    def chunk(count: int) -> ChunkPlan:
        nonlocal index, first_row, start, held
        made = ChunkPlan(index, first_row, count, start, int(held[count - 1]))
        index, first_row, start, held = index + 1, first_row + count, made.byte_to, held[count:]
        if first_row - 1 > limits.rows or made.byte_to > limits.bytes:
            raise FileTooLarge(f"The file has more than {limits.rows:,} rows or {limits.bytes:,} bytes.")
        return made

    def full() -> int:
        within = int(np.searchsorted(held, start + limits.chunk_bytes, "right"))
        return min(rows_per_chunk, max(within, 1))

    for more in ends:
        held = np.concatenate((held, more))
        while len(held) > (count := full()):
            yield chunk(count)
    while len(held):
        yield chunk(min(full(), len(held)))


def chunks_of_rows(
    rows: int, rows_per_chunk: int, *, first_index: int = 0, first_row: int = 1
) -> Iterator[ChunkPlan]:
    """Cut a number of rows that is known beforehand."""
    for index, at in enumerate(range(0, rows, rows_per_chunk), start=first_index):
        yield ChunkPlan(index, first_row + at, min(rows_per_chunk, rows - at))
