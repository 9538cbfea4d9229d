"""A library for files of rows: plan chunks, read them as tensors, write results.

It needs numpy and orjson, and pyarrow for Parquet.

    with open("rows.csv", "rb") as file:
        for chunk in plan(file, FileFormat.CSV, 20_000):
            for batch in read_chunk(file, FileFormat.CSV, chunk, contract, signature, batch_rows=256):
                ...  # batch.tensors → the engine; batch.bad → the errors file
"""

from inference.rows.batches import RowBatch
from inference.rows.chunk_plans import ChunkPlan
from inference.rows.contract import Contract, Missing, OnRowError, RowError
from inference.rows.errors import RowsError
from inference.rows.files import LIMITS, FileFormat, FileKind, RowLimits, kind_of
from inference.rows.preview import FilePreview, preview_file
from inference.rows.reader import (
    ROWS_PER_CHUNK,
    check,
    plain_file,
    plan,
    read_chunk,
    read_items,
    signature_of_file,
    signature_of_items,
)
from inference.rows.result_assembly import assemble, joined_text
from inference.rows.result_writer import TEXT, ResultWriter, write_errors

__all__ = [
    "LIMITS",
    "ROWS_PER_CHUNK",
    "TEXT",
    "ChunkPlan",
    "Contract",
    "FileFormat",
    "FileKind",
    "FilePreview",
    "Missing",
    "OnRowError",
    "ResultWriter",
    "RowBatch",
    "RowError",
    "RowLimits",
    "RowsError",
    "assemble",
    "check",
    "joined_text",
    "kind_of",
    "plain_file",
    "plan",
    "preview_file",
    "read_chunk",
    "read_items",
    "signature_of_file",
    "signature_of_items",
    "write_errors",
]
