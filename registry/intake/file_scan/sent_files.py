"""Files as they were sent: open descriptors, and zip archives of a model with everything beside it."""

import errno
import io
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from registry.intake.file_scan.errors import ArchiveRefused, NotOnnx, Truncated, quote_name
from registry.intake.file_scan.limits import DEFAULT, ScanLimits
from registry.intake.file_scan.scan import HEAD_BYTES, TORCH, other_format
from registry.kit.zip_names import is_left_out

_PIECE = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # a pipe would block
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER_BYTES = 30
_BUNDLE = b'manifest.json{"files":['  # registry/intake/bundles/bundle_file.py
_ENTRY = b"PK\x01\x02"
# Weights hardly compress: above _RATIO_FROM bytes, an archive may not unpack to more than _RATIO times its size.
_RATIO, _RATIO_FROM = 200, 64 << 20
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # others unpack without limits
_ENCRYPTED = 0x1 | 0x40
_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, zlib.error, ValueError, RuntimeError,
    OverflowError, LookupError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file, or a span of one, as it was sent. Its name is shown and compared, never opened."""

    name: str
    descriptor: int
    size: int
    start: int = 0  # of the span

    @property
    def label(self) -> str:
        """The name without folders, by which a model may refer to the file."""
        return _base_name(self.name)

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """Yield a span of its bytes in pieces; raise Truncated if the file is shorter."""
        at, end = self.start + start, self.start + start + size
        while at < end:
            piece = os.pread(self.descriptor, min(_PIECE, end - at), at)
            if not piece:
                raise Truncated(
                    f"{quote_name(self.label)} became shorter while it was being read; send it again."
                )
            yield piece
            at += len(piece)


@contextmanager
def open_file(path: Path, name: str) -> Iterator[SentFile]:
    """Open a regular file; raise NotOnnx for a link, a folder, a device or a pipe."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
            raise _not_a_file(name) from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(name)
        yield SentFile(name, descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _not_a_file(name: str) -> NotOnnx:
    return NotOnnx(f"{quote_name(name)} is a link, a folder, a device or a pipe; send the file itself.")


@dataclass(frozen=True, slots=True)
class UnpackedModel:
    model: SentFile
    others: tuple[SentFile, ...]


def is_archive(file: SentFile) -> bool:
    """Whether the file starts like a zip archive."""
    return os.pread(file.descriptor, len(_ZIP_MAGIC), file.start) == _ZIP_MAGIC


def is_bundle(file: SentFile) -> bool:
    """Whether the file is an archive that starts like a bundle of another installation."""
    start = os.pread(file.descriptor, _LOCAL_HEADER_BYTES + len(_BUNDLE), file.start)
    return start.startswith(_ZIP_MAGIC) and start[_LOCAL_HEADER_BYTES:] == _BUNDLE


@contextmanager
def unpack(
    archive: SentFile, folder: Path, limits: ScanLimits = DEFAULT, check_space: Callable[[int], object] = int
) -> Iterator[UnpackedModel]:
    """Unpack one model and the files beside it into scratch files in the folder; raise FileRefused.

    Names in the archive are labels: nothing is written under them, and the scratch files have no names. Sizes are
    checked during the copy. `check_space` gets the total size before anything is written, and may raise.
    """
    if other_format(os.pread(archive.descriptor, HEAD_BYTES, archive.start)) == TORCH:
        raise NotOnnx(f"The file {TORCH}.")
    with tempfile.TemporaryFile(dir=folder) as model, tempfile.TemporaryFile(dir=folder) as data:
        with open_archive(archive) as source:
            entries = _checked_entries(source, archive, limits)
            check_space(sum(entry.file_size for entry in entries.values()))
            files = {name: _copy(source, entry, model if _is_model(name) else data)
                     for name, entry in entries.items()}  # fmt: skip
        name = next(filter(_is_model, files))
        yield UnpackedModel(files.pop(name), tuple(files.values()))


@dataclass(frozen=True, slots=True)
class ListLimits:
    """How long an archive's list of entries may be; all of it is held in memory."""

    entries: int
    bytes: int

    def check(self, entries: int) -> None:
        if entries > self.entries:
            _refuse(f"The archive has more than {self.entries:,} entries; send fewer files")


_OF_MODELS = ListLimits(entries=2_000, bytes=4 << 20)


@contextmanager
def open_archive(archive: SentFile, limits: ListLimits = _OF_MODELS) -> Iterator[zipfile.ZipFile]:
    """Read a zip in small pieces; raise ArchiveRefused where it is damaged, or its list of entries too long."""
    try:
        with zipfile.ZipFile(_ArchiveReader(archive, limits)) as source:
            limits.check(len(source.infolist()))
            yield source
    except _ZIP_ERRORS:
        raise ArchiveRefused(
            "The archive is damaged, or was crafted to confuse parsers; create it again and send that."
        ) from None


class _ArchiveReader(io.RawIOBase):
    """Reads an archive in small pieces. Only its list of entries is read in one call, however long it is."""

    def __init__(self, archive: SentFile, limits: ListLimits) -> None:
        self._archive, self._limits, self._at = archive, limits, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._archive.size}[whence]
        if at < 0:
            raise ValueError("negative position")
        self._at = at
        return at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._archive.size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        if count > self._limits.bytes:
            _refuse(
                f"The archive is damaged, or its list of entries has more than {self._limits.bytes:,} bytes; "
                "send fewer files, or shorten their names"
            )
        content = b"".join(self._archive.read(self._at, count))
        if count > _PIECE:
            self._limits.check(content.count(_ENTRY))
        self._at += count
        return content


