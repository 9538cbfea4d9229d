"""Reading row files: unpack, plan, check and read a chunk; `read_items` for rows sent in a request."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from inference.rows.batches import BatchBuilder, RowBatch, RowWindow
from inference.rows.chunk_plans import ChunkPlan
from inference.rows.contract import Contract
from inference.rows.errors import BadFile, RowFileTooLarge
from inference.rows.files import LIMITS, FileFormat, FileKind, RowLimits, write_atomically
from inference.rows.formats.csv_file import CsvFile
from inference.rows.formats.jsonl_file import JsonlFile, columns_of, window_of
from inference.rows.formats.npz_file import NpzFile, is_packed, unpack_members
from inference.rows.formats.parquet_file import ParquetFile
from inference.rows.formats.zip_file import ZipFile
from inference.rows.layout import FileColumns, Layout, choose_signature, lay_out
from inference.tensors.signature import Signature

ROWS_PER_CHUNK = 20_000
_SAMPLE = 100
_WINDOW_OF_SINGLE_ROWS = 64  # rows read together although each runs alone
_PIECE = 2**20


class RowFile(Protocol):
    """A file of one format."""

    def plan(self, rows_per_chunk: int) -> Iterator[ChunkPlan]: ...

    def columns(self) -> FileColumns: ...

    def windows(
        self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int
    ) -> Iterator[RowWindow]: ...


def plan(
    file: IO[bytes], format: FileFormat, rows_per_chunk: int = ROWS_PER_CHUNK, *, limits: RowLimits = LIMITS
) -> Iterator[ChunkPlan]:
    """Cut an uncompressed, seekable file into chunks in one pass; raise BadFile. A file without rows has no chunks."""
    if rows_per_chunk < 1:
        raise ValueError("rows_per_chunk must be at least 1.")
    return open_rows(file, format, limits).plan(rows_per_chunk)


def check(
    file: IO[bytes],
    format: FileFormat,
    contract: Contract,
    signatures: Sequence[Signature],
    *,
    limits: RowLimits = LIMITS,
) -> Layout:
    """Return the columns for each input; raise BadContract if the contract cannot fit this file or model."""
    have = open_rows(file, format, limits).columns()
    return lay_out(contract, choose_signature(contract, signatures, have), have)


def signature_of_file(
    file: IO[bytes],
    format: FileFormat,
    contract: Contract,
    signatures: Sequence[Signature],
    *,
    limits: RowLimits = LIMITS,
) -> Signature:
    """Which of the signatures the rows are for."""
    return choose_signature(contract, signatures, open_rows(file, format, limits).columns())


def signature_of_items(
    items: Sequence[Any], contract: Contract, signatures: Sequence[Signature]
) -> Signature:
    return choose_signature(contract, signatures, _columns_of_items(items))


def read_chunk(
    file: IO[bytes],
    format: FileFormat,
    plan: ChunkPlan,
    contract: Contract,
    signature: Signature,
    batch_rows: int,
    *,
    limits: RowLimits = LIMITS,
) -> Iterator[RowBatch]:
    """Yield the rows of one chunk in order, at most `batch_rows` per batch, with bad rows in `RowBatch.bad`.

    Rows with different shapes are put in separate batches. Use `batch_rows=1` for a model whose rows must not share a run.
    Bad rows are not counted here; the caller checks the sum over all chunks with `Contract.check_errors`.
    """
    opened = open_rows(file, format, limits)
    layout = lay_out(contract, signature, opened.columns(), merges=batch_rows > 1)
    builder = BatchBuilder(layout, signature, contract.missing)
    for window in opened.windows(plan, layout, contract, _window_rows(batch_rows)):
        yield from builder.batches(window)


def read_items(
    items: Sequence[Any], contract: Contract, signature: Signature, batch_rows: int, *, first_row: int = 1
) -> Iterator[RowBatch]:
    """Read JSON objects as if each were a line of a JSONL file."""
    layout = lay_out(contract, signature, _columns_of_items(items), merges=batch_rows > 1)
    builder, size = BatchBuilder(layout, signature, contract.missing), _window_rows(batch_rows)
    for at in range(0, len(items), size):
        yield from builder.batches(window_of(items[at : at + size], first_row + at, layout, contract))


def _columns_of_items(items: Sequence[Any]) -> FileColumns:
    return columns_of([item for item in items[:_SAMPLE] if isinstance(item, dict)])


def _window_rows(batch_rows: int) -> int:
    return batch_rows if batch_rows > 1 else _WINDOW_OF_SINGLE_ROWS


def open_rows(file: IO[bytes], format: FileFormat, limits: RowLimits) -> RowFile:
    """Open an uncompressed, seekable file; raise BadFile or RowFileTooLarge."""
    _check_size(file.seek(0, 2), limits)
    match format:
        case FileFormat.CSV:
            return CsvFile(file, limits)
        case FileFormat.JSONL:
            return JsonlFile(file, limits)
        case FileFormat.NPZ:
            return NpzFile(file, limits)
        case FileFormat.PARQUET:
            return ParquetFile(file, limits)
        case FileFormat.ZIP:
            return ZipFile(file, limits)


def _check_size(size: int, limits: RowLimits) -> None:
    if size > limits.bytes:
        raise RowFileTooLarge(f"The file has {size:,} bytes; the limit is {limits.bytes:,}.")


def plain_file(source: Path, kind: FileKind, scratch: Path, *, limits: RowLimits = LIMITS) -> Path:
    """Return `source` if it is uncompressed, else unpack it to `scratch`; raise BadFile or RowFileTooLarge.

    Gzip and compressed NPZ arrays are unpacked, because rows in the middle cannot be reached otherwise.
    """
    packed = source.stat().st_size
    _check_size(packed, limits)
    if kind.format is FileFormat.NPZ:
        with source.open("rb") as file:
            if not is_packed(file, limits):
                return source
            with write_atomically(scratch) as target:
                unpack_members(file, target, UnpackMeter(packed, limits))
        return scratch
    if not kind.gzipped:
        return source
    with source.open("rb") as file, write_atomically(scratch) as target:
        for piece in _unpacked(file, UnpackMeter(packed, limits)):
            target.write(piece)
    return scratch


class UnpackMeter:
    """Counts unpacked bytes, so that a decompression bomb is refused early."""

    def __init__(self, packed_bytes: int, limits: RowLimits) -> None:
        self._packed = packed_bytes
        self._limits = limits
        self._out = 0

    def add(self, size: int) -> None:
        """Raise RowFileTooLarge as soon as a limit is exceeded."""
        self._out += size
        limits = self._limits
        if self._out > limits.bytes:
            raise RowFileTooLarge(f"The file unpacks to more than the limit of {limits.bytes:,} bytes.")
        if self._out > limits.ratio_floor and self._out > limits.ratio * self._packed:
            raise RowFileTooLarge(
                f"The file unpacks to more than {limits.ratio:,} times its size; send it uncompressed, or in parts."
            )


def _unpacked(file: IO[bytes], meter: UnpackMeter) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while piece := packed.read(_PIECE):
                meter.add(len(piece))
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadFile("The gzip file is damaged; compress and send it again.") from None
