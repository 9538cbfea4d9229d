"""Where rows end in a file of text, found in one pass, a block at a time."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from inference.rows.errors import BadFile, RowTooLong
from inference.rows.limits import Limits

BOM = b"\xef\xbb\xbf"
MAX_CELL = 131_072  # characters; what Python's csv reader takes
_BLOCK = 2**20

Ends = NDArray[np.int64]


class RowEnds:
    """Iterate over arrays of the offsets at which the rows of a file end; empty lines are no rows.

    A row of JSONL is a line. A row of CSV is what Python's `csv.reader` makes of a file that was opened with
    `newline=""`: blocks without a quote or a bare carriage return are cut at their line ends, all others by that
    reader itself, so the two cannot disagree.
    """

    def __init__(self, file: IO[bytes], limits: Limits, *, quoted: bool) -> None:
        self._file = file
        self._limits = limits
        self._quoted = quoted
        self._file_at = 0
        self._rest = b""  # of a line whose end has not been read
        self._lines: deque[bytes] = deque()
        self._at = 0  # offset behind the last line that was taken
        self._row_at = 0  # offset of the row that is being read
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
        self._file.seek(self._file_at)  # others may read the file between two rows
        piece = self._file.read(size)
        self._file_at += len(piece)
        return piece

    def _next_block(self) -> bytes | None:
        """Whole lines; the file's last one may lack its end."""
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
                return self._read(block)  # a long row may well be of short cells
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
                    f"Row {self._row(ends)} has a cell of more than {MAX_CELL:,} characters; "
                    "is a closing quote missing before it?"
                ) from None
            if row:
                ends.append(self._at)
        return np.array(ends, np.int64)

    def _texts(self) -> Iterator[str]:
        """Feed the reader; a row that does not end in its block goes on in the next."""
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
            yield line.decode("latin-1")  # every byte is a character, and all that matter here are ASCII

    def _row(self, ends: list[Any]) -> str:
        number = self._rows + len(ends)  # the first row is the header
        return f"{number:,}" if number else "0 (the header)"

    def _too_long(self) -> BadFile:
        return RowTooLong(
            f"A row near row {max(self._rows, 1):,} has more than {self._limits.row_bytes:,} bytes, "
            "which is the most; is it the format that was named?"
        )


def needs_reader(block: bytes) -> bool:
    """Whether rows of CSV may end elsewhere than at every line feed."""
    return b'"' in block or (b"\r" in block and block.count(b"\r") != block.count(b"\r\n"))


def is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
