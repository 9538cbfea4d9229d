"""Takes a model and its weights out of a zip archive that nobody trusts.

Names in it are labels: they are compared, and nothing is written under them. What comes out goes into two scratch
files that have no name. What an entry claims of its size is checked while it is copied.
"""

import io
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from registry.intake.gate.errors import ArchiveRefused, NotOnnx
from registry.intake.gate.limits import DEFAULT, GateLimits
from registry.intake.gate.looks import HEAD_BYTES, TORCH, other_format
from registry.intake.gate.sent_files import SentFile
from registry.intake.gate.wording import shown

_MAGIC = b"PK\x03\x04"
_PIECE = 1 << 20
_MOST_READ = 4 << 20  # at once, the list of entries included
_MOST_ENTRIES = 2_000
# Weights hardly shrink: above this size an archive may not unpack to more than so many times its own.
_RATIO, _RATIO_FROM = 200, 64 << 20
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the others unpack without a bound
_ENCRYPTED = 0x1 | 0x40
_KNOWN_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, zlib.error, ValueError, RuntimeError,
    OverflowError, LookupError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unpacked:
    model: SentFile
    data: tuple[SentFile, ...]


def is_archive(file: SentFile) -> bool:
    """Whether it begins like a zip archive."""
    return os.pread(file.descriptor, len(_MAGIC), file.start) == _MAGIC


@contextmanager
def unpacked(
    archive: SentFile, folder: Path, limits: GateLimits = DEFAULT, check_space: Callable[[int], object] = int
) -> Iterator[Unpacked]:
    """Unpack one model and what came with it into scratch files in the folder; raise GateRefused.

    Before anything is written, `check_space` is told how much will be, and may raise.
    """
    if other_format(os.pread(archive.descriptor, HEAD_BYTES, archive.start)) == TORCH:
        raise NotOnnx(f"The file {TORCH}.")
    with tempfile.TemporaryFile(dir=folder) as model, tempfile.TemporaryFile(dir=folder) as data:
        try:
            with zipfile.ZipFile(_Source(archive)) as source:
                chosen = _chosen(source, archive, limits)
                check_space(sum(entry.file_size for entry in chosen.values()))
                files = {name: _copy(source, entry, model if _is_model(name) else data)
                         for name, entry in chosen.items()}  # fmt: skip
        except _KNOWN_ERRORS:
            raise ArchiveRefused(
                "The archive is damaged, or was made to confuse its readers; make the archive again and send that."
            ) from None
        name = next(filter(_is_model, files))
        yield Unpacked(files.pop(name), tuple(files.values()))


class _Source(io.RawIOBase):
    """An archive to read from, never much of it at once."""

    def __init__(self, archive: SentFile) -> None:
        self._archive, self._at = archive, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._archive.size}[whence]
        if at < 0:
            raise ValueError("before the beginning")
        self._at = at
        return at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._archive.size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > _MOST_READ:
            raise ValueError("too much at once")
        content = b"".join(self._archive.read(self._at, wanted))
        self._at += wanted
        return content


def _chosen(source: zipfile.ZipFile, archive: SentFile, limits: GateLimits) -> dict[str, zipfile.ZipInfo]:
    """Give the entries that count, by their names without folders."""
    entries = source.infolist()
    if len(entries) > _MOST_ENTRIES:
        _refuse(
            f"The archive holds more than {_MOST_ENTRIES:,} entries; put only the model and its weights in"
        )
    if any(_base(entry.filename) == "data.pkl" for entry in entries):
        raise NotOnnx(f"The file {TORCH}.")
    chosen: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        if entry.is_dir() or entry.filename.startswith("__MACOSX/"):
            continue
        name = _checked(entry)
        if name in chosen:
            _refuse(f"The archive holds two files called {shown(name)}; send each once")
        chosen[name] = entry
    models = sum(map(_is_model, chosen))
    if models != 1:
        _refuse(
            f"The archive holds {models or 'no'} files whose name ends with .onnx; put one model and its weights in"
        )
    if len(chosen) > limits.max_data_files:
        _refuse(f"The archive holds more than {limits.max_data_files} files; export the model as one file")
    claimed = sum(entry.file_size for entry in chosen.values())
    if claimed > limits.max_file_bytes:
        _refuse(
            f"The archive unpacks to {claimed:,} bytes, of which an ONNX file may have {limits.max_file_bytes:,}; send a smaller"
            " model"
        )
    if claimed > max(_RATIO_FROM, _RATIO * archive.size):
        _refuse(
            f"The archive unpacks to {claimed:,} bytes, more than {_RATIO} times its own size; send the files themselves"
        )
    return chosen


def _checked(entry: zipfile.ZipInfo) -> str:
    """Give the entry's name without folders; raise ArchiveRefused for what is no plain file."""
    name = entry.orig_filename.replace("\\", "/")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or name[1:2] == ":" or not name.isprintable() or not parts[-1]:
        _refuse(f"The archive holds {shown(entry.orig_filename)}, which is not a plain file name; rename it")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        _refuse(f"The archive holds {shown(name)}, which is a link or a device; put the file itself in")
    if entry.flag_bits & _ENCRYPTED:
        _refuse("The archive is encrypted; send it without a password")
    if entry.compress_type not in _METHODS:
        _refuse("The archive is compressed in an unusual way; make it with the ordinary one (deflate)")
    return parts[-1]


def _copy(source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: IO[bytes]) -> SentFile:
    """Append an entry to a scratch file, and no byte more than it claims."""
    start = target.seek(0, os.SEEK_END)
    with source.open(entry) as content:
        while piece := content.read(_PIECE):
            target.write(piece)
            if target.tell() - start > entry.file_size:
                break
    size = target.tell() - start
    if size != entry.file_size:
        name = shown(_base(entry.filename))
        _refuse(f"{name} in the archive has another size than the archive says; make the archive again")
    target.flush()
    return SentFile(_base(entry.filename), target.fileno(), size, start)


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _is_model(name: str) -> bool:
    return name.lower().endswith(".onnx")


def _refuse(sentence: str) -> NoReturn:
    raise ArchiveRefused(f"{sentence}.")
