"""Files of rows as a library: planning chunks, reading them as tensors, writing results. Numpy, orjson and the
standard library; pyarrow only where Parquet is read or written.

    with open("rows.csv", "rb") as file:
        for chunk in plan(file, FileFormat.CSV, 20_000):
            for batch in read_chunk(file, FileFormat.CSV, chunk, contract, signature, batch_rows=256):
                ...  # batch.tensors → the engine; batch.bad → the errors file
"""

from inference.jobs.rows.batches import Batch, RowError
from inference.jobs.rows.contract import Contract, Missing, OnRowError
from inference.jobs.rows.errors import RowsError
from inference.jobs.rows.limits import LIMITS, Limits
from inference.jobs.rows.planning import ChunkPlan, FileFormat, Kind, kind_of
from inference.jobs.rows.reading import ROWS_PER_CHUNK, check, plan, read_chunk, read_items
from inference.jobs.rows.unpacking import plain_file
from inference.jobs.rows.writing.assembling import assemble, joined_text
from inference.jobs.rows.writing.parts import TEXT, ErrorsWriter, ResultWriter

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
