"""Files of rows as a library: planning chunks, reading them as tensors, writing results. Numpy, orjson and the
standard library; pyarrow only where Parquet is read or written.

    with open("rows.csv", "rb") as file:
        for chunk in plan(file, FileFormat.CSV, 20_000):
            for batch in read_chunk(file, FileFormat.CSV, chunk, contract, signature, batch_rows=256):
                ...  # batch.tensors → the engine; batch.bad → the errors file
"""

from inference.rows.batches import Batch, RowError
from inference.rows.contract import Contract, Missing, OnRowError
from inference.rows.errors import RowsError
from inference.rows.limits import LIMITS, Limits
from inference.rows.planning import ChunkPlan, FileFormat, Kind, kind_of
from inference.rows.reading import ROWS_PER_CHUNK, check, plan, read_chunk, read_items
from inference.rows.unpacking import plain_file
from inference.rows.writing.assembling import assemble, joined_text
from inference.rows.writing.parts import TEXT, ErrorsWriter, ResultWriter

__all__ = [
    "LIMITS",
    "ROWS_PER_CHUNK",
    "TEXT",
    "Batch",
    "ChunkPlan",
    "Contract",
    "ErrorsWriter",
    "FileFormat",
    "Kind",
    "Limits",
    "Missing",
    "OnRowError",
    "ResultWriter",
    "RowError",
    "RowsError",
    "assemble",
    "check",
    "joined_text",
    "kind_of",
    "plain_file",
    "plan",
    "read_chunk",
    "read_items",
]