def _checked_entries(
    source: zipfile.ZipFile, archive: SentFile, limits: ScanLimits
) -> dict[str, zipfile.ZipInfo]:
    """The files in the archive, by their names without folders."""
    entries = source.infolist()
    if any(_base_name(entry.filename) == "data.pkl" for entry in entries):
        raise NotOnnx(f"The file {TORCH}.")
    checked: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        if is_left_out(entry.filename):
            continue
        name = _base_name(entry_name(entry))
        if name in checked:
            _refuse(f"The archive has two files named {quote_name(name)}; include each once")
        checked[name] = entry
    models = sum(map(_is_model, checked))
    if models != 1:
        _refuse(
            f"The archive has {models or 'no'} files whose names end in .onnx; include one model and the files that it needs."
            " An .npz of embeddings has the arrays `users` and `items`"
        )
    if len(checked) > limits.max_data_files:
        _refuse(f"The archive has more than {limits.max_data_files} files; export the model as one file")
    check_unpacked_size(checked.values(), archive, limits.max_file_bytes, "Send a smaller model")
    return checked


def check_unpacked_size(
    entries: Iterable[zipfile.ZipInfo], archive: SentFile, most: int, advice: str
) -> None:
    """Raise ArchiveRefused for sizes that the archive lists and that are more than a limit, or than it can honestly hold."""
    claimed = sum(entry.file_size for entry in entries)
    if claimed > most:
        _refuse(f"The archive unpacks to {claimed:,} bytes; the limit is {most:,}. {advice}")
    if claimed > max(_RATIO_FROM, _RATIO * archive.size):
        _refuse(
            f"The archive unpacks to {claimed:,} bytes, more than {_RATIO} times its own size; send the files themselves"
        )


def entry_name(entry: zipfile.ZipInfo) -> str:
    """The entry's name with its folders; raise ArchiveRefused unless it is a regular file."""
    name = entry.orig_filename.replace("\\", "/")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or name[1:2] == ":" or not name.isprintable() or not parts[-1]:
        _refuse(
            f"The archive contains {quote_name(entry.orig_filename)}, which is not a plain file name; rename it"
        )
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        _refuse(
            f"The archive contains {quote_name(name)}, which is a link or a device; include the file itself"
        )
    if entry.flag_bits & _ENCRYPTED:
        _refuse("The archive is encrypted; send it without a password")
    if entry.compress_type not in _METHODS:
        _refuse("The archive uses an unusual compression method; use the standard one (deflate)")
    return name


def _copy(source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: IO[bytes]) -> SentFile:
    """Append an entry to a scratch file; refuse it if its size is not the one that the archive lists."""
    start = target.seek(0, os.SEEK_END)
    with source.open(entry) as content:
        while piece := content.read(_PIECE):
            target.write(piece)
            if target.tell() - start > entry.file_size:
                break
    size = target.tell() - start
    if size != entry.file_size:
        name = quote_name(_base_name(entry.filename))
        _refuse(
            f"{name} in the archive does not have the size that the archive lists; create the archive again"
        )
    target.flush()
    return SentFile(_base_name(entry.filename), target.fileno(), size, start)


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _is_model(name: str) -> bool:
    return name.lower().endswith(".onnx")


def _refuse(sentence: str) -> NoReturn:
    raise ArchiveRefused(f"{sentence}.")
