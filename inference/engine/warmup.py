"""Runs every batch size once before a session is called ready, and tells what each costs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from inference.engine.backends import LoadedSession
from inference.engine.errors import WarmUpFailed
from inference.engine.memory import resident_bytes
from inference.engine.samples import NOTHING_SAID, Sample, sample_inputs, takes_rows
from inference.tensors.errors import InferenceError
from inference.tensors.prepare import Array

Profile = Mapping[int, float]  # rows in one run -> seconds

_ENOUGH_S = 0.5  # on one rung: a model this slow shows its cost in few runs


def ladder(max_batch: int) -> tuple[int, ...]:
    """List the powers of two below `max_batch`, and `max_batch` itself."""
    rungs = [1]
    while rungs[-1] * 2 < max_batch:
        rungs.append(rungs[-1] * 2)
    return tuple(rungs) if max_batch <= 1 else (*rungs, max_batch)


def warm_up(
    session: LoadedSession,
    *,
    max_batch: int = 1,
    sample: Sample = NOTHING_SAID,
    repeats: int = 5,
    soft_limit_s: float | None = None,
) -> Profile:
    """Run each rung of the ladder and give the median seconds by rows; raise WarmUpFailed if one fails.

    A session that takes no rows is run as it is, and its only rung is 1. In the end the runtime's memory holds what
    the largest batch needs, and not what each smaller one has left behind.
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
    """What a loaded file takes, and what runs of so many rows add to that; measured in a process of its own."""

    loaded_bytes: int
    by_rows: Mapping[int, int]  # of every rung that ran and fitted, the first among them always
    asked_rows: int  # the largest rung that was to be run
    beyond: tuple[int, int] | None = None  # the first rung that took too much, and what it took
    failure: str = ""  # why the rung after the last did not run
    row_bytes: int = 0  # of the inputs of one row, by which all this was measured

    def most_rows(self, rows: int, limit_bytes: int) -> int:
        """The largest batch up to `rows` whose runs add no more than `limit_bytes`; one row, whatever it takes."""
        fitting = [rung for rung, needed in self.by_rows.items() if needed <= limit_bytes]
        return max(1, min(rows, max(fitting, default=1)))

    def footprint_bytes(self, rows: int) -> int:
        """What the file takes with batches of up to so many rows."""
        return self.loaded_bytes + next(
            (needed for rung, needed in sorted(self.by_rows.items()) if rung >= rows),
            max(self.by_rows.values()),
        )

    def covers(self, rows: int, limit_bytes: int) -> bool:
        """Whether nothing more has to be measured to know `most_rows`."""
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
    sample: Sample = NOTHING_SAID,
    repeats: int = 5,
    soft_limit_s: float | None = None,
    measure: Callable[[], int] = resident_bytes,
) -> tuple[Profile, MemoryUse]:
    """Climb the ladder up to the largest batch that runs and whose memory stays within the limit; the first rung must run.

    Each rung begins with a shrunk arena, so that it shows what it takes by itself. For a process that does nothing else.
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


def _cost(
    session: LoadedSession, inputs: Mapping[str, Array], repeats: int, soft_limit_s: float | None
) -> float:
    """Time repeated runs; the first, which fills arenas and caches, counts only when it is the only one."""
    spent: list[float] = []
    while len(spent) <= repeats and sum(spent) < _ENOUGH_S:
        started = time.monotonic()
        session.run(inputs, soft_limit_s=soft_limit_s)
        spent.append(time.monotonic() - started)
    return median(spent[1:] or spent)
