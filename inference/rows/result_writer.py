"""Writing a chunk's result part, and its bad rows."""

import gzip
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import orjson

from inference.rows.batches import Array, RowBatch
from inference.rows.contract import Contract, RowError
from inference.rows.errors import UnknownFormat
from inference.rows.files import FileFormat, FileKind, write_atomically
from inference.rows.result_parts import (
    CsvPart,
    JsonlPart,
    NpzPart,
    ParquetPart,
    ResultColumns,
    ResultShape,
    split_non_finite,
)
from inference.tensors.signature import Signature

TEXT = (FileFormat.JSONL, FileFormat.CSV)


class _Part(Protocol):
    def write(self, columns: ResultColumns) -> None: ...

    def close(self) -> None: ...


class ResultWriter(AbstractContextManager["ResultWriter"]):
    """Writes a chunk's results into an open file, or atomically to a path.

    with ResultWriter(path, FileKind(FileFormat.CSV, gzipped=False), contract, signature) as writer:
        bad = writer.write(batch, outputs, extra={"label": labels})
    """

    def __init__(
        self, target: Path | IO[bytes], kind: FileKind, contract: Contract, signature: Signature
    ) -> None:
        if kind.gzipped and kind.format not in TEXT:
            raise UnknownFormat(f"{kind.format} files are already compressed; request them without gzip.")
        if kind.format is FileFormat.ZIP:
            raise UnknownFormat("Results are never written as a zip of pictures.")
        self.rows = 0
        self._target = target
        self._kind = kind
        self._shape = ResultShape(contract, signature)
        self._json_outputs = signature.json_outputs
        self._stack = ExitStack()
        self._part: _Part

    def __enter__(self) -> Self:
        target = self._target
        if isinstance(target, Path):
            target = self._stack.enter_context(write_atomically(target))
        gzipped = self._stack.enter_context(GzipMembers(target)) if self._kind.gzipped else None
        match self._kind.format:
            case FileFormat.JSONL:
                self._part = JsonlPart(gzipped or target, self._json_outputs)
            case FileFormat.CSV:
                self._part = CsvPart(gzipped or target, gzipped.next_member if gzipped else lambda: None)
            case FileFormat.NPZ:
                self._part = NpzPart(target)
            case FileFormat.PARQUET:
                self._part = ParquetPart(target)
        return self

    def write(
        self, batch: RowBatch, outputs: Mapping[str, Array], extra: Mapping[str, Sequence[Any]] | None = None
    ) -> tuple[RowError, ...]:
        """Append a batch: id, passthrough columns, outputs, then `extra`, which has one value per row.

        JSONL and CSV cannot hold NaN, so such rows are skipped and returned as errors. NPZ and Parquet keep them.
        """
        columns = self._shape.columns(batch, outputs, extra or {})
        errors: tuple[RowError, ...] = ()
        if self._kind.format in TEXT:
            columns, errors = split_non_finite(columns, batch)
        if len(columns):
            self._part.write(columns)
            self.rows += len(columns)
        return errors

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                raise error
            self._part.close()


def write_errors(path: Path, errors: Sequence[RowError]) -> None:
    """Write bad rows as JSON lines: row, id, reason."""
    with write_atomically(path) as file:
        for error in errors:
            file.write(orjson.dumps(error.to_json(), option=orjson.OPT_APPEND_NEWLINE))


class GzipMembers:
    """Compresses into `target` as gzip members; several members in a row form one valid gzip file."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._member: gzip.GzipFile | None = None

    def write(self, data: bytes) -> int:
        if self._member is None:
            self._member = gzip.GzipFile(
                fileobj=self._target, mode="wb", filename="", mtime=0, compresslevel=6
            )
        return self._member.write(data)

    def next_member(self) -> None:
        if self._member is not None:
            self._member.close()
        self._member = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.next_member()
