"""NPZ: arrays with the rows on their first axis, as `numpy.savez` writes them. No pickles.

Rows are read by seeking, never by loading whole arrays, so the arrays must be uncompressed. Files from
`numpy.savez_compressed` are unpacked first (`reader.plain_file`).
"""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import IO, Any, Protocol

import numpy as np

from inference.rows.batches import Array, ArrayValues, RowWindow
from inference.rows.chunk_plans import ChunkPlan, chunks_of_rows
from inference.rows.contract import Contract
from inference.rows.errors import BadFile, RowFileTooLarge
from inference.rows.files import RowLimits
from inference.rows.layout import FileColumns, Layout

_MAX_HEADER = 10_000  # bytes
_PIECE = 2**20
_LOCAL_HEADER = 30  # bytes of a zip member's header before its name
_KINDS = "biufUS"
# What numpy may raise when it parses a header, which is Python source; numpy also tries to parse it as Python 2.
_UNREADABLE = (
    ValueError, KeyError, TypeError, OSError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError,
)  # fmt: skip
_LAST_CHARACTER, _SURROGATES, _REPLACEMENT = 0x10FFFF, (0xD800, 0xDFFF), 0xFFFD


class _Meter(Protocol):
    def add(self, size: int) -> None: ...


@dataclass(frozen=True, slots=True)
class NpzArray:
    """One array; `at` is the offset of its first number in the file."""

    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]
    by_columns: bool  # saved in Fortran order
    at: int

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class NpzFile:
    def __init__(self, file: IO[bytes], limits: RowLimits) -> None:
        self._file = file
        self._limits = limits
        self.members = {member.name: member for member in _members(file, limits)}

    def plan(self, rows_per_chunk: int) -> Iterator[ChunkPlan]:
        rows = self._rows()
        row_bytes = sum(member.nbytes for member in self.members.values()) // max(rows, 1)
        fitting = max(self._limits.chunk_bytes // max(row_bytes, 1), 1)
        yield from chunks_of_rows(rows, min(rows_per_chunk, fitting))

    def columns(self) -> FileColumns:
        lists = frozenset(name for name, member in self.members.items() if len(member.shape) > 1)
        return FileColumns(tuple(self.members), lists=lists)

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[RowWindow]:
        self._rows()
        stop = plan.first_row - 1 + plan.rows
        for at in range(plan.first_row - 1, stop, size):
            count = min(size, stop - at)
            arrays = {name: self.read(self.members[name], at, count) for name in layout.columns}
            yield RowWindow(range(at + 1, at + 1 + count), ArrayValues(arrays, contract.missing))

    def _rows(self) -> int:
        """The number of rows, which must be the same in all arrays."""
        counts = {name: member.shape[0] for name, member in self.members.items() if member.shape}
        if len(counts) < len(self.members):
            single = next(name for name in self.members if name not in counts)
            raise BadFile(f"Array {single[:80]!r} is a single value; the first axis must be the rows.")
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name[:80]!r} {count:,}" for name, count in list(counts.items())[:6])
            raise BadFile(f"The arrays have different numbers of rows: {listed}.")
        rows = next(iter(counts.values()))
        if rows > self._limits.rows:
            raise RowFileTooLarge(f"The file has {rows:,} rows; the limit is {self._limits.rows:,}.")
        return rows

    def read(self, member: NpzArray, first: int, count: int) -> Array:
        """Read `count` rows of one array; `first` counts from 0."""
        width = prod(member.shape[1:])
        if not member.by_columns or len(member.shape) == 1:
            size = width * member.dtype.itemsize
            values = self._array(member, member.at + first * size, count * width)
            return values.reshape((count, *member.shape[1:]))
        # In Fortran order each column is stored separately, with all its rows together.
        columns = np.empty((width, count), member.dtype)
        for place in range(width):
            at = member.at + (place * member.shape[0] + first) * member.dtype.itemsize
            columns[place] = self._array(member, at, count)
        reshaped = columns.reshape((*reversed(member.shape[1:]), count))
        return np.ascontiguousarray(reshaped.transpose())

    def _array(self, member: NpzArray, at: int, count: int) -> Array:
        size = count * member.dtype.itemsize
        self._file.seek(at)
        data = self._file.read(size)
        if len(data) < size:
            raise BadFile("The file ends in the middle of an array; send it again.")
        array = np.frombuffer(data, member.dtype)
        return _valid_text(array) if member.dtype.kind == "U" else array


def _valid_text(array: Array) -> Array:
    """Replace code points that are not characters; Python cannot hold them."""
    codes = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    invalid = (codes > _LAST_CHARACTER) | ((codes >= _SURROGATES[0]) & (codes <= _SURROGATES[1]))
    return np.where(invalid, _REPLACEMENT, codes).astype(np.uint32).view(f"=U{array.dtype.itemsize // 4}")


def is_packed(file: IO[bytes], limits: RowLimits) -> bool:
    with _archive(file) as archive:
        return any(info.compress_type != zipfile.ZIP_STORED for info in _listed(archive, limits))


def unpack_members(file: IO[bytes], target: IO[bytes], meter: _Meter) -> None:
    """Copy the arrays into an uncompressed zip file."""
    try:
        with _archive(file) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as plain:
            for info in archive.infolist():
                with archive.open(info) as packed, plain.open(info.filename, "w", force_zip64=True) as out:
                    while piece := packed.read(_PIECE):
                        meter.add(len(piece))
                        out.write(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise BadFile("The NPZ file is damaged; save and send it again.") from None


def _members(file: IO[bytes], limits: RowLimits) -> Iterator[NpzArray]:
    with _archive(file) as archive:
        listed = _listed(archive, limits)
        if any(info.compress_type != zipfile.ZIP_STORED for info in listed):
            raise BadFile("The arrays are compressed; they must be unpacked before they are read.")
        for info in listed:
            yield _member(file, info)


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise BadFile("The file is not an NPZ file; save it with numpy.savez.") from None


def _listed(archive: zipfile.ZipFile, limits: RowLimits) -> Sequence[zipfile.ZipInfo]:
    listed = archive.infolist()
    if not 0 < len(listed) <= limits.members:
        raise BadFile(f"The file has {len(listed):,} arrays; it must have 1 to {limits.members:,}.")
    names = [info.filename for info in listed]
    if len(set(names)) != len(names):
        raise BadFile("The file has two arrays with the same name.")
    if any(info.flag_bits & 1 for info in listed):
        raise BadFile("The file is encrypted; send it unencrypted.")
    if any(not name.endswith(".npy") for name in names):
        raise BadFile("The file contains something other than arrays; save it with numpy.savez.")
    return listed


def _member(file: IO[bytes], info: zipfile.ZipInfo) -> NpzArray:
    name = info.filename.removesuffix(".npy")
    try:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise ValueError
        skipped = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        begin = info.header_offset + _LOCAL_HEADER + skipped
        file.seek(begin)
        version = np.lib.format.read_magic(file)
        reads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, by_columns, dtype = reads[version](file, max_header_size=_MAX_HEADER)
    except _UNREADABLE:
        raise BadFile(f"Array {name[:80]!r} has no readable header; save it with numpy.savez.") from None
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise BadFile(
            f"Array {name[:80]!r} has type {str(dtype)[:40]}; only numbers, booleans and text are supported."
        )
    member = NpzArray(name, dtype, shape, by_columns, file.tell())
    if any(dim < 0 for dim in shape) or member.at - begin + member.nbytes != info.file_size:
        raise BadFile(f"Array {name[:80]!r} does not have its declared size; save it with numpy.savez.")
    return member
