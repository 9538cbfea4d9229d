"""Parquet, through pyarrow: columns of numbers, texts, or lists of numbers.

pyarrow parses in native code and believes the sizes that pages state, so only those install the extra who trust
the senders of their files, or bound the worker's memory.
"""

from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from inference.rows.arrow import arrow, parquet
from inference.rows.batches import Array
from inference.rows.contract import Contract
from inference.rows.errors import BadFile, FileTooLarge
from inference.rows.layout import FileColumns, Layout
from inference.rows.limits import Limits
from inference.rows.planning import ChunkPlan, chunks_of_rows
from inference.rows.values import ArrayValues
from inference.rows.windows import Window

_THRIFT_BYTES = 2**24  # of one text or list in the file's description


class ParquetFile:
    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        self._arrow = arrow()
        self._limits = limits
        file.seek(0)
        try:
            self._file = parquet().ParquetFile(
                file, memory_map=False, buffer_size=2**20, pre_buffer=False,
                thrift_string_size_limit=_THRIFT_BYTES, thrift_container_size_limit=_THRIFT_BYTES,
            )  # fmt: skip
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            raise BadFile(f"The file is not Parquet that can be read: {_short(error)}.") from None
        self._check()

    def plan(self, rows_per_chunk: int) -> Iterator[ChunkPlan]:
        """Cut at row groups where they are small; a large group is cut within."""
        found = self._file.metadata
        groups = [found.row_group(place) for place in range(found.num_row_groups)]
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

    def windows(self, plan: ChunkPlan, layout: Layout, contract: Contract, size: int) -> Iterator[Window]:
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
                yield Window(range(row, row + batch.num_rows), ArrayValues(arrays, contract.missing))
                row, left = row + batch.num_rows, left - batch.num_rows
                if not left:
                    return
        except (self._arrow.ArrowException, OSError) as error:
            raise BadFile(f"The file cannot be read from row {row:,} on: {_short(error)}.") from None
        if left:
            raise BadFile("The file has fewer rows than it says; write it again.")

    def _check(self) -> None:
        found = self._file.metadata
        sizes = [found.row_group(place) for place in range(found.num_row_groups)]
        if found.num_rows > self._limits.rows or any(group.num_rows < 0 for group in sizes):
            raise FileTooLarge(f"The file has {found.num_rows:,} rows; {self._limits.rows:,} is the most.")
        if sum(group.total_byte_size for group in sizes) > self._limits.bytes:
            raise FileTooLarge(
                f"The file unpacks to more than {self._limits.bytes:,} bytes, which is the most."
            )
        if sum(group.num_rows for group in sizes) != found.num_rows:
            raise BadFile("The file's row groups do not add up to its rows; write it again.")
        if found.num_columns > self._limits.members * 10:
            raise BadFile(
                f"The file has {found.num_columns:,} columns; {self._limits.members * 10:,} is the most."
            )
        names = self._file.schema_arrow.names
        if len(set(names)) != len(names):
            raise BadFile("The file names a column twice; columns are told apart by their names.")

    def _groups(self, plan: ChunkPlan) -> tuple[list[int], int]:
        """The row groups that a chunk touches, and how many of their rows come before it."""
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
            found = column.cast(self._arrow.large_binary()).to_pylist()
            return [None if value is None else value.decode("utf-8", "replace") for value in found]

    def _block(self, column: Any) -> Array | None:
        """Lists of one length are a table of numbers; others are read one by one."""
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
