"""How fast rows of a file become tensors, and answers become lines: `python -m bench.jobs_rows [rows]`.

One core, one process; a million rows of ten decimal columns with an id, ten of them bad, unless told otherwise.
"""

import io
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from inference.rows import Contract, FileFormat, FileKind, OnRowError, ResultWriter, plan, read_chunk
from inference.tensors.signature import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("features", "FP32", (None, 10)),), (TensorSpec("score", "FP32", (None,)),))
CONTRACT = Contract(
    columns={"features": tuple(f"c{place}" for place in range(10))}, id="id", on_row_error=OnRowError.SKIP
)
BATCH = 256


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for format in (FileFormat.CSV, FileFormat.JSONL, FileFormat.NPZ):
            path = Path(folder) / f"rows.{format}"
            maker = get_context("spawn").Process(
                target=_make, args=(path, format, rows)
            )  # its memory is not ours
            maker.start()
            maker.join()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with path.open("rb") as file:
                _measure(file, format, Path(folder) / "part", rows)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            print(
                f"{format:>6}  {path.stat().st_size / 2**20:7.1f} MiB  peak memory grew by {grown / 1024:.0f} MiB"
            )


def _measure(file: io.BufferedReader, format: FileFormat, part: Path, rows: int) -> None:
    start = time.perf_counter()
    chunks = list(plan(file, format))
    planned = time.perf_counter() - start
    reading = writing = 0.0
    good = bad = 0
    for chunk in chunks:
        start = time.perf_counter()
        batches = list(read_chunk(file, format, chunk, CONTRACT, SIGNATURE, BATCH))
        reading += time.perf_counter() - start
        start = time.perf_counter()
        with ResultWriter(part, FileKind(FileFormat.CSV, False), CONTRACT, SIGNATURE) as writer:
            for batch in batches:
                writer.write(batch, {"score": batch.tensors["features"][:, 0]})
                bad += len(batch.bad)
        writing += time.perf_counter() - start
        good += writer.rows
    print(
        f"{format:>6}  plan {rows / planned:12,.0f} rows/s  read {rows / reading:9,.0f} rows/s  "
        f"write CSV {rows / writing:9,.0f} rows/s  {good:,} good, {bad:,} bad"
    )


def _make(path: Path, format: FileFormat, rows: int) -> None:
    table = np.random.default_rng(1).random((rows, 10)).round(6)
    spoilt = set(range(0, rows, rows // 10)) if rows >= 10 else set()
    if format is FileFormat.NPZ:
        table[sorted(spoilt)] = np.nan
        columns = {f"c{place}": table[:, place] for place in range(10)}
        np.savez(path, id=np.arange(rows), **columns)
        return
    with path.open("w") as file:
        if format is FileFormat.CSV:
            file.write("id," + ",".join(f"c{place}" for place in range(10)) + "\n")
        for number, row in enumerate(table.tolist()):
            cells = [
                "1e" if number in spoilt and place == 3 else repr(value) for place, value in enumerate(row)
            ]
            if format is FileFormat.CSV:
                file.write(f"r{number},{','.join(cells)}\n")
            else:
                pairs = ",".join(f'"c{place}":{cell}' for place, cell in enumerate(cells))
                file.write(f'{{"id":"r{number}",{pairs}}}\n')


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
