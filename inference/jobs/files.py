"""Where the files of a job are: what it reads, what its chunks wrote, and both gone when it is removed."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from django.conf import settings

from inference.jobs import incoming, stores
from inference.jobs.models import Chunk, Format, Job, Source
from inference.rows import Contract, ErrorsWriter, FileFormat, Kind, ResultWriter, RowError, plain_file
from inference.rows.durable import written_whole
from inference.rows.errors import BadFile
from inference.tensors.signature import Signature
from registry.errors import RoundhouseError

INLINE_BYTES = 64 * 2**10
_TEXTS = frozenset({Format.JSONL, Format.CSV})


@contextmanager
def plain_input(job: Job) -> Iterator[IO[bytes]]:
    """A job's file as one that can be read from any place; what is packed is unpacked once."""
    kind = Kind(FileFormat(job.input_format), job.is_gzipped)
    unpacked = _folder(job) / "unpacked"
    path = unpacked if unpacked.exists() else plain_file(_source_of(job), kind, unpacked)
    with path.open("rb") as file:
        yield file


class ChunkResults:
    """What a chunk writes: small texts for its row, all else for a file whose name holds the attempt.

    So an attempt that is over overwrites nothing, whenever it wakes up.
    """

    def __init__(self, chunk: Chunk, attempt: int, contract: Contract, signature: Signature) -> None:
        self._chunk, self._attempt = chunk, attempt
        self._spool = SpooledTemporaryFile(max_size=INLINE_BYTES, dir=str(_scratch()))  # noqa: SIM115 (see `close`)
        self.writer = ResultWriter(
            self._spool, Kind(FileFormat(chunk.job.output_format), gzipped=False), contract, signature
        )

    def close(self) -> None:
        self._spool.close()

    def keep(self) -> tuple[str | None, str]:
        """The text for the row, or the name of the file that is written now."""
        size = self._spool.seek(0, 2)
        self._spool.seek(0)
        # Rows that came in a request were in the database all along; a file's would fill it.
        fits = size <= INLINE_BYTES and self._chunk.inputs is not None
        if fits and self._chunk.job.output_format in _TEXTS:
            text = self._spool.read().decode()
            if "\0" not in text:  # PostgreSQL's JSON cannot hold it
                return text, ""
            self._spool.seek(0)
        name = f"{_stem(self._chunk, self._attempt)}.{self._chunk.job.output_format}"
        with written_whole(_folder(self._chunk.job) / name) as target:
            shutil.copyfileobj(self._spool, target)
        return None, name


def keep_errors(chunk: Chunk, attempt: int, errors: Sequence[RowError]) -> str:
    """Write the bad rows of a chunk; the name of their file, empty where there are none."""
    if not errors:
        return ""
    name = f"{_stem(chunk, attempt)}.errors.jsonl"
    with ErrorsWriter(_folder(chunk.job) / name) as writer:
        writer.write(errors)
    return name


def open_results(chunk: Chunk) -> IO[bytes]:
    """What a chunk that is done came to."""
    if chunk.results is not None:
        return BytesIO(chunk.results.encode())
    return (_folder(chunk.job) / chunk.results_ref).open("rb")


def open_errors(chunk: Chunk) -> IO[bytes]:
    return (_folder(chunk.job) / chunk.errors_ref).open("rb")


def scratch_file() -> IO[bytes]:
    """A file that is gone when it is closed."""
    made: IO[bytes] = SpooledTemporaryFile(max_size=2**20, dir=str(_scratch()))  # noqa: SIM115 (the caller closes it)
    return made


def remove(job: Job) -> None:
    """Everything that belongs to the job alone; what is in a named store is its owner's."""
    shutil.rmtree(_folder(job), ignore_errors=True)
    if job.source == Source.FILE:
        incoming.drop(job.input_ref)


def _source_of(job: Job) -> Path:
    if job.source == Source.STORE:
        try:
            return stores.fetch(job.input_ref, _folder(job) / "fetched")
        except RoundhouseError as error:
            raise BadFile(str(error)) from error
    return incoming.path_of(job.input_ref)


def _stem(chunk: Chunk, attempt: int) -> str:
    return f"{chunk.index:06d}-{attempt}"


def _folder(job: Job) -> Path:
    return Path(settings.DATA_DIR) / "jobs" / str(job.pk)


def _scratch() -> Path:
    folder = Path(settings.DATA_DIR) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
