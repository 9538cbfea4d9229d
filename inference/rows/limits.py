"""What a file of rows may hold. A job's own limits may be smaller."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    row_bytes: int = 2**20  # one row of CSV or JSONL
    rows: int = 100_000_000
    bytes: int = 64 * 2**30  # a plain file, or what a packed one unpacks to
    chunk_bytes: int = 8 * 2**20  # a chunk ends here even if it has fewer rows than asked for
    ratio: int = 200  # unpacked to packed size, beyond the first `ratio_floor` bytes
    ratio_floor: int = 64 * 2**20
    members: int = 1_000  # arrays of an NPZ file, columns of a CSV or Parquet file times ten


LIMITS = Limits()
