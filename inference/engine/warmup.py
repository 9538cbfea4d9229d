"""Runs every batch size before a session is ready, and measures the time and memory that each takes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from inference.engine.backends import LoadedSession
from inference.engine.errors import WarmUpFailed
from inference.engine.memory import resident_bytes
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InferenceError
from inference.tensors.samples import EMPTY_SAMPLE, Sample, sample_inputs, takes_rows

Profile = Mapping[int, float]  # rows in one run -> seconds

_ENOUGH_S = 0.5  # per batch size: a few runs of a slow model are enough to measure it


def ladder(max_batch: int) -> tuple[int, ...]:
    """The powers of two below `max_batch`, and `max_batch` itself."""
    rungs = [1]
    while rungs[-1] * 2 < max_batch:
        rungs.append(rungs[-1] * 2)
    return tuple(rungs) if max_batch <= 1 else (*rungs, max_batch)


def warm_up(
    session: LoadedSession,
    *,
    max_batch: int = 1,
    sample: Sample = EMPTY_SAMPLE,
    repeats: int = 5,
    soft_limit_s: float | None = None,
) -> Profile:
    """Run each batch size of the ladder and return the median seconds by rows; raise WarmUpFailed if one fails.

    A session without a row axis runs one size, 1. At the end the runtime's memory holds what the largest batch needs,
    without leftovers from the smaller ones.
    """
    rungs = ladder(max_batch) if takes_rows(session.signature, sample) else (1,)
    profile = {}
    for rows in rungs:
        inputs = sample_inputs(session.signature, sample, rows=rows)
        try:
            profile[rows] = _cost(session, inputs, repeats, soft_limit_s)
        except InferenceError as error:
            raise WarmUpFailed(
                f"The version loaded, but a warm-up run of {rows} rows failed: {error}"
                " Check the file, or lower the version's largest batch."
            ) from error
    if len(rungs) > 1:
        session.shrink(sample_inputs(session.signature, sample))
        session.run(inputs, soft_limit_s=soft_limit_s)
    return profile


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory that a loaded file uses, and what runs add, by number of rows. Measured in a separate process."""

    loaded_bytes: int
    by_rows: Mapping[int, int]  # for each batch size that ran and fitted, always including 1
    asked_rows: int  # the largest batch size to try
    beyond: tuple[int, int] | None = None  # the first batch size that took too much, and how much
    failure: str = ""  # why the next batch size did not run
    row_bytes: int = 0  # of one row of the inputs used here

    def most_rows(self, rows: int, limit_bytes: int) -> int:
        """The largest batch up to `rows` that adds no more than `limit_bytes`; at least one row."""
        fitting = [rung for rung, needed in self.by_rows.items() if needed <= limit_bytes]
        return max(1, min(rows, max(fitting, default=1)))

    def footprint_bytes(self, rows: int) -> int:
        """Memory of the file with batches of up to this many rows."""
        return self.loaded_bytes + next(
            (needed for rung, needed in sorted(self.by_rows.items()) if rung >= rows),
            max(self.by_rows.values()),
        )

    def covers(self, rows: int, limit_bytes: int) -> bool:
        """Whether `most_rows` can be computed without measuring more."""
        was_stopped = bool(self.failure) or (self.beyond is not None and self.beyond[1] > limit_bytes)
        return was_stopped or self.asked_rows >= rows

    def to_json(self) -> dict[str, Any]:
        return {
            "loaded_bytes": self.loaded_bytes,
            "by_rows": [[rows, needed] for rows, needed in self.by_rows.items()],
            "asked_rows": self.asked_rows,
            "beyond": list(self.beyond) if self.beyond is not None else None,
            "failure": self.failure,
            "row_bytes": self.row_bytes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "MemoryUse":
        beyond = data["beyond"]
        return cls(
            int(data["loaded_bytes"]),
            {int(rows): int(needed) for rows, needed in data["by_rows"]},
            int(data["asked_rows"]),
            (int(beyond[0]), int(beyond[1])) if beyond is not None else None,
            str(data["failure"]),
            int(data["row_bytes"]),
        )


def measured_warm_up(
    session: LoadedSession,
    *,
    max_batch: int,
    limit_bytes: int,
    sample: Sample = EMPTY_SAMPLE,
    repeats: int = 5,
    soft_limit_s: float | None = None,
    measure: Callable[[], int] = resident_bytes,
) -> tuple[Profile, MemoryUse]:
    """Try batch sizes up to the largest that runs within the memory limit; a single row must run.

    Each size starts with a shrunk arena, to measure it separately. Only for a process that does nothing else.
    """
    profile: dict[int, float] = {}
    by_rows: dict[int, int] = {}
    loaded, beyond, failure = measure(), None, ""
    single = sample_inputs(session.signature, sample)
    for rows in ladder(max_batch) if takes_rows(session.signature, sample) else (1,):
        try:
            inputs = sample_inputs(session.signature, sample, rows=rows)
            seconds = _cost(session, inputs, repeats, soft_limit_s)
        except (InferenceError, MemoryError) as error:
            if rows == 1:
                raise
            failure = f"{rows:,} rows in one run: {error}"
            break
        needed = max(0, measure() - loaded)
        if rows > 1 and needed > limit_bytes:
            beyond = rows, needed
            break
        profile[rows], by_rows[rows] = seconds, needed
        if rows < max_batch:
            session.shrink(single)
    row_bytes = sum(tensor.nbytes for tensor in single.values())
    return profile, MemoryUse(session.footprint_bytes(), by_rows, max_batch, beyond, failure, row_bytes)


def _cost(session: LoadedSession, inputs: Tensors, repeats: int, soft_limit_s: float | None) -> float:
    """The median time of repeated runs. The first, which fills arenas and caches, counts only if it is the only one."""
    spent: list[float] = []
    while len(spent) <= repeats and sum(spent) < _ENOUGH_S:
        started = time.monotonic()
        session.run(inputs, soft_limit_s=soft_limit_s)
        spent.append(time.monotonic() - started)
    return median(spent[1:] or spent)
