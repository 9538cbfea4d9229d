"""A zip of pictures: each file in it is a row, in the order of the zip's directory. `image`: its bytes; `name`: its path.

Files are unpacked one at a time, in memory; nothing is ever written under an entry's name. A chunk is a part of the directory,
so a worker reads no more of the zip than its own rows. Folders, hidden files and what file managers add are not rows. Links and
encrypted files are bad rows, like anything else that cannot be read.
"""

import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import IO, Any

from inference.rows.batches import Array, ArrayValues, BadRow, RowWindow
from inference.rows.chunk_plans import ChunkPlan, read_planned
from inference.rows.contract import Contract, Missing, RowError
from inference.rows.errors import BadFile, NoPreview, RowFileTooLarge
from inference.rows.files import ENTRY_NAME, RowLimits
from inference.rows.layout import FileColumns, Layout
from registry.kit.zip_names import is_left_out

IMAGE = "image"
_END, _ENTRY, _LOCAL = b"PK\5\6", b"PK\1\2", b"PK\3\4"
_END_RECORD, _ENTRY_RECORD = struct.Struct("<4s4H2IH"), struct.Struct("<4s6H3I5H2I")
_LOCAL_HEADER = 30  # bytes before the name
_MAX_COMMENT = 65_535
_MAX_DIRECTORY = 32 * 2**20
_ZIP64_ENTRIES, _ZIP64_BYTES = 0xFFFF, 0xFFFFFFFF  # stand for numbers that are in the records of zip64
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 0x2041, 0x800  # flags
_DOS_FOLDER = 0x10
_DAMAGED = "The zip file is damaged or incomplete; pack and send it again."


@dataclass(frozen=True, slots=True)
class ZipEntry:
    name: str
    flags: int
    method: int
    crc: int
    packed_bytes: int
    bytes: int
    at: int  # of its header
    least_end: int  # where its bytes end at the earliest
    attributes: int
    record_end: int  # where its record in the directory ends

    @property
    def is_row(self) -> bool:
        is_folder = self.attributes & _DOS_FOLDER or self._kind == stat.S_IFDIR
        return not is_folder and not is_left_out(self.name)

    @property
    def _kind(self) -> int:
        return stat.S_IFMT(self.attributes >> 16)

    def check(self, limits: RowLimits) -> None:
        """Raise BadRow if it must not be unpacked."""
        if self._kind not in {0, stat.S_IFREG}:
            raise BadRow("The entry is a link or a device, not a file.")
        if self.flags & _ENCRYPTED:
            raise BadRow("The entry is encrypted.")
        if self.method not in {_STORED, _DEFLATED}:
            raise BadRow("The entry is compressed in another way than by deflate.")
        if self.bytes > limits.entry_bytes:
            raise BadRow(f"The entry has {self.bytes:,} bytes; at most {limits.entry_bytes:,} are read.")
        if self.packed_bytes > self.bytes + self.bytes // 100 + 1_000:
            raise BadRow("The entry is damaged.")


@dataclass(frozen=True, slots=True)
class _Directory:
    at: int  # in the opened file
    offset: int  # in the zip; greater if only its end was opened
    bytes: int
    entries: int


class ZipFile:
    def __init__(self, file: IO[bytes], limits: RowLimits, *, is_whole: bool = True) -> None:
        """`is_whole`: if not, `file` is the end of a zip. Its rows can be planned, and their names read."""
        self._file = file
        self._limits = limits
        self._directory = _find_directory(file)
        if is_whole and self._directory.at != self._directory.offset:
            raise BadFile(_DAMAGED)
        if self._directory.at < 0:
            raise NoPreview("The zip file has too many entries for a preview.")

    def plan(self, rows_per_chunk: int) -> Iterator[ChunkPlan]:
        rows = [entry for entry in self._checked_entries() if entry.is_row]
        index, first, begin, held = 0, 0, self._directory.at, 0
        for place, entry in enumerate(rows):
            held += entry.bytes
            if place > first and (place - first == rows_per_chunk or held > self._limits.chunk_bytes):
                end = rows[place - 1].record_end
                yield ChunkPlan(index, first + 1, place - first, begin, end)
                index, first, begin, held = index + 1, place, end, entry.bytes
        if rows:
            yield ChunkPlan(index, first + 1, len(rows) - first, begin, rows[-1].record_end)

    def columns(self) -> FileColumns:
        return FileColumns((IMAGE, ENTRY_NAME))

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[RowWindow]:
        records = read_planned(self._file, plan)
        entries = [entry for entry in _entries(records, plan.byte_from) if entry.is_row]
        if len(entries) != plan.rows:
            raise BadFile("The file changed while the job was reading it; it must not change.")
        unpacks = any(IMAGE in item.columns for item in layout.inputs)
        row = plan.first_row
        for part in _parts(entries, size, self._limits.chunk_bytes):
            yield self._window(part, row, contract.missing) if unpacks else _names(part, row)
            row += len(part)

    def _window(self, entries: Sequence[ZipEntry], first_row: int, missing: Missing) -> RowWindow:
        rows: list[int] = []
        good: list[ZipEntry] = []
        contents: list[bytes] = []
        bad: list[RowError] = []
        for row, entry in enumerate(entries, start=first_row):
            try:
                contents.append(self._read(entry))
            except BadRow as error:
                bad.append(RowError(row, entry.name, str(error)))
                continue
            rows.append(row)
            good.append(entry)
        return RowWindow(rows, _Entries(good, missing, {IMAGE: contents}), tuple(bad))

    def _read(self, entry: ZipEntry) -> bytes:
        entry.check(self._limits)
        self._file.seek(entry.at)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or not header.startswith(_LOCAL):
            raise BadRow("The entry is damaged.")
        self._file.seek(sum(struct.unpack_from("<2H", header, 26)), 1)
        content = _unpacked(self._file.read(entry.packed_bytes), entry)
        if len(content) != entry.bytes or zlib.crc32(content) != entry.crc:
            raise BadRow("The entry is damaged.")
        return content

    def _checked_entries(self) -> list[ZipEntry]:
        """All entries. Raises BadFile or RowFileTooLarge, before anything is unpacked."""
        self._file.seek(self._directory.at)
        records = self._file.read(self._directory.bytes)
        stated = self._directory.entries
        entries = list(islice(_entries(records, self._directory.at), stated + 1))
        if len(entries) != stated:
            raise BadFile(_DAMAGED)
        in_order = sorted(entries, key=lambda entry: entry.at)
        if any(one.least_end > other.at for one, other in pairwise(in_order)):
            raise BadFile("Entries of the zip file share the same bytes; pack and send it again.")
        if in_order and in_order[-1].least_end > self._directory.offset:
            raise BadFile(_DAMAGED)
        self._check_size(sum(entry.bytes for entry in entries))
        return entries

    def _check_size(self, unpacked: int) -> None:
        limits = self._limits
        if unpacked > limits.bytes:
            raise RowFileTooLarge(f"The file unpacks to more than the limit of {limits.bytes:,} bytes.")
        if unpacked > max(limits.ratio_floor, limits.ratio * self._directory.offset):
            raise RowFileTooLarge(f"The file unpacks to more than {limits.ratio:,} times its size.")


