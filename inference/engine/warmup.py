"""Runs every batch size once before a session is called ready, and tells what each costs."""

import time
from collections.abc import Mapping
from statistics import median

from inference.engine.backends import Session
from inference.engine.errors import EngineError, WarmUpFailed
from inference.engine.tensors import Array, example_for

Profile = Mapping[int, float]  # rows in one run -> seconds

_ENOUGH_S = 0.5  # on one rung: a model this slow shows its cost in few runs


def ladder(max_batch: int) -> tuple[int, ...]:
    """List the powers of two below `max_batch`, and `max_batch` itself."""
    rungs = [1]
    while rungs[-1] * 2 < max_batch:
        rungs.append(rungs[-1] * 2)
    return tuple(rungs) if max_batch <= 1 else (*rungs, max_batch)


def warm_up(
    session: Session,
    *,
    max_batch: int = 1,
    dynamic: int = 1,
    repeats: int = 5,
    soft_limit_s: float | None = None,
    example: Mapping[str, Array] | None = None,
) -> Profile:
    """Run each rung of the ladder and give the median seconds by rows; raise WarmUpFailed if one fails.

    A session that cannot batch is run as it is, and its only rung is 1. `dynamic` is the size of dynamic
    axes other than the first; `example` (one row of each input) replaces the zeros of the signature.
    """
    has_row_axis = session.signature.has_row_axis
    profile = {}
    for rows in ladder(max_batch) if has_row_axis else (1,):
        inputs = example_for(session.signature, rows=rows, other=dynamic)
        if example is not None:
            inputs = {
                name: one.repeat(rows, axis=0) if has_row_axis else one for name, one in example.items()
            }
        try:
            profile[rows] = _cost(session, inputs, repeats, soft_limit_s)
        except EngineError as error:
            raise WarmUpFailed(
                f"The version loaded, but a warm-up run of {rows} rows failed: {error}"
                " Check the file, or lower the version's largest batch."
            ) from error
    return profile


def _cost(session: Session, inputs: Mapping[str, Array], repeats: int, soft_limit_s: float | None) -> float:
    """Time repeated runs; the first, which fills arenas and caches, counts only when it is the only one."""
    spent: list[float] = []
    while len(spent) <= repeats and sum(spent) < _ENOUGH_S:
        started = time.monotonic()
        session.run(inputs, soft_limit_s=soft_limit_s)
        spent.append(time.monotonic() - started)
    return median(spent[1:] or spent)
