"""What follows from a proof: how large merged runs may be."""

import pytest

from inference.checks.proofs import batch_bytes
from inference.engine.warmup import MemoryUse

MIB = 1 << 20


@pytest.mark.parametrize(
    ("row_bytes", "rows", "most"),
    [
        (3 * MIB, 8, 24 * MIB),  # as many pictures as were measured, or fewer larger ones
        (12, 64, MIB),  # rows that were measured at their smallest: sentences may merge, pictures not
        (0, 1, MIB),  # nothing was measured
    ],
)
def test_merged_runs_are_as_large_as_those_that_were_measured(row_bytes, rows, most):
    memory = MemoryUse(0, {64: 0}, asked_rows=64, row_bytes=row_bytes)

    assert batch_bytes(memory, rows) == most
