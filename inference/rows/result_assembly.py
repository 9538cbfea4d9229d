"""Joining a job's result parts into one file, in order; rows are copied, never parsed."""

import csv
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np

from inference.rows.errors import BadFile, UnevenResults
from inference.rows.files import LIMITS, FileFormat, FileKind
from inference.rows.formats.npz_file import NpzArray, NpzFile
from inference.rows.formats.parquet_file import load_parquet, load_pyarrow

Opener = Callable[[], IO[bytes]]  # opens a part, seekable, at its start

_PIECE = 64 * 2**10
_PIECE_ROWS = 4_096
_NUMBER_WIDTH = 32  # characters; enough for any number
_MAX_GROWTH = 16  # from padding strings to the longest one, after the first 64 MiB
_GZIP_WBITS = 31


def assemble(parts: Sequence[Opener], target: IO[bytes], kind: FileKind) -> None:
    """Write all parts into `target`; raise UnevenResults if they do not fit into one table.

    Parts without rows may be empty files. Only the first CSV header is kept; compressed parts stay compressed.
    """
    match kind.format:
        case FileFormat.NPZ:
            _join_npz(parts, target)
        case FileFormat.PARQUET:
            _join_parquet(parts, target)
        case _:
            for piece in joined_text(parts, kind):
                target.write(piece)


def joined_text(parts: Sequence[Opener], kind: FileKind) -> Iterator[bytes]:
    """Stream JSONL or CSV parts as `assemble` would write them."""
    if kind.format == FileFormat.CSV:
        yield from _joined_csv(parts, read_first_member if kind.gzipped else read_header)
        return
    for part in parts:
        with part() as file:
            yield from _pieces(file)


def _joined_csv(parts: Sequence[Opener], take_header: Callable[[IO[bytes]], bytes]) -> Iterator[bytes]:
    _check_headers(parts, take_header)
    has_header = False
    for part in parts:
        with part() as file:
            if not _has_more(file):
                continue
            if has_header:
                take_header(file)
            has_header = True
            yield from _pieces(file)


def _check_headers(parts: Sequence[Opener], take_header: Callable[[IO[bytes]], bytes]) -> None:
    headers = set()
    for part in parts:
        with part() as file:
            if _has_more(file):
                headers.add(take_header(file))
    if len(headers) > 1:
        raise UnevenResults


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _has_more(file: IO[bytes]) -> bool:
    at = file.tell()
    has_more = bool(file.read(1))
    file.seek(at)
    return has_more


def _join_npz(parts: Sequence[Opener], target: IO[bytes]) -> None:
    tables: list[tuple[Opener, dict[str, NpzArray]]] = []
    size = 0
    for part in parts:
        with part() as file:
            size += file.seek(0, 2)
            if file.tell():
                tables.append((part, NpzFile(file, LIMITS).members))
    names = list(tables[0][1]) if tables else []
    if any(list(members) != names for _, members in tables):
        raise UnevenResults
    headers = {name: _header([members[name] for _, members in tables]) for name in names}
    out = sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in headers.values())
    if out > _MAX_GROWTH * size + LIMITS.ratio_floor:
        raise UnevenResults("A value is too long for an array of text; use JSONL.")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, (dtype, shape) in headers.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as array:
                described = {
                    "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape,
                }  # fmt: skip
                np.lib.format.write_array_header_1_0(array, described)
                for part, members in tables:
                    _copy_array(part, members[name], dtype, array)


def _header(members: Sequence[NpzArray]) -> tuple["np.dtype[Any]", tuple[int, ...]]:
    tails = {member.shape[1:] for member in members}
    if len(tails) > 1:
        raise UnevenResults
    dtypes = {member.dtype for member in members}
    if len(dtypes) == 1 or all(dtype.kind in "biuf" for dtype in dtypes):
        dtype = np.result_type(*dtypes)
    else:
        widths = [each.itemsize // 4 if each.kind == "U" else _NUMBER_WIDTH for each in dtypes]
        dtype = np.dtype(f"=U{max(widths)}")
    return dtype, (sum(member.shape[0] for member in members), *tails.pop())


def _copy_array(part: Opener, member: NpzArray, dtype: "np.dtype[Any]", target: IO[bytes]) -> None:
    with part() as file:
        source = NpzFile(file, LIMITS)
        for at in range(0, member.shape[0], _PIECE_ROWS):
            piece = source.read(member, at, min(_PIECE_ROWS, member.shape[0] - at))
            target.write(np.ascontiguousarray(piece.astype(dtype, copy=False)).tobytes())


def _join_parquet(parts: Sequence[Opener], target: IO[bytes]) -> None:
    schemas = []
    for part in parts:
        with _parquet_file(part) as file:
            if file is not None:
                schemas.append(file.schema_arrow)
    if not schemas:
        return
    schema = _common(schemas)
    pa = load_pyarrow()
    with load_parquet().ParquetWriter(target, schema) as writer:
        for part in parts:
            with _parquet_file(part) as file:
                if file is None:
                    continue
                for batch in file.iter_batches(batch_size=_PIECE_ROWS * 4):
                    columns = [batch.column(field.name).cast(field.type) for field in schema]
                    writer.write_batch(pa.record_batch(columns, schema=schema))


@contextmanager
def _parquet_file(part: Opener) -> Iterator[Any]:
    """None if the part has no rows."""
    with ExitStack() as stack:
        file = stack.enter_context(part())
        yield load_parquet().ParquetFile(file, pre_buffer=False) if file.seek(0, 2) else None


def _common(schemas: Sequence[Any]) -> Any:
    pa = load_pyarrow()
    names = schemas[0].names
    if any(schema.names != names for schema in schemas):
        raise UnevenResults
    return pa.schema(
        [(name, _common_type([schema.field(name).type for schema in schemas])) for name in names]
    )


def _common_type(types: Sequence[Any]) -> Any:
    pa = load_pyarrow()
    kinds = list(dict.fromkeys(types))
    if len(kinds) == 1:
        return kinds[0]
    if any(pa.types.is_fixed_size_list(kind) for kind in kinds):
        raise UnevenResults
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return pa.float64()
    return pa.string()


def read_header(file: IO[bytes]) -> bytes:
    """Read the first CSV row, and leave `file` positioned after it."""
    header: list[bytes] = []

    def lines() -> Iterator[str]:
        for line in file:
            header.append(line)
            yield line.decode()

    next(csv.reader(lines()), None)
    return b"".join(header)


def read_first_member(file: IO[bytes]) -> bytes:
    """Decompress the first gzip member, and leave `file` positioned after it."""
    at = file.tell()
    unpacker = zlib.decompressobj(_GZIP_WBITS)
    out: list[bytes] = []
    while not unpacker.eof:
        piece = file.read(_PIECE)
        if not piece:
            raise BadFile("A part of the result is truncated; run its chunk again.")
        out.append(unpacker.decompress(piece))
        at += len(piece)
    file.seek(at - len(unpacker.unused_data))
    return b"".join(out)
