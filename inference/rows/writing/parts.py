"""One result part per chunk, and the errors beside it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import orjson

from inference.rows.batches import Array, Batch, RowError
from inference.rows.contract import Contract
from inference.rows.durable import written_whole
from inference.rows.errors import UnknownFormat
from inference.rows.planning import FileFormat, Kind
from inference.rows.writing.array_parts import NpzPart, ParquetPart
from inference.rows.writing.packing import Members
from inference.rows.writing.records import Columns, Shape, split_non_finite
from inference.rows.writing.text_parts import CsvPart, JsonlPart
from inference.tensors.signature import Signature

TEXT = (FileFormat.JSONL, FileFormat.CSV)


class _Part(Protocol):
    def write(self, columns: Columns) -> None: ...

    def close(self) -> None: ...


class ResultWriter(AbstractContextManager["ResultWriter"]):
    """Writes a chunk's results into an open file, or to a path that is there whole after the block, or not at all.

    with ResultWriter(path, Kind(FileFormat.CSV, gzipped=False), contract, signature) as writer:
        bad = writer.write(batch, outputs, extra={"label": labels})
    """

    def __init__(
        self, target: Path | IO[bytes], kind: Kind, contract: Contract, signature: Signature
    ) -> None:
        if kind.gzipped and kind.format not in TEXT:
            raise UnknownFormat(f"{kind.format} files are packed inside already; ask for them without gzip.")
        self.rows = 0
        self._given = target
        self._kind = kind
        self._shape = Shape(contract, signature)
        self._stack = ExitStack()
        self._part: _Part

    def __enter__(self) -> Self:
        target = self._given
        if isinstance(target, Path):
            target = self._stack.enter_context(written_whole(target))
        packed = self._stack.enter_context(Members(target)) if self._kind.gzipped else None
        match self._kind.format:
            case FileFormat.JSONL:
                self._part = JsonlPart(packed or target)
            case FileFormat.CSV:
                self._part = CsvPart(packed or target, packed.begin if packed else lambda: None)
            case FileFormat.NPZ:
                self._part = NpzPart(target)
            case FileFormat.PARQUET:
                self._part = ParquetPart(target)
        return self

    def write(
        self, batch: Batch, outputs: Mapping[str, Array], extra: Mapping[str, Sequence[Any]] | None = None
    ) -> tuple[RowError, ...]:
        """Add a batch's rows in order: id, pass-through, outputs, then `extra`, which has a value per row.

        JSONL and CSV cannot say NaN: such rows are left out and come back as errors. NPZ and Parquet carry them.
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


class ErrorsWriter(AbstractContextManager["ErrorsWriter"]):
    """Writes bad rows as JSON lines: row, id, reason."""

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self._file = written_whole(path)
        self._target: IO[bytes]

    def __enter__(self) -> Self:
        self._target = self._file.__enter__()
        return self

    def write(self, errors: Sequence[RowError]) -> None:
        self._target.write(
            b"".join(orjson.dumps(error.to_json(), option=orjson.OPT_APPEND_NEWLINE) for error in errors)
        )
        self.rows += len(errors)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)
