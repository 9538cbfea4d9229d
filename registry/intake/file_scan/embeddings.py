"""Embeddings of users and items, as `numpy.savez` writes them, become a model that scores all items for a user.

Standard library only: arrays are read by their headers, and nothing of them is run. They are read in pieces of a MiB, because
Python's lock is held while a piece is converted.
"""

import ast
import math
import re
import sys
import tempfile
import zipfile
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

from registry.intake.file_scan.drafts import field, number_field, varint
from registry.intake.file_scan.errors import ArchiveRefused, TooMuch, quote_name
from registry.intake.file_scan.limits import DEFAULT, ScanLimits
from registry.intake.file_scan.sent_files import (
    ListLimits,
    SentFile,
    UnpackedModel,
    check_unpacked_size,
    entry_name,
    is_archive,
    open_archive,
)
from registry.intake.file_scan.wire import LENGTH

_USERS, _ITEMS, _USER_IDS, _ITEM_IDS = _ARRAYS = ("users", "items", "user_ids", "item_ids")
_PIECE = 1 << 20
_ENTRIES = ListLimits(entries=16, bytes=2 * _PIECE)
_MAGIC, _MOST_HEADER = b"\x93NUMPY", 10_000
_MAX_WIDTH, _MAX_ROWS, _MAX_ID = 65_536, 20_000_000, 200
ID_FILES = {"user_ids": "users.txt", "item_ids": "items.txt"}
MAX_ID_FILE_BYTES = (
    256 << 20
)  # enough for 20 million ids of 12 bytes; processes that serve hold them in memory
_BUCKETS = 1 << 10  # of hashes: one of 20 million ids has 20,000
_FLOATS = {"f4": "f", "f8": "d"}
_WHOLE = {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
_FLOAT, _INT64 = 1, 7  # of ONNX
_REST_BYTES = 1 << 16  # of a model, besides its numbers
_UCS4 = 4
_ODD = re.compile(r"[\x00-\x1f\x7f]|^ | $")  # in an id: nobody would see it, or send it
_MAX_INT64 = 2**63 - 1

# Numbers of fields in ONNX's messages.
_IR_VERSION, _PRODUCER, _GRAPH, _OPSETS, _METADATA = 1, 2, 7, 8, 14
_NODES, _NAME, _INITIALIZERS, _INPUTS, _OUTPUTS = 1, 2, 5, 11, 12


class EmbeddingsModel(NamedTuple):
    """The model and the ids beside it, and a sentence that says what was made."""

    unpacked: UnpackedModel
    change: str


def are_embeddings(file: SentFile) -> bool:
    """Whether the file is an archive with arrays of users and items."""
    if not is_archive(file):
        return False
    try:
        with open_archive(file, _ENTRIES) as source:
            return {f"{_USERS}.npy", f"{_ITEMS}.npy"} <= set(source.namelist())
    except ArchiveRefused:
        return False


@contextmanager
def model_of_embeddings(
    archive: SentFile,
    folder: Path,
    limits: ScanLimits = DEFAULT,
    check_space: Callable[[int], object] = int,
    *,
    is_outline: bool = False,
) -> Iterator[EmbeddingsModel]:
    """Write the model and its ids into scratch files in the folder; raise FileRefused.

    An outline declares what the model would, but has no numbers and no ids: only the arrays' headers are read.
    """
    with tempfile.TemporaryFile(dir=folder) as model, tempfile.TemporaryFile(dir=folder) as ids:
        with open_archive(archive, _ENTRIES) as source:
            entries = _checked_entries(source, archive, limits)
            check_space(sum(entry.file_size for entry in entries.values()))
            users, items = (_Matrix.of(source, entries, name) for name in (_USERS, _ITEMS))
            if users.width != items.width:
                _refuse(
                    f"`users` has {users.width:,} numbers a row, and `items` has {items.width:,}; send equal ones"
                )
            if (size := users.size + items.size) > limits.max_file_bytes - _REST_BYTES:
                raise TooMuch(f"The model would have {size:,} bytes; the limit is {limits.max_file_bytes:,}.")
            user_ids, item_ids = (
                _Ids.of(source, entries, name, matrix)
                for name, matrix in ((_USER_IDS, users), (_ITEM_IDS, items))
            )
            matrices = () if is_outline else (users, items)
            _write_model(model, matrices, items.rows, are_numbers=item_ids.are_numbers)
            beside = tuple(each.write(ids, is_empty=is_outline) for each in (user_ids, item_ids))
        model.flush()
        ids.flush()
        change = (
            f"{quote_name(archive.label)} became a model that scores {items.rows:,} items for {users.rows:,} users, with"
            f" {users.width:,} numbers each."
        )
        yield EmbeddingsModel(
            UnpackedModel(SentFile("model.onnx", model.fileno(), model.tell()), beside), change
        )


def _checked_entries(
    source: zipfile.ZipFile, archive: SentFile, limits: ScanLimits
) -> dict[str, zipfile.ZipInfo]:
    """The arrays by name."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in source.infolist():
        name = entry_name(entry).removesuffix(".npy")
        if name not in _ARRAYS:
            _refuse(f"The archive has {quote_name(name)}; its arrays are named {', '.join(_ARRAYS)}")
        if name in entries:
            _refuse(f"The archive has {quote_name(name)} twice")
        entries[name] = entry
    check_unpacked_size(entries.values(), archive, 2 * limits.max_file_bytes, "Send fewer embeddings")
    return entries


class _Header(NamedTuple):
    """What an array says about itself."""

    kind: str  # numpy's letter and bytes of an element: f4, i8, U12
    is_little: bool
    shape: tuple[int, ...]

    @classmethod
    def read(cls, file: IO[bytes], name: str) -> "_Header":
        start = file.read(len(_MAGIC) + 2)
        wide = start[-2:-1] != b"\x01"
        length = int.from_bytes(file.read(4 if wide else 2), "little")
        if start[:-2] != _MAGIC or not 0 < length <= _MOST_HEADER:
            _refuse(f"{name!r} is not an array as numpy saves it")
        try:
            said = ast.literal_eval(file.read(length).decode("utf-8" if wide else "latin-1"))
            descr, fortran, shape = said["descr"], said["fortran_order"], said["shape"]
        except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
            _refuse(f"The header of {name!r} is damaged")
        if not isinstance(descr, str) or descr[1:2] in {"O", "V", ""}:
            _refuse(f"{name!r} holds Python objects; save a plain array of numbers or texts")
        if fortran is not False:
            _refuse(f"{name!r} is stored by columns; save numpy.ascontiguousarray of it")
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            _refuse(f"The header of {name!r} is damaged")
        return cls(descr[1:], descr[0] in "<|" or (descr[0] == "=" and sys.byteorder == "little"), shape)


class _Matrix(NamedTuple):
    """A row of numbers for each user or item."""

    source: zipfile.ZipFile
    entry: zipfile.ZipInfo
    name: str
    code: str  # of Python's array
    rows: int
    width: int

    @classmethod
    def of(cls, source: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], name: str) -> "_Matrix":
        with source.open(entries[name]) as file:
            header = _Header.read(file, name)
        if header.kind not in _FLOATS or len(header.shape) != 2:
            _refuse(f"{name!r} must be a table of float32 or float64; save it with .astype('float32')")
        rows, width = header.shape
        if not rows or not width:
            _refuse(f"{name!r} has no {'numbers' if rows else 'rows'}; it needs a row of numbers for each id")
        if rows > _MAX_ROWS or width > _MAX_WIDTH:
            _refuse(
                f"{name!r} has {rows:,} rows of {width:,} numbers; at most {_MAX_ROWS:,} of {_MAX_WIDTH:,} are possible"
            )
        return cls(source, entries[name], name, _FLOATS[header.kind], rows, width)

    @property
    def size(self) -> int:
        """Of its numbers in the model."""
        return 4 * self.rows * self.width

    def pieces(self) -> Iterator[bytes]:
        """The numbers as little-endian float32."""
        with self.source.open(self.entry) as file:
            header = _Header.read(file, self.name)
            for start, rows in _pieces(self.rows, self.width * array(self.code).itemsize):
                count = rows * self.width
                numbers = _read_numbers(file, self.name, self.code, count, is_little=header.is_little)
                piece = _little(numbers)
                if _may_be_infinite(piece):
                    for at, number in enumerate(numbers):
                        if not math.isfinite(number):
                            _refuse(
                                f"Row {start + at // self.width:,} of {self.name!r} has NaN, or a number too large for float32"
                            )
                yield piece
            _check_end(file, self.name)


class _Ids(NamedTuple):
    """The ids of a matrix's rows; their numbers if the archive has none."""

    source: zipfile.ZipFile
    entry: zipfile.ZipInfo | None
    name: str
    header: _Header
    rows: int

    @classmethod
    def of(
        cls, source: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], name: str, matrix: _Matrix
    ) -> "_Ids":
        if name not in entries:
            return cls(source, None, name, _Header("i8", True, (matrix.rows,)), matrix.rows)
        with source.open(entries[name]) as file:
            header = _Header.read(file, name)
        if header.shape != (matrix.rows,):
            _refuse(
                f"{name!r} has the shape {header.shape}; it needs one id for each of the {matrix.rows:,} rows"
            )
        letter, size = header.kind[0], header.kind[1:]
        is_text = letter in "US" and size.isdigit() and 0 < int(size) <= _MAX_ID
        if not is_text and header.kind not in _WHOLE:
            _refuse(f"{name!r} must hold whole numbers, or texts of at most {_MAX_ID} characters")
        return cls(source, entries[name], name, header, matrix.rows)

    @property
    def are_numbers(self) -> bool:
        return self.header.kind in _WHOLE

    def write(self, target: IO[bytes], *, is_empty: bool = False) -> SentFile:
        """Append the ids, one in each line."""
        start = target.tell()
        if not is_empty:
            hashes = _Hashes()
            for first, ids in self._texts():
                self._check(ids, first)
                hashes.add(ids)
                target.write("".join(f"{one}\n" for one in ids).encode())
                if target.tell() - start > MAX_ID_FILE_BYTES:
                    _refuse(
                        f"{self.name!r} has more than {MAX_ID_FILE_BYTES >> 20} MiB of ids; use shorter ones, such as whole"
                        " numbers"
                    )
            self._check_unique(hashes)
        return SentFile(ID_FILES[self.name], target.fileno(), target.tell() - start, start)

    def _check(self, ids: Sequence[str], first: int) -> None:
        """Refuse what the lines of a file cannot be."""
        if self.are_numbers:
            return
        for row, one in enumerate(ids, first):
            if not one:
                _refuse(f"Row {row:,} of {self.name!r} is empty; each row needs an id")
            if (size := len(one.encode())) > _MAX_ID:
                _refuse(
                    f"Row {row:,} of {self.name!r} has {size:,} bytes in UTF-8; an id has at most {_MAX_ID}"
                )
            if _ODD.search(one):
                _refuse(
                    f"Row {row:,} of {self.name!r} has a control character, such as a line break, or begins or ends with a space"
                )

    def _check_unique(self, hashes: "_Hashes") -> None:
        """Different ids may have one hash, so those with a hash that is there twice are compared."""
        if self.entry is None:
            return
        for repeated in hashes.repeated():
            rows: dict[str, int] = {}
            for first, ids in self._texts():
                for row, one in enumerate(ids, first):
                    if hash(one) in repeated and rows.setdefault(one, row) != row:
                        _refuse(
                            f"{self.name!r} has the id {quote_name(one)} twice, in rows {rows[one]:,} and {row:,}; each row needs"
                            " its own"
                        )

    def _texts(self) -> Iterator[tuple[int, Sequence[str]]]:
        """The ids in pieces, each with the number of its first row."""
        if self.entry is None:
            for start, rows in _pieces(self.rows, 8):
                yield start, list(map(str, range(start, start + rows)))
            return
        with self.source.open(self.entry) as file:
            _Header.read(file, self.name)
            for start, rows in _pieces(self.rows, self._width):
                yield start, self._read(file, start, rows)
            _check_end(file, self.name)

    @property
    def _width(self) -> int:
        """Bytes of an id in the array."""
        letter, size = self.header.kind[0], int(self.header.kind[1:])
        return size * (_UCS4 if letter == "U" else 1)

    def _read(self, file: IO[bytes], start: int, count: int) -> Sequence[str]:
        if self.are_numbers:
            code = _WHOLE[self.header.kind]
            numbers = _read_numbers(file, self.name, code, count, is_little=self.header.is_little)
            if code == "Q" and self.name == _ITEM_IDS and max(numbers) > _MAX_INT64:
                _refuse(
                    f"{self.name!r} has numbers above {_MAX_INT64:,}; save them as texts, with .astype(str)"
                )
            return list(map(str, numbers))
        content = _read_bytes(file, self.name, self._width * count)
        order = "le" if self.header.is_little else "be"
        encoding = f"utf-32-{order}" if self.header.kind[0] == "U" else "utf-8"
        ids: list[str] = []
        try:
            for at in range(0, len(content), self._width):
                ids.append(content[at : at + self._width].decode(encoding).rstrip("\0"))
        except UnicodeDecodeError:
            _refuse(f"Row {start + len(ids):,} of {self.name!r} is an id that is not Unicode")
        return ids


