"""The files of jobs on this server: received inputs in `<data>/jobs/inputs`, everything else in `<data>/jobs/<id>`.

We choose every file name; nothing from a sender becomes part of a path.
"""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

from django.conf import settings

from inference.jobs import storage
from inference.jobs.models import Chunk, Format, InputSource, Job
from inference.jobs.storage_backends import scratch_folder
from inference.rows import Contract, FileFormat, FileKind, ResultWriter, RowError, plain_file, write_errors
from inference.rows.errors import BadFile
from inference.rows.files import flush_folder, write_atomically
from inference.tensors.signature import Signature
from registry.errors import RoundhouseError
from registry.intake import parts
from registry.intake.errors import InsufficientStorage

INLINE_BYTES = 64 * 2**10
_TEXT_FORMATS = frozenset({Format.JSONL, Format.CSV})
_STRAY_AFTER_S = 3600
_STRAY_BATCH = 500


class SavedInput(NamedTuple):
    ref: str
    size_bytes: int
    sha256: str


@contextmanager
def open_input(job: Job) -> Iterator[IO[bytes]]:
    """Open a job's input, uncompressed and seekable; a compressed file is unpacked once."""
    kind = FileKind(FileFormat(job.input_format), job.is_gzipped)
    unpacked = _folder(job) / "unpacked"
    path = unpacked if unpacked.exists() else plain_file(_source_path(job), kind, unpacked)
    with path.open("rb") as file:
        yield file


class ChunkResultsWriter:
    """Collects the results of a chunk: short text goes into its row, everything else into a file.

    The file name contains the attempt, so that an attempt whose lease was lost never overwrites newer results.
    """

    def __init__(self, chunk: Chunk, attempt: int, contract: Contract, signature: Signature) -> None:
        self._chunk, self._attempt = chunk, attempt
        self._spool = SpooledTemporaryFile(max_size=INLINE_BYTES, dir=str(scratch_folder()))  # noqa: SIM115 (see `close`)
        self.writer = ResultWriter(
            self._spool, FileKind(FileFormat(chunk.job.output_format), gzipped=False), contract, signature
        )

    def close(self) -> None:
        self._spool.close()

    def keep(self) -> tuple[str | None, str]:
        """Return the text for the row, or write a file and return its name."""
        size = self._spool.seek(0, 2)
        self._spool.seek(0)
        # Rows sent in a request are in the database anyway; rows from a file would fill it up.
        fits = size <= INLINE_BYTES and self._chunk.inputs is not None
        if fits and self._chunk.job.output_format in _TEXT_FORMATS:
            text = self._spool.read().decode()
            if "\0" not in text:  # PostgreSQL's JSON cannot store it
                return text, ""
            self._spool.seek(0)
        name = f"{_stem(self._chunk, self._attempt)}.{self._chunk.job.output_format}"
        with write_atomically(_folder(self._chunk.job) / name) as target:
            shutil.copyfileobj(self._spool, target)
        return None, name


def save_errors(chunk: Chunk, attempt: int, errors: Sequence[RowError]) -> str:
    """Write the bad rows of a chunk; return the name of their file, empty if there are none."""
    if not errors:
        return ""
    name = f"{_stem(chunk, attempt)}.errors.jsonl"
    write_errors(_folder(chunk.job) / name, errors)
    return name


def open_results(chunk: Chunk) -> IO[bytes]:
    """Open the results of a finished chunk."""
    if chunk.results is not None:
        return BytesIO(chunk.results.encode())
    return (_folder(chunk.job) / chunk.results_ref).open("rb")


def open_errors(chunk: Chunk) -> IO[bytes]:
    return (_folder(chunk.job) / chunk.errors_ref).open("rb")


def scratch_file() -> IO[bytes]:
    """A temporary file, removed when it is closed."""
    file: IO[bytes] = SpooledTemporaryFile(max_size=2**20, dir=str(scratch_folder()))  # noqa: SIM115 (the caller closes it)
    return file


def remove_files(job: Job) -> None:
    """Remove a job's own files; files in a store belong to its owner."""
    shutil.rmtree(_folder(job), ignore_errors=True)
    if job.source == InputSource.FILE:
        drop_input(job.input_ref)


def _source_path(job: Job) -> Path:
    if job.source == InputSource.STORE:
        try:
            return storage.fetch(job.input_ref, _folder(job) / "fetched")
        except RoundhouseError as error:
            raise BadFile(str(error)) from error
    return input_path(job.input_ref)


def _stem(chunk: Chunk, attempt: int) -> str:
    return f"{chunk.index:06d}-{attempt}"


def _folder(job: Job) -> Path:
    return Path(settings.DATA_DIR) / "jobs" / str(job.pk)


def input_path(ref: str) -> Path:
    return _inputs_folder() / uuid.UUID(ref).hex


def save_input(pieces: Iterable[bytes]) -> SavedInput:
    """Write a file piece by piece, and sync it to disk."""
    if parts.free_bytes() < parts.RESERVE_BYTES:
        raise InsufficientStorage
    size, digest = 0, hashlib.sha256()
    with _new_input() as path, path.open("xb") as file:
        for piece in pieces:
            size += file.write(piece)
            digest.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return SavedInput(path.name, size, digest.hexdigest())


def adopt_input(source: Path) -> str:
    """Hard-link a local file as an input, or copy it from another file system."""
    with _new_input() as path:
        try:
            os.link(source, path)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source, path)
    return path.name


def drop_input(ref: str) -> None:
    input_path(ref).unlink(missing_ok=True)


def stray_inputs() -> Iterator[list[str]]:
    """Yield, in batches, the names of inputs that are old enough to belong to a job by now."""
    before = time.time() - _STRAY_AFTER_S
    old = [path.name for path in _inputs_folder().iterdir() if path.stat().st_ctime < before]
    for start in range(0, len(old), _STRAY_BATCH):
        yield old[start : start + _STRAY_BATCH]


@contextmanager
def _new_input() -> Iterator[Path]:
    path = _inputs_folder() / uuid.uuid4().hex
    try:
        with parts.room(storage.FREE_SOME_SPACE):
            yield path
            flush_folder(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _inputs_folder() -> Path:
    folder = Path(settings.DATA_DIR) / "jobs" / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
