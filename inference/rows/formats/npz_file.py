"""NPZ: arrays with the rows on their first axis, as `numpy.savez` writes them. No pickles.

The file is read at its places, never unpacked into memory, so its arrays must lie in it as they are; what
`numpy.savez_compressed` writes is unpacked first (`unpacking.plain_file`).
"""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import IO, Any, Protocol

import numpy as np

from inference.rows.batches import Array
from inference.rows.contract import Contract
from inference.rows.errors import BadFile, FileTooLarge
from inference.rows.layout import FileColumns, Layout
from inference.rows.limits import Limits
from inference.rows.planning import ChunkPlan, chunks_of_rows
from inference.rows.values import ArrayValues
from inference.rows.windows import Window

_HEADER = 10_000  # bytes of one array's description
_PIECE = 2**20
_LOCAL_HEADER = 30  # of a zip member, before its name
_KINDS = "biufUS"
# What numpy's reading of a header may raise; it is Python source, once more in the manner of Python 2.
_UNREADABLE = (
    ValueError, KeyError, TypeError, OSError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError,
)  # fmt: skip
_LAST_CHARACTER, _SURROGATES, _NO_CHARACTER = 0x10FFFF, (0xD800, 0xDFFF), 0xFFFD


class _Counts(Protocol):
    def add(self, size: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Member:
    """One array: `at` is where its first number lies in the file."""

    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]
    by_columns: bool  # saved in Fortran's order
    at: int

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class NpzFile:
    def __init__(self, file: IO[bytes], limits: Limits) -> None:
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

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[Window]:
        self._rows()
        stop = plan.first_row - 1 + plan.rows
        for at in range(plan.first_row - 1, stop, size):
            count = min(size, stop - at)
            arrays = {name: self.read(self.members[name], at, count) for name in layout.columns}
            yield Window(range(at + 1, at + 1 + count), ArrayValues(arrays, contract.missing))

    def _rows(self) -> int:
        """All arrays must have as many; an array of none is a mistake that is better told."""
        counts = {name: member.shape[0] for name, member in self.members.items() if member.shape}
        if len(counts) < len(self.members):
            single = next(name for name in self.members if name not in counts)
            raise BadFile(f"Array {single[:80]!r} is a single value; rows lie on the first axis.")
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name[:80]!r} {count:,}" for name, count in list(counts.items())[:6])
            raise BadFile(f"The arrays have unlike numbers of rows: {told}.")
        rows = next(iter(counts.values()))
        if rows > self._limits.rows:
            raise FileTooLarge(f"The file has {rows:,} rows; {self._limits.rows:,} is the most.")
        return rows

    def read(self, member: Member, first: int, count: int) -> Array:
        """Some rows of one array; `first` is counted from 0."""
        width = prod(member.shape[1:])
        if not member.by_columns or len(member.shape) == 1:
            size = width * member.dtype.itemsize
            found = self._array(member, member.at + first * size, count * width)
            return found.reshape((count, *member.shape[1:]))
        # In Fortran's order each column of numbers lies by itself, all its rows together.
        columns = np.empty((width, count), member.dtype)
        for place in range(width):
            at = member.at + (place * member.shape[0] + first) * member.dtype.itemsize
            columns[place] = self._array(member, at, count)
        turned = columns.reshape((*reversed(member.shape[1:]), count))
        return np.ascontiguousarray(turned.transpose())

    def _array(self, member: Member, at: int, count: int) -> Array:
        size = count * member.dtype.itemsize
        self._file.seek(at)
        found = self._file.read(size)
        if len(found) < size:
            raise BadFile("The file ends in the middle of an array; send it again.")
        array = np.frombuffer(found, member.dtype)
        return _real_texts(array) if member.dtype.kind == "U" else array


def _real_texts(array: Array) -> Array:
    """A file may hold numbers that are no characters, which Python cannot carry."""
    codes = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    wrong = (codes > _LAST_CHARACTER) | ((codes >= _SURROGATES[0]) & (codes <= _SURROGATES[1]))
    return np.where(wrong, _NO_CHARACTER, codes).astype(np.uint32).view(f"=U{array.dtype.itemsize // 4}")


def is_packed(file: IO[bytes], limits: Limits) -> bool:
    with _archive(file) as archive:
        return any(info.compress_type != zipfile.ZIP_STORED for info in _listed(archive, limits))


def unpack_members(file: IO[bytes], target: IO[bytes], meter: _Counts) -> None:
    """Copy the arrays as they are into a zip file that packs nothing."""
    try:
        with _archive(file) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as plain:
            for info in archive.infolist():
                with archive.open(info) as packed, plain.open(info.filename, "w", force_zip64=True) as out:
                    while piece := packed.read(_PIECE):
                        meter.add(len(piece))
                        out.write(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise BadFile("The file is not a whole NPZ file; save and send it again.") from None


def _members(file: IO[bytes], limits: Limits) -> Iterator[Member]:
    with _archive(file) as archive:
        listed = _listed(archive, limits)
        if any(info.compress_type != zipfile.ZIP_STORED for info in listed):
            raise BadFile("The arrays are packed; they must be unpacked before they are read.")
        for info in listed:
            yield _member(file, info)


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise BadFile("The file is not an NPZ file; numpy.savez writes one.") from None


def _listed(archive: zipfile.ZipFile, limits: Limits) -> Sequence[zipfile.ZipInfo]:
    listed = archive.infolist()
    if not 0 < len(listed) <= limits.members:
        raise BadFile(f"The file has {len(listed):,} arrays; 1 to {limits.members:,} are read.")
    names = [info.filename for info in listed]
    if len(set(names)) != len(names):
        raise BadFile("The file names an array twice.")
    if any(info.flag_bits & 1 for info in listed):
        raise BadFile("The file is encrypted, which is not read here.")
    if any(not name.endswith(".npy") for name in names):
        raise BadFile("The file holds something else than arrays; numpy.savez writes an NPZ file.")
    return listed


def _member(file: IO[bytes], info: zipfile.ZipInfo) -> Member:
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
        shape, by_columns, dtype = reads[version](file, max_header_size=_HEADER)
    except _UNREADABLE:
        raise BadFile(f"Array {name[:80]!r} has no readable header; save it with numpy.savez.") from None
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise BadFile(
            f"Array {name[:80]!r} has type {str(dtype)[:40]}; numbers, true/false and texts are read, no Python objects."
        )
    member = Member(name, dtype, shape, by_columns, file.tell())
    if any(dim < 0 for dim in shape) or member.at - begin + member.nbytes != info.file_size:
        raise BadFile(f"Array {name[:80]!r} says another size than it has; save it with numpy.savez.")
    return member
