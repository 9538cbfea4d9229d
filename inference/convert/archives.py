"""Unpacking a SavedModel, which is a folder and so arrives as a zip or tar: only the files that one has, in their places."""

import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

from inference.convert.errors import ConversionRefused
from registry.intake.file_scan.errors import FileRefused, quote_name
from registry.intake.file_scan.sent_files import (
    ListLimits,
    SentFile,
    check_unpacked_size,
    entry_name,
    is_archive,
    open_archive,
    open_file,
)
from registry.kit.zip_names import is_left_out

MODEL = "saved_model.pb"
_WANTED = re.compile(
    r"saved_model\.pb|fingerprint\.pb|variables/variables\.index|variables/variables\.data-\d{5}-of-\d{5}"
    r"|assets/\w[\w .+@-]{0,199}"
)
# What exporters add for Keras, for TensorFlow Hub and for people. Nothing here reads it.
_NOT_NEEDED = re.compile(r"keras_metadata\.pb|tfhub_module\.pb|assets\.extra/.+")

_PIECE = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 512  # of a tar
_SIZE, _TYPE = slice(124, 136), 156
_FILE_TYPES, _FOLDER_TYPE, _NOTE_TYPES = {b"0", b"\0"}, b"5", {b"x", b"g"}
_MAX_NOTES = 1 << 20  # bytes before one file that tell its times and owners
_NOTES_THAT_MATTER = re.compile(rb"\d+ (?:path|linkpath|size|GNU\.sparse[^=]*|hdrcharset)=")
_DAMAGED = (
    zlib.error,
    EOFError,
    gzip.BadGzipFile,
    tarfile.TarError,
    ValueError,
    zipfile.BadZipFile,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class UnpackingLimits:
    """Weights hardly compress: above `ratio_from` bytes, no more than `ratio` times what was read of the archive."""

    files: int = 1_000
    bytes: int = 8 << 30
    ratio: int = 200
    ratio_from: int = 64 << 20


DEFAULT_LIMITS = UnpackingLimits()


def unpack_saved_model(path: Path, folder: Path, limits: UnpackingLimits = DEFAULT_LIMITS) -> None:
    """Unpack the SavedModel in an archive into an empty folder that nobody else writes to.

    Names and sizes are checked before each piece is written. Raises ConversionRefused, and then leaves what it wrote.
    """
    try:
        with open_file(path, path.name) as sent:
            target = _Target(folder, limits)
            if is_archive(sent):
                _unpack_zip(sent, target)
            else:
                with _uncompressed(sent) as (content, compressed):
                    _unpack_tar(content, target, compressed)
            if MODEL not in target.names:
                _refuse(f"The archive has no {MODEL}; send the folder of a SavedModel as a zip or tar")
    except FileRefused as error:
        raise ConversionRefused("refused", str(error)) from None
    except _DAMAGED:
        raise ConversionRefused(
            "refused",
            "The archive is damaged, or is neither a zip nor a tar (plain or gzip); create it again.",
        ) from None


@dataclass(slots=True)
class _Target:
    """The folder, with what was written to it so far."""

    folder: Path
    limits: UnpackingLimits
    names: set[str] = field(default_factory=set)
    written: int = 0
    _leading: str | None = None

    def place(self, name: str) -> str | None:
        """Where a file goes, by its checked name; None if nobody needs it."""
        name = name.removeprefix("./")
        leading, inner = "", name
        if not _is_known(name):
            leading, _, inner = name.partition("/")
        if not _is_known(inner):
            if is_left_out(name):
                return None
            _refuse(
                f"The archive contains {quote_name(name)}, which is no part of a SavedModel; leave it out"
            )
        if self._leading not in {None, leading}:
            _refuse("The archive has files of several folders; send one SavedModel")
        self._leading = leading
        if inner in self.names:
            _refuse(f"The archive has two files named {quote_name(inner)}; include each once")
        if len(self.names) >= self.limits.files:
            _refuse(f"The archive has more than {self.limits.files:,} files; send one SavedModel")
        self.names.add(inner)
        return inner if _WANTED.fullmatch(inner) else None

    def write(self, name: str, content: Iterator[bytes], compressed: "_Counted | None" = None) -> None:
        """Copy a file's content; `compressed` counts what was read of the archive for it."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as file:
            for piece in content:
                self.written += len(piece)
                if self.written > self.limits.bytes:
                    _refuse(
                        f"The archive unpacks to more than {self.limits.bytes:,} bytes; send a smaller model"
                    )
                if compressed and self.written > max(
                    self.limits.ratio_from, self.limits.ratio * compressed.count
                ):
                    _refuse(
                        f"The archive unpacks to more than {self.limits.ratio} times its own size; send a plain tar"
                    )
                file.write(piece)


def _is_known(name: str) -> bool:
    return bool(_WANTED.fullmatch(name) or _NOT_NEEDED.fullmatch(name))


def _unpack_zip(sent: SentFile, target: _Target) -> None:
    limits = target.limits
    with open_archive(sent, ListLimits(entries=2 * limits.files, bytes=4 << 20)) as archive:
        wanted: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            if is_left_out(entry.filename):
                continue
            if place := target.place(entry_name(entry)):
                wanted[place] = entry
        check_unpacked_size(wanted.values(), sent, limits.bytes, "Send a smaller model")
        for place, entry in wanted.items():
            target.write(place, _entry_pieces(archive, entry))


def _entry_pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """An entry's bytes; never more than the archive lists, which was checked."""
    size = 0
    with archive.open(entry) as content:
        while piece := content.read(_PIECE):
            size += len(piece)
            if size > entry.file_size:
                break
            yield piece
    if size != entry.file_size:
        _refuse(
            f"{quote_name(entry.filename)} does not have the size that the archive lists; create the archive again"
        )


class _Counted(io.RawIOBase):
    """A file as it was sent, with a count of the bytes that were read."""

    def __init__(self, sent: SentFile) -> None:
        self._sent, self.count = sent, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        left = self._sent.size - self.count
        wanted = min(left, _PIECE if size is None or size < 0 else size)
        content = b"".join(self._sent.read(self.count, wanted))
        self.count += len(content)
        return content


@contextmanager
def _uncompressed(sent: SentFile) -> Iterator[tuple[IO[bytes], _Counted]]:
    source = _Counted(sent)
    head = b"".join(sent.read(0, min(len(_GZIP_MAGIC), sent.size)))
    if head == _GZIP_MAGIC:
        # No BufferedReader before it: what it reads ahead would be counted as if it had been unpacked.
        with gzip.GzipFile(fileobj=source, mode="rb") as content:
            yield content, source  # type: ignore[misc]
    else:
        yield source, source  # type: ignore[misc]


def _unpack_tar(content: IO[bytes], target: _Target, compressed: _Counted) -> None:
    """Read a tar in one pass. `tarfile` would hold notes and long names in memory, however long they are."""
    entries = passed_over = 0
    while True:
        header = _exactly(content, _BLOCK)
        if not header.strip(b"\0"):
            return  # its end; what follows is never read
        entries += 1
        if entries > 4 * target.limits.files:
            _refuse(f"The archive has more than {4 * target.limits.files:,} entries; send one SavedModel")
        name, size = _tar_name_and_size(header)
        kind = header[_TYPE : _TYPE + 1]
        if kind in _NOTE_TYPES:
            if size > _MAX_NOTES or _NOTES_THAT_MATTER.search(_exactly(content, size)):
                _refuse(
                    "The archive has names or sizes in an unusual place; create it again with plain names"
                )
            place = None
        elif kind == _FOLDER_TYPE and not size:
            continue
        elif kind in _FILE_TYPES:
            place = target.place(_checked_tar_name(name))
            if place:
                target.write(place, _tar_pieces(content, size), compressed)
            else:
                passed_over += size
                if passed_over > target.limits.ratio_from:
                    _refuse("The archive is mostly files that are no part of a SavedModel; leave them out")
                for _ in _tar_pieces(content, size):
                    pass
        else:
            _refuse(
                f"The archive contains {quote_name(name)}, which is a link or a device; include the file itself"
            )
        _exactly(content, -size % _BLOCK)


def _tar_name_and_size(header: bytes) -> tuple[str, int]:
    """Read a header; raises tarfile.HeaderError unless its checksum is right."""
    entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    # `frombuf` takes numbers in base 256 too, which may be negative.
    if entry.size < 0 or header[_SIZE][0] & 0x80:
        _refuse("The archive states a size in an unusual way; create it again")
    return entry.name, entry.size


def _checked_tar_name(name: str) -> str:
    plain = name.removeprefix("./")
    if plain.startswith("/") or "\\" in name or ".." in plain.split("/") or not name.isprintable():
        _refuse(f"The archive contains {quote_name(name)}, which is not a plain file name; rename it")
    return name


def _tar_pieces(content: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = content.read(min(size, _PIECE))
        if not piece:
            raise EOFError
        size -= len(piece)
        yield piece


def _exactly(content: IO[bytes], size: int) -> bytes:
    return b"".join(_tar_pieces(content, size))


def _refuse(sentence: str) -> NoReturn:
    raise ConversionRefused("refused", f"{sentence}.")