class _Hashes:
    """Hashes of ids: the ids themselves would take several times the memory."""

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(_BUCKETS)]

    def add(self, ids: Sequence[str]) -> None:
        for one in map(hash, ids):
            self._buckets[one % _BUCKETS].append(one)

    def repeated(self) -> Iterator[set[int]]:
        """Those that are there twice, a bucket at a time."""
        for bucket in self._buckets:
            if len(set(bucket)) < len(bucket):
                seen: set[int] = set()
                yield {one for one in bucket if one in seen or seen.add(one)}  # type: ignore[func-returns-value]


def _pieces(rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """The first row of each piece, and how many rows it has."""
    at_once = max(1, _PIECE // row_bytes)
    for start in range(0, rows, at_once):
        yield start, min(at_once, rows - start)


def _may_be_infinite(floats: bytes) -> bool:
    """Whether float32 numbers, little-endian, may have NaN or infinity among them: those and very large ones end so."""
    ends = floats[3::4]
    return b"\x7f" in ends or b"\xff" in ends


def _read_numbers(file: IO[bytes], name: str, code: str, count: int, *, is_little: bool) -> "array[Any]":
    numbers = array(code)
    numbers.frombytes(_read_bytes(file, name, count * numbers.itemsize))
    if is_little is not (sys.byteorder == "little"):
        numbers.byteswap()
    return array("f", numbers) if code == "d" else numbers


def _read_bytes(file: IO[bytes], name: str, size: int) -> bytes:
    pieces, left = [], size
    while left and (piece := file.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    if left:
        _refuse(f"{name!r} ends too early")
    return b"".join(pieces)


def _check_end(file: IO[bytes], name: str) -> None:
    if file.read(1):
        _refuse(f"{name!r} is longer than its header says")


def _little(numbers: "array[Any]") -> bytes:
    if sys.byteorder != "little":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _write_model(target: IO[bytes], matrices: Sequence[_Matrix], items: int, *, are_numbers: bool) -> None:
    """user -> Gather(users) -> MatMul with the items, transposed when the file is loaded -> scores"""
    nodes = [
        _node("Gather", [_USERS, "user"], "vector"),
        _node("Transpose", [_ITEMS], "columns"),
        _node("MatMul", ["vector", "columns"], "scores"),
    ]
    ends = field(_INPUTS, _value("user", _INT64, None)) + field(
        _OUTPUTS, _value("scores", _FLOAT, None, items)
    )
    graph = b"".join(field(_NODES, node) for node in nodes) + field(_NAME, b"recommendation") + ends
    heads = [_tensor_head(matrix) for matrix in matrices]
    size = len(graph) + sum(_sized(_INITIALIZERS, len(head) + matrix.size) + len(head) + matrix.size
                            for head, matrix in zip(heads, matrices, strict=True))  # fmt: skip
    target.write(number_field(_IR_VERSION, 8) + field(_PRODUCER, b"roundhouse"))
    target.write(field(_OPSETS, field(1, b"") + number_field(2, 17)))
    target.write(field(_METADATA, field(1, b"item_ids") + field(2, b"numbers" if are_numbers else b"texts")))
    target.write(_length_head(_GRAPH, size) + graph)
    for head, matrix in zip(heads, matrices, strict=True):
        target.write(_length_head(_INITIALIZERS, len(head) + matrix.size) + head)
        for piece in matrix.pieces():
            target.write(piece)


def _sized(number: int, size: int) -> int:
    """Bytes of a field's tag and length."""
    return len(_length_head(number, size))


def _length_head(number: int, size: int) -> bytes:
    return varint(number << 3 | LENGTH) + varint(size)


def _node(operator: str, inputs: Sequence[str], output: str) -> bytes:
    named = b"".join(field(1, name.encode()) for name in inputs)
    return named + field(2, output.encode()) + field(4, operator.encode())


def _value(name: str, kind: int, *sizes: int | None) -> bytes:
    dims = b"".join(
        field(1, number_field(1, size) if size is not None else field(2, b"rows")) for size in sizes
    )
    return field(1, name.encode()) + field(2, field(1, number_field(1, kind) + field(2, dims)))


def _tensor_head(matrix: _Matrix) -> bytes:
    """A tensor up to its numbers."""
    dims = number_field(1, matrix.rows) + number_field(1, matrix.width)
    return dims + number_field(2, _FLOAT) + field(8, matrix.name.encode()) + _length_head(9, matrix.size)


def _refuse(sentence: str) -> NoReturn:
    raise ArchiveRefused(f"{sentence}.")
