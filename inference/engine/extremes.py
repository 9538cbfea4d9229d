"""Runs a file on whole numbers that callers may send and samples do not have: with some of them, some files end the process."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product

import numpy as np

from inference.engine.backends import LoadedSession
from inference.engine.samples import Sample, required, sample_inputs
from inference.tensors.errors import InferenceError
from inference.tensors.prepare import Array
from inference.tensors.signature import Signature, TensorSpec

TIME_LIMIT_S = 3.0
MOST_RUNS = 100
_ALL_COMBINED = 3  # inputs of whole numbers that are tried in all combinations

Values = dict[str, int]


def try_extremes(
    session: LoadedSession,
    sample: Sample,
    *,
    tell: Callable[[str], object],
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Run the file with its inputs of whole numbers at -1, 0 and their ends, and everything else as in the sample.

    `tell` gets each run's values before it: where the process ends, they are the last that were told. What the runtime
    refuses counts for nothing, and so does a lack of memory or time.
    """
    ends_at = clock() + time_limit_s
    runs = 0
    given = sample_inputs(session.signature, sample)
    for values in combinations(session.signature):
        left_s = ends_at - clock()
        if left_s <= 0 or runs == MOST_RUNS:
            break
        tell(in_words(values))
        runs += 1
        with suppress(InferenceError, MemoryError):
            session.run({**given, **_filled(given, values)}, soft_limit_s=left_s)
    return runs


def combinations(signature: Signature) -> Iterator[Values]:
    """What to try: all inputs alike first, then few inputs in all combinations, and of many each one by itself."""
    choices = {spec.name: _extremes(spec) for spec in required(signature) if spec.dtype.kind in "iu"}
    if not choices:
        return
    seen: set[tuple[tuple[str, int], ...]] = set()
    for values in (*_alike(choices), *_mixed(choices)):
        key = tuple(values.items())
        if key not in seen:
            seen.add(key)
            yield values


def in_words(values: Values) -> str:
    shown = [f"{name[:80]!r} = {value}" for name, value in values.items()]
    return ", ".join(shown[:4]) + (" and others" if len(shown) > 4 else "")


def _extremes(spec: TensorSpec) -> list[int]:
    ends = np.iinfo(spec.dtype)
    return list(dict.fromkeys([max(-1, int(ends.min)), 0, int(ends.min), int(ends.max)]))


def _alike(choices: dict[str, list[int]]) -> Iterator[Values]:
    for place in range(max(map(len, choices.values()))):
        yield {name: values[min(place, len(values) - 1)] for name, values in choices.items()}


def _mixed(choices: dict[str, list[int]]) -> Iterator[Values]:
    if len(choices) <= _ALL_COMBINED:
        for chosen in product(*choices.values()):
            yield dict(zip(choices, chosen, strict=True))
    else:
        for name, values in choices.items():
            yield from ({name: value} for value in values)


def _filled(given: dict[str, Array], values: Values) -> dict[str, Array]:
    return {name: np.full_like(given[name], value) for name, value in values.items()}
