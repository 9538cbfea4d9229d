"""Cutting a file into chunks of whole rows: where rows end, and which of them make a chunk."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from inference.rows.errors import BadFile, RowFileTooLarge, RowTooLong
from inference.rows.files import RowLimits

BOM = b"\xef\xbb\xbf"
MAX_CELL = 131_072  # characters; the limit of Python's csv reader
_BLOCK = 2**20

Ends = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """One chunk: `rows` rows starting at row number `first_row`.

    In text files these are the bytes from `byte_from` up to, not including, `byte_to`; in NPZ and Parquet both are 0.
    """

    index: int
    first_row: int  # counted from 1
    rows: int
    byte_from: int = 0
    byte_to: int = 0


def chunks_of_lines(
    ends: Iterable[Ends], rows_per_chunk: int, limits: RowLimits, *, byte_from: int
) -> Iterator[ChunkPlan]:
    """Group lines into chunks of at most `rows_per_chunk` rows and `limits.chunk_bytes` bytes."""
    index, first_row, start = 0, 1, byte_from
    held = np.empty(0, np.int64)

    def chunk(count: int) -> ChunkPlan:
        nonlocal index, first_row, start, held
        plan = ChunkPlan(index, first_row, count, start, int(held[count - 1]))
        index, first_row, start, held = index + 1, first_row + count, plan.byte_to, held[count:]
        if first_row - 1 > limits.rows or plan.byte_to > limits.bytes:
            raise RowFileTooLarge(f"The file has more than {limits.rows:,} rows or {limits.bytes:,} bytes.")
        return plan

    def full_size() -> int:
        within = int(np.searchsorted(held, start + limits.chunk_bytes, "right"))
        return min(rows_per_chunk, max(within, 1))

    for more in ends:
        held = np.concatenate((held, more))
        while len(held) > (count := full_size()):
            yield chunk(count)
    while len(held):
        yield chunk(min(full_size(), len(held)))


def chunks_of_rows(
    rows: int, rows_per_chunk: int, *, first_index: int = 0, first_row: int = 1
) -> Iterator[ChunkPlan]:
    """Cut a known number of rows into chunks."""
    for index, at in enumerate(range(0, rows, rows_per_chunk), start=first_index):
        yield ChunkPlan(index, first_row + at, min(rows_per_chunk, rows - at))


def read_planned(file: IO[bytes], plan: ChunkPlan) -> bytes:
    """The bytes of one chunk of a text file."""
    file.seek(plan.byte_from)
    data = file.read(plan.byte_to - plan.byte_from)
    if len(data) < plan.byte_to - plan.byte_from:
        raise BadFile("The file became shorter while the job was reading it; it must not change.")
    return data


class RowEnds:
    """Iterate over arrays of the offsets at which rows end, in one pass, block by block. Empty lines are skipped.

    A JSONL row is a line. A CSV row is whatever Python's `csv.reader` returns for a file opened with `newline=""`:
    blocks without quotes or bare carriage returns are cut at line ends, all others by that reader, so the two
    cannot disagree.
    """

    def __init__(self, file: IO[bytes], limits: RowLimits, *, quoted: bool) -> None:
        self._file = file
        self._limits = limits
        self._quoted = quoted
        self._file_at = 0
        self._rest = b""  # the start of a line whose end has not been read yet
        self._lines: deque[bytes] = deque()
        self._at = 0  # offset after the last consumed line
        self._row_at = 0  # offset of the row being read
        self._rows = 0

    def __iter__(self) -> Iterator[Ends]:
        start = self._read_more(len(BOM))
        if start == BOM:
            self._at = self._row_at = len(BOM)
        else:
            self._rest = start
        while (block := self._next_block()) is not None:
            ends = self._read(block) if self._quoted and needs_reader(block) else self._cut(block)
            self._rows += len(ends)
            if len(ends):
                yield ends

    def _read_more(self, size: int) -> bytes:
        self._file.seek(self._file_at)  # the caller may read the file between two rows
        piece = self._file.read(size)
        self._file_at += len(piece)
        return piece

    def _next_block(self) -> bytes | None:
        """Whole lines; the last line of the file may have no line end."""
        pieces = [self._rest]
        held = len(self._rest)
        while piece := self._read_more(_BLOCK):
            cut = piece.rfind(b"\n") + 1
            if not cut and self._quoted:
                cut = piece.rfind(b"\r", 0, -1) + 1  # the last byte may be half of a CRLF
            if cut:
                self._rest = piece[cut:]
                return b"".join((*pieces, piece[:cut]))
            pieces.append(piece)
            held += len(piece)
            if held > self._limits.row_bytes:
                raise self._too_long()
        self._rest = b""
        return b"".join(pieces) or None

    def _cut(self, block: bytes) -> Ends:
        text = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(text == ord("\n")).astype(np.int64) + 1
        if not block.endswith(b"\n"):
            ends = np.append(ends, len(block))
        lengths = np.diff(ends, prepend=0)
        longest = int(lengths.max())
        if longest > (min(self._limits.row_bytes, MAX_CELL) if self._quoted else self._limits.row_bytes):
            if self._quoted and longest <= self._limits.row_bytes:
                return self._read(block)  # a long row of short cells is fine
            self._rows += int((lengths > self._limits.row_bytes).argmax())
            raise self._too_long()
        last = text[ends - 1]
        empty = (lengths == 1) & ((last == ord("\n")) | (last == ord("\r")))
        if (pairs := np.flatnonzero((lengths == 2) & (last == ord("\n")))).size:
            empty[pairs] = text[ends[pairs] - 2] == ord("\r")
        kept: Ends = ends[~empty] + self._at
        self._at += len(block)
        self._row_at = self._at
        return kept

    def _read(self, block: bytes) -> Ends:
        self._lines.extend(block.splitlines(keepends=True))
        reader = csv.reader(self._texts())
        ends: list[int] = []
        while self._lines:
            self._row_at = self._at
            try:
                row = next(reader)
            except csv.Error:
                raise RowTooLong(
                    f"Row {self._row(ends)} has a cell with more than {MAX_CELL:,} characters; "
                    "is a closing quote missing before it?"
                ) from None
            if row:
                ends.append(self._at)
        return np.array(ends, np.int64)

    def _texts(self) -> Iterator[str]:
        """Feed the reader; a row may continue in the next block."""
        while True:
            if not self._lines:
                block = self._next_block()
                if block is None:
                    return
                self._lines.extend(block.splitlines(keepends=True))
            line = self._lines.popleft()
            self._at += len(line)
            if self._at - self._row_at > self._limits.row_bytes:
                raise self._too_long()
            yield line.decode("latin-1")  # any byte decodes, and only ASCII matters here

    def _row(self, ends: list[Any]) -> str:
        number = self._rows + len(ends)  # the first row is the header
        return f"{number:,}" if number else "0 (the header)"

    def _too_long(self) -> BadFile:
        return RowTooLong(
            f"A row near row {max(self._rows, 1):,} is longer than the limit of {self._limits.row_bytes:,} bytes; "
            "is the format correct?"
        )


def needs_reader(block: bytes) -> bool:
    """Whether finding the ends of the CSV rows takes more than looking for line feeds."""
    return b'"' in block or (b"\r" in block and block.count(b"\r") != block.count(b"\r\n"))


def is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
