"""Signatures, and reading a whole file."""

import io

from inference.rows import Contract, FileFormat, FileKind, plan, read_chunk
from inference.tensors.signature import Signature, TensorSpec

SCORE = TensorSpec("score", "FP32", (None,))
ONE = Signature((TensorSpec("x", "FP32", (None,)),), (SCORE,))
WIDE = Signature((TensorSpec("features", "FP32", (None, 3)),), (SCORE,))
TWO = Signature(
    (TensorSpec("ids", "INT64", (None, None)), TensorSpec("text", "BYTES", (None,))),
    (SCORE,),
)
ABC = {"features": ("a", "b", "c")}  # the columns of a contract for WIDE
JSONL, CSV = FileKind(FileFormat.JSONL, False), FileKind(FileFormat.CSV, False)
NPZ, PARQUET = FileKind(FileFormat.NPZ, False), FileKind(FileFormat.PARQUET, False)


def signature_of(datatype, *shape, **more):
    return Signature((TensorSpec("x", datatype, shape, **more),), (SCORE,))


def read_all(data, format=FileFormat.CSV, contract=None, signature=ONE, *, rows_per_chunk=7, batch_rows=3):
    """All batches of a file; `data` is its bytes or an open file."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    return [
        batch
        for chunk in plan(file, format, rows_per_chunk)
        for batch in read_chunk(file, format, chunk, contract or Contract(), signature, batch_rows)
    ]


def rows_of(batches):
    return [row for batch in batches for row in batch.rows]


def bad_of(batches):
    return [(error.row, error.reason) for batch in batches for error in batch.bad]


def values_of(batches, name="x"):
    return [value for batch in batches if batch.rows for value in batch.tensors[name].tolist()]