class _Entries(ArrayValues):
    """Names, and contents if they are needed. The value of `image` in a result is the size of the file."""

    def __init__(
        self, entries: Sequence[ZipEntry], missing: Missing, contents: Mapping[str, Array | list[Any]]
    ) -> None:
        super().__init__({ENTRY_NAME: [entry.name for entry in entries], **contents}, missing)
        self._sizes = [f"{entry.bytes:,} bytes" for entry in entries]

    def of(self, column: str, part: slice) -> Sequence[Any]:
        return self._sizes[part] if column == IMAGE else super().of(column, part)


def _names(entries: Sequence[ZipEntry], first_row: int) -> RowWindow:
    rows = range(first_row, first_row + len(entries))
    return RowWindow(rows, _Entries(entries, Missing.ERROR, {}))


def _parts(entries: Sequence[ZipEntry], most_rows: int, most_bytes: int) -> Iterator[Sequence[ZipEntry]]:
    first, held = 0, 0
    for place, entry in enumerate(entries):
        held += entry.bytes
        if place > first and (place - first == most_rows or held > most_bytes):
            yield entries[first:place]
            first, held = place, entry.bytes
    if entries:
        yield entries[first:]


def _find_directory(file: IO[bytes]) -> _Directory:
    """Read the record at the end. Raises BadFile."""
    size = file.seek(0, 2)
    start = max(0, size - _END_RECORD.size - _MAX_COMMENT)
    file.seek(start)
    tail = file.read()
    at = len(tail)
    while (at := tail.rfind(_END, 0, at)) >= 0:
        if at + _END_RECORD.size > len(tail):
            continue
        _, disk, first_disk, here, entries, length, offset, comment = _END_RECORD.unpack_from(tail, at)
        if at + _END_RECORD.size + comment != len(tail):
            continue
        if entries == _ZIP64_ENTRIES or _ZIP64_BYTES in (length, offset):
            raise _is_zip64()
        if disk or first_disk or here != entries:
            raise BadFile("The zip file is a part of several; send one file.")
        if length > _MAX_DIRECTORY:
            raise RowFileTooLarge(f"The directory of the zip file has more than {_MAX_DIRECTORY:,} bytes.")
        return _Directory(start + at - length, offset, length, entries)
    raise BadFile("The file is not a zip file, or its end is missing.")


def _is_zip64() -> BadFile:
    return RowFileTooLarge(
        "The file is a zip64, which has more than 65,534 entries or 4 GiB; send several smaller ones."
    )


def _entries(records: bytes, begin: int) -> Iterator[ZipEntry]:
    """The entries of a part of the directory that begins there. Raises BadFile."""
    at = 0
    while at < len(records):
        try:
            (
                signature, _, _, flags, method, _, _, crc, packed, size, name_length, extra, comment, _, _, attributes, offset,
            ) = _ENTRY_RECORD.unpack_from(records, at)  # fmt: skip
        except struct.error:
            raise BadFile(_DAMAGED) from None
        name_at = at + _ENTRY_RECORD.size
        at = name_at + name_length + extra + comment
        if signature != _ENTRY or at > len(records):
            raise BadFile(_DAMAGED)
        if _ZIP64_BYTES in (packed, size, offset):
            raise _is_zip64()
        name = records[name_at : name_at + name_length]
        yield ZipEntry(
            name.decode("utf-8" if flags & _UTF8 else "cp437", "replace"),
            flags, method, crc, packed, size, offset, offset + _LOCAL_HEADER + name_length + packed, attributes, begin + at,
        )  # fmt: skip


def _unpacked(packed: bytes, entry: ZipEntry) -> bytes:
    """At most one byte more than the entry says that it has."""
    if entry.method == _STORED:
        return packed
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.bytes + 1)
    except zlib.error:
        raise BadRow("The entry is damaged.") from None
