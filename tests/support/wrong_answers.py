"""Many callers of one model at once, each compared with the bare runtime's answer to it alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from inference.tensors.arrays import is_close, largest

CALLERS = 24

Tensors = dict[str, Any]


def requests(model: Any, bare: Any, count: int, seed: int) -> Iterator[tuple[Tensors, Tensors]]:
    """Requests of one row mostly, and of a few; each with the bare runtime's answer."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        inputs = model.inputs(rng, int(rng.choice([1, 1, 1, 2, 3])))
        yield inputs, bare.run(inputs)


def wrong_answers(asked: list[tuple[Tensors, Tensors]], ask: Callable[[Tensors], Tensors]) -> int:
    # Of all answers: a single number near zero has no size of its own.
    scales = {name: max(largest(answer[name]) for _, answer in asked) for name in asked[0][1]}

    def is_right(request: tuple[Tensors, Tensors]) -> bool:
        inputs, expected = request
        got = ask(inputs)
        return all(is_close(expected[name], got[name], scale=scales[name], times=2) for name in expected)

    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(is_right, asked)).count(False)
