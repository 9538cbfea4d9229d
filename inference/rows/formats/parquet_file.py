"""Parquet, through pyarrow (the extra `parquet`): columns of numbers, text, or lists of numbers.

pyarrow parses in native code and trusts the sizes that pages declare. Install the extra only if you trust the people
who send the files, or limit the worker's memory.
"""

from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from inference.rows.batches import Array, ArrayValues, RowWindow
from inference.rows.chunk_plans import ChunkPlan, chunks_of_rows
from inference.rows.contract import Contract
from inference.rows.errors import BadFile, FormatNotInstalled, RowFileTooLarge
from inference.rows.files import RowLimits
from inference.rows.layout import FileColumns, Layout

_THRIFT_BYTES = 2**24  # of one string or list in the file's metadata


def load_pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise FormatNotInstalled from None
    return pyarrow


def load_parquet() -> Any:
    load_pyarrow()
    import pyarrow.parquet

    return pyarrow.parquet


class ParquetFile:
    def __init__(self, file: IO[bytes], limits: RowLimits) -> None:
        self._arrow = load_pyarrow()
        self._limits = limits
        file.seek(0)
        try:
            self._file = load_parquet().ParquetFile(
                file, memory_map=False, buffer_size=2**20, pre_buffer=False,
                thrift_string_size_limit=_THRIFT_BYTES, thrift_container_size_limit=_THRIFT_BYTES,
            )  # fmt: skip
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            raise BadFile(f"The file cannot be read as Parquet: {_short(error)}.") from None
        self._check()

    def plan(self, rows_per_chunk: int) -> Iterator[ChunkPlan]:
        """Keep small row groups whole; cut large ones."""
        metadata = self._file.metadata
        groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
        sizes = [group.num_rows for group in groups]
        row_bytes = sum(group.total_byte_size for group in groups) // max(sum(sizes), 1)
        rows_per_chunk = min(rows_per_chunk, max(self._limits.chunk_bytes // max(row_bytes, 1), 1))
        index, first_row, held = 0, 1, 0
        for size in [*sizes, 0]:
            if held and (held + size > rows_per_chunk or size == 0):
                yield ChunkPlan(index, first_row, held)
                index, first_row, held = index + 1, first_row + held, 0
            if size <= rows_per_chunk:
                held += size
                continue
            for chunk in chunks_of_rows(size, rows_per_chunk, first_index=index, first_row=first_row):
                yield chunk
                index += 1
            first_row += size

    def columns(self) -> FileColumns:
        schema = self._file.schema_arrow
        lists = frozenset(column.name for column in schema if self._is_list(column.type))
        return FileColumns(tuple(schema.names), lists=lists)

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[RowWindow]:
        groups, skip = self._groups(plan)
        row, left = plan.first_row, plan.rows
        try:
            for batch in self._file.iter_batches(
                batch_size=size, row_groups=groups, columns=list(layout.columns), use_threads=False
            ):
                if skip >= batch.num_rows:
                    skip -= batch.num_rows
                    continue
                batch = batch.slice(skip, left)
                skip = 0
                arrays = {name: self._values(batch.column(name)) for name in layout.columns}
                yield RowWindow(range(row, row + batch.num_rows), ArrayValues(arrays, contract.missing))
                row, left = row + batch.num_rows, left - batch.num_rows
                if not left:
                    return
        except (self._arrow.ArrowException, OSError) as error:
            raise BadFile(f"The file cannot be read after row {row:,}: {_short(error)}.") from None
        if left:
            raise BadFile("The file has fewer rows than it declares; write it again.")

    def _check(self) -> None:
        metadata, limits = self._file.metadata, self._limits
        groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
        if metadata.num_rows > limits.rows or any(group.num_rows < 0 for group in groups):
            raise RowFileTooLarge(f"The file has {metadata.num_rows:,} rows; the limit is {limits.rows:,}.")
        if sum(group.total_byte_size for group in groups) > limits.bytes:
            raise RowFileTooLarge(f"The file unpacks to more than the limit of {limits.bytes:,} bytes.")
        if sum(group.num_rows for group in groups) != metadata.num_rows:
            raise BadFile("The row groups do not add up to the number of rows; write the file again.")
        if metadata.num_columns > limits.members * 10:
            raise BadFile(
                f"The file has {metadata.num_columns:,} columns; the limit is {limits.members * 10:,}."
            )
        names = self._file.schema_arrow.names
        if len(set(names)) != len(names):
            raise BadFile("The file has two columns with the same name; column names must be unique.")

    def _groups(self, plan: ChunkPlan) -> tuple[list[int], int]:
        """The row groups that a chunk overlaps, and how many of their rows come before it."""
        first, stop, at = plan.first_row - 1, plan.first_row - 1 + plan.rows, 0
        groups: list[int] = []
        skip = 0
        for place in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(place).num_rows
            if at < stop and at + rows > first and rows:
                if not groups:
                    skip = first - at
                groups.append(place)
            at += rows
        return groups, skip

    def _is_list(self, kind: Any) -> bool:
        types = self._arrow.types
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

    def _values(self, column: Any) -> Array | list[Any]:
        types = self._arrow.types
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count == 0 and types.is_primitive(column.type) and not types.is_temporal(column.type):
            return np.asarray(column.to_numpy(zero_copy_only=False))
        if self._is_list(column.type) and (block := self._block(column)) is not None:
            return block
        try:
            return list(column.to_pylist())
        except UnicodeDecodeError:
            values = column.cast(self._arrow.large_binary()).to_pylist()
            return [None if value is None else value.decode("utf-8", "replace") for value in values]

    def _block(self, column: Any) -> Array | None:
        """Lists of equal length as a table of numbers; None for all others."""
        types = self._arrow.types
        if column.null_count or not types.is_primitive(column.type.value_type):
            return None
        inner = column.flatten()
        rows = len(column)
        if inner.null_count or not rows or types.is_temporal(inner.type) or len(inner) % rows:
            return None
        if not types.is_fixed_size_list(column.type):
            lengths = np.diff(np.asarray(column.offsets))
            if (lengths != len(inner) // rows).any():
                return None
        return np.asarray(inner.to_numpy(zero_copy_only=False)).reshape(rows, -1)


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else "no reason given"
