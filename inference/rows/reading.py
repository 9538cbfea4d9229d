"""The library's two verbs, `plan` and `read_chunk`, and `read_items` for rows that came in a request."""

from collections.abc import Iterator, Sequence
from typing import IO, Any, Protocol

from inference.rows.batches import Batch
from inference.rows.contract import Contract
from inference.rows.errors import FileTooLarge
from inference.rows.formats.csv_file import CsvFile
from inference.rows.formats.jsonl_file import JsonlFile, columns_of, window_of
from inference.rows.formats.npz_file import NpzFile
from inference.rows.formats.parquet_file import ParquetFile
from inference.rows.layout import FileColumns, Layout, lay_out
from inference.rows.limits import LIMITS, Limits
from inference.rows.planning import ChunkPlan, FileFormat
from inference.rows.windows import Builder, Window
from inference.tensors.signature import Signature

ROWS_PER_CHUNK = 20_000
_SAMPLE = 100
_SINGLY_READ = 64  # rows that are read at once where each runs by itself


class RowFile(Protocol):
    """A file of one format."""

    def plan(self, rows_per_chunk: int) -> Iterator[ChunkPlan]: ...

    def columns(self) -> FileColumns: ...

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[Window]: ...


def plan(
    file: IO[bytes], format: FileFormat, rows_per_chunk: int = ROWS_PER_CHUNK, *, limits: Limits = LIMITS
) -> Iterator[ChunkPlan]:
    """Cut a plain, seekable file into chunks in one pass; raise BadFile. A file without rows has no chunk."""
    if rows_per_chunk < 1:
        raise ValueError("A chunk has one row at least.")
    return _opened(file, format, limits).plan(rows_per_chunk)


def check(
    file: IO[bytes], format: FileFormat, contract: Contract, signature: Signature, *, limits: Limits = LIMITS
) -> Layout:
    """Raise BadContract where the contract fits this file or this model in no row; say what is read for what."""
    return lay_out(contract, signature, _opened(file, format, limits).columns())


def read_chunk(
    file: IO[bytes],
    format: FileFormat,
    plan: ChunkPlan,
    contract: Contract,
    signature: Signature,
    batch_rows: int,
    *,
    limits: Limits = LIMITS,
) -> Iterator[Batch]:
    """Give the rows of one chunk in order, at most `batch_rows` in a batch; the bad ones are in `Batch.bad`.

    Rows of unlike shapes come in batches of their own. Batches of one row each are for a model whose rows must not
    share a run; they are read many at a time all the same.
    Nothing is counted here: compare with `Contract.check_errors` over all chunks.
    """
    opened = _opened(file, format, limits)
    layout = lay_out(contract, signature, opened.columns(), merges=batch_rows > 1)
    builder = Builder(layout, signature, contract.missing)
    for window in opened.windows(plan, layout, contract, _window_rows(batch_rows)):
        yield from builder.batches(window)


def read_items(
    items: Sequence[Any], contract: Contract, signature: Signature, batch_rows: int, *, first_row: int = 1
) -> Iterator[Batch]:
    """Read objects that came as JSON as if each were a line of a JSONL file."""
    known = columns_of([item for item in items[:_SAMPLE] if isinstance(item, dict)])
    layout = lay_out(contract, signature, known, merges=batch_rows > 1)
    builder, size = Builder(layout, signature, contract.missing), _window_rows(batch_rows)
    for at in range(0, len(items), size):
        yield from builder.batches(window_of(items[at : at + size], first_row + at, layout, contract))


def _window_rows(batch_rows: int) -> int:
    return batch_rows if batch_rows > 1 else _SINGLY_READ


def _opened(file: IO[bytes], format: FileFormat, limits: Limits) -> RowFile:
    size = file.seek(0, 2)
    if size > limits.bytes:
        raise FileTooLarge(f"The file has {size:,} bytes; {limits.bytes:,} is the most.")
    match format:
        case FileFormat.CSV:
            return CsvFile(file, limits)
        case FileFormat.JSONL:
            return JsonlFile(file, limits)
        case FileFormat.NPZ:
            return NpzFile(file, limits)
        case FileFormat.PARQUET:
            return ParquetFile(file, limits)
