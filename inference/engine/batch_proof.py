"""Shows by running it whether rows of different callers may share a run: N rows together must equal the same N apart.

A free first axis proves nothing: a mean over rows has one, and so has a recurrent net whose first axis is time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np

from inference.engine.backends import Session, Tensors, type_ndarray
from inference.engine.errors import RunTimedOut
from inference.engine.made_up_rows import Maker, makers, neighbours
from inference.engine.samples import NOTHING_SAID, Sample, takes_rows
from inference.engine.tolerance import distance, is_close, is_equal, largest
from inference.engine.warmup import ladder
from inference.tensors.errors import InferenceError

TIME_LIMIT_S = 10.0
_POOL_ROWS = 12  # different rows that are run singly; larger batches repeat them
_FULL_RUNS = 18  # runs of one size, about
_OTHER_SEEDS = (1, 2, 3)
_BEYOND = 10.0  # times the tolerance: from there on two answers are different for sure
_CPU = "CPUExecutionProvider"

NO_ROW_AXIS = "no_row_axis"
# Operators whose answer to a row depends on the others, or on chance, whatever a few runs may show.
_QUANTIZES = "DynamicQuantize"  # what their names begin with
_DRAWS = ("Random", "Multinomial", "Bernoulli")


@dataclass(frozen=True, slots=True)
class BatchProof:
    """Up to how many rows of several requests may share a run, and why not more; 1: each request runs by itself."""

    rows: int
    code: str  # proven, or what stands against it
    reason: str
    asked_rows: int = 1  # the largest batch that was to be shown

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "BatchProof":
        return cls(int(told["rows"]), str(told["code"]), str(told["reason"]), int(told["asked_rows"]))


def prove_batches(
    session: Session,
    operators: Iterable[str],
    *,
    max_rows: int,
    examples: Tensors | None = None,
    sample: Sample = NOTHING_SAID,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> BatchProof:
    """Find the largest batch, up to `max_rows`, in which no row is changed by the others.

    1. What can be read from the file is refused without a run: a required input without an axis for rows, dynamic
       quantization, random numbers.
    2. At 2, 3 and the largest number of rows that the time allows: the same run twice is equal; a row keeps its
       answer when the others are replaced, and wherever it stands; the rows together answer as they do singly; every
       output has one row for each row of input, or is the same in every run.
    3. The rows' answers must differ from each other, or nothing of this would have been seen.

    `examples` (rows stacked on the first axis) are used instead of made-up rows, which some models cannot tell apart.
    Made-up rows have the sizes of `sample`, on which the file is known to run.
    """
    operators = frozenset(operators)
    try:
        _check_file(session, operators, sample)
        rows = _Proving(session, max_rows, clock() + time_limit_s, clock).run(examples, sample)
    except _Against as found:
        reason = found.reason
        if found.code == "not_repeatable" and "Dropout" in operators:
            reason += " Its dropout seems to be in training mode; export it for inference."
        return BatchProof(1, found.code, reason, max_rows)
    except RunTimedOut:
        return BatchProof(1, "out_of_time", f"It could not be shown within {time_limit_s:g} s.", max_rows)
    except InferenceError as error:
        text = f"It could not be run on rows made up for it: {error} Give it examples, and check it again."
        return BatchProof(1, "failed", text, max_rows)
    reason = f"Up to {rows:,} rows of different requests share a run."
    if rows < max_rows:
        reason += f" Batches of {max_rows:,} could not be shown to be right within {time_limit_s:g} s."
    return BatchProof(rows, "proven", reason, max_rows)


class _Against(Exception):
    """What stands against merging."""

    def __init__(self, code: str, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(reason)


def _check_file(session: Session, operators: frozenset[str], sample: Sample) -> None:
    signature = session.signature
    fixed = [
        spec
        for spec in signature.inputs
        if not spec.optional and (spec.any_rank or spec.shape[:1] != (None,))
    ]
    if fixed or not signature.has_row_axis:
        what = f"Input {fixed[0].name[:80]!r} has no first axis of any size" if fixed else "It takes no input"
        raise _Against(NO_ROW_AXIS, f"{what}, so a run holds one request.")
    if not takes_rows(signature, sample):
        raise _Against(NO_ROW_AXIS, "It does not run on a single row, so a run holds one request.")
    for name in sorted(operators):
        if name.startswith(_QUANTIZES):
            reason = (
                f"It quantizes by what is in the batch ({name}), so a neighbour would change a row's answer."
            )
            raise _Against("dynamic_quantization", reason)
        if name.startswith(_DRAWS):
            raise _Against("random_numbers", f"It draws random numbers ({name}), so no two runs are alike.")


@dataclass(frozen=True, slots=True)
class _Pool:
    """Rows and what each is answered when it runs by itself."""

    maker: Maker
    rows: Tensors
    answers: Sequence[Mapping[str, type_ndarray]]
    pairs: Sequence[tuple[int, int]]  # places of rows whose answers differ for sure

    @property
    def size(self) -> int:
        return len(self.answers)

    def batch(self, places: Sequence[int]) -> dict[str, type_ndarray]:
        return {name: tensor[list(places)] for name, tensor in self.rows.items()}


class _Proving:
    """One session, until everything held, something did not, or the time is over."""

    def __init__(self, session: Session, max_rows: int, ends_at: float, clock: Callable[[], float]) -> None:
        self._session, self._max_rows = session, max_rows
        self._ends_at, self._clock = ends_at, clock
        self._common = {
            spec.name for spec in session.signature.outputs if not spec.any_rank and spec.shape[:1] != (None,)
        }
        self._rng = np.random.default_rng(13)
        self._row_s = 0.0  # what a row takes in the largest batch so far
        self._spread = 0.0  # between two equal runs: nothing on the CPU

    def run(self, examples: Tensors | None, sample: Sample) -> int:
        """The largest number of rows for which all held."""
        if self._max_rows < 2:
            raise _Against("batches_of_one", "Its largest batch is one row.")
        pool = self._pool(examples, sample)
        small = [rows for rows in (2, 3) if rows <= self._max_rows]
        for rows in small:
            self._check(pool, rows)
        proven = small[-1]
        for rows in reversed(ladder(self._max_rows)):
            if rows <= proven:
                break
            if self._has_time_for(rows, _FULL_RUNS):
                try:
                    self._check(pool, rows)
                except (
                    InferenceError
                ):  # too large for the time or the memory: what holds for fewer rows stays
                    continue
                proven = rows
                break
        self._check_between(pool, proven)
        return proven

    def _check_between(self, pool: _Pool, largest: int) -> None:
        """Sizes between those that were looked at closely: a model may count its rows."""
        rungs = {rows for rung in ladder(largest) for rows in (rung, rung + 1)}
        for rows in sorted(rungs):
            if 3 < rows < largest and self._has_time_for(rows, 2):
                order = self._order(pool, rows)
                self._check_size(pool, order, self._answer(pool.batch(order)))

    def _pool(self, examples: Tensors | None, sample: Sample) -> _Pool:
        """Rows that the model runs on and tells apart."""
        error: InferenceError | None = None
        runs = False
        for maker in makers(self._session.signature, examples, sample, self._answer):
            try:
                pool = self._answered(maker, seed=0)
            except InferenceError as refused:
                if isinstance(refused, RunTimedOut):
                    raise
                error = refused
                continue
            runs = True
            if pool.pairs:
                return pool
        if error is not None and not runs:
            raise error
        raise _Against(
            "not_shown",
            "It gave all rows that were tried the same answer, so a mix-up would not have been seen;"
            " give it examples whose answers differ, and check it again.",
        )

    def _answered(self, maker: Maker, *, seed: int) -> _Pool:
        rows = maker.rows(np.random.default_rng(seed), _POOL_ROWS)
        count = len(next(iter(rows.values())))
        singles = [
            self._answer({name: tensor[at : at + 1] for name, tensor in rows.items()}) for at in range(count)
        ]
        pairs = [pair for pair in permutations(range(count), 2) if _differ(*(singles[at] for at in pair))]
        return _Pool(maker, rows, singles, pairs)

    def _check(self, pool: _Pool, rows: int) -> None:
        """All that must hold for so many rows."""
        order = self._order(pool, rows)
        started = self._clock()
        together = self._answer(pool.batch(order))
        self._row_s = (self._clock() - started) / rows
        self._check_repeatable(pool.batch(order), together)
        self._check_shape(pool, together, rows)
        self._check_neighbours(pool, order, together)
        self._check_position(pool, order, together)
        try:
            self._check_size(pool, order, together)
        except _Against:  # one near tie is no proof against it: three others must hold
            for seed in _OTHER_SEEDS:
                other = self._answered(pool.maker, seed=seed)
                order = self._order(other, rows)
                self._check_size(other, order, self._answer(other.batch(order)))

    def _check_repeatable(self, batch: Tensors, together: Tensors) -> None:
        again = self._answer(batch)
        if self._session.provider != _CPU:
            self._spread = max([self._spread, *(distance(together[name], again[name]) for name in together)])
        for name, tensor in together.items():
            is_same = is_equal if self._session.provider == _CPU else is_close
            if not is_same(tensor, again[name]):
                raise _Against(
                    "not_repeatable", f"The same run twice gave two answers in output {name[:80]!r}."
                )

    def _check_shape(self, pool: _Pool, together: Tensors, rows: int) -> None:
        for name, tensor in together.items():
            single = pool.answers[0][name]
            if name in self._common:
                if all(is_equal(answer[name], tensor) for answer in pool.answers):
                    continue
                reason = f"Output {name[:80]!r} has no axis for rows, and is not the same in every run."
            elif single.shape[:1] == (1,) and tensor.shape == (rows, *single.shape[1:]):
                continue
            else:
                shapes = f"{list(tensor.shape)} for {rows} rows and {list(single.shape)} for one"
                reason = (
                    f"Output {name[:80]!r} has shape {shapes}, so its rows cannot be given back one by one."
                )
            raise _Against("shape", reason)

    def _check_neighbours(self, pool: _Pool, order: Sequence[int], together: Tensors) -> None:
        """Half of the rows stay, the others are replaced; then the other way round."""
        batch, rows = pool.batch(order), len(order)
        for stays in self._halves(rows):
            for kind, others in neighbours(pool.maker, self._rng, batch):
                mixed = {name: tensor.copy() for name, tensor in batch.items()}
                for name, tensor in others.items():
                    mixed[name][~stays] = tensor[~stays]
                try:
                    answer = self._answer(mixed)
                except RunTimedOut:
                    raise
                except InferenceError:  # such a neighbour fails the batch, and then each runs by itself
                    continue
                for name, tensor in together.items():
                    if not self._is_kept(name, tensor, answer[name], stays):
                        raise _Against(
                            "neighbours",
                            f"A row's answer in output {name[:80]!r} changed when its neighbours were replaced by {kind},"
                            f" in batches of {rows}.",
                        )

    def _is_kept(self, name: str, before: type_ndarray, after: type_ndarray, stays: Any) -> bool:
        """Whether the rows that stayed kept their answers, each to the last places of its own numbers."""
        if name in self._common:
            return is_equal(before, after, spread=self._spread)
        return before.shape == after.shape and all(
            is_equal(before[at : at + 1], after[at : at + 1], spread=self._spread)
            for at in np.flatnonzero(stays)
        )

    def _check_position(self, pool: _Pool, order: Sequence[int], together: Tensors) -> None:
        rows = len(order)
        for moved in (np.arange(rows)[::-1], np.roll(np.arange(rows), 1)):
            answer = self._answer(pool.batch([order[place] for place in moved]))
            for name, tensor in together.items():
                before = tensor if name in self._common else tensor[moved]
                if not is_equal(before, answer[name], scale=largest(tensor), spread=self._spread):
                    raise _Against(
                        "position",
                        f"A row's answer in output {name[:80]!r} changed with its place in the batch, in batches of {rows}.",
                    )

    def _check_size(self, pool: _Pool, order: Sequence[int], together: Tensors) -> None:
        """Rows that ran together are answered as they are by themselves."""
        for name, tensor in together.items():
            if name in self._common:
                continue
            singles = np.concatenate([pool.answers[place][name] for place in order])
            if not is_close(singles, tensor, scale=largest(tensor)):
                raise _Against(
                    "size",
                    f"{len(order)} rows together were answered differently in output {name[:80]!r} than the same rows singly.",
                )

    def _answer(self, batch: Tensors) -> dict[str, type_ndarray]:
        left_s = self._ends_at - self._clock()
        if left_s <= 0:
            raise RunTimedOut("the time for its batch proof is over.")
        return self._session.run(batch, soft_limit_s=left_s)

    def _has_time_for(self, rows: int, runs: int) -> bool:
        return runs * rows * self._row_s <= self._ends_at - self._clock()

    def _order(self, pool: _Pool, rows: int) -> list[int]:
        """Rows of the pool in any order, two at least with different answers; larger batches hold some twice."""
        order = list(pool.pairs[int(self._rng.integers(len(pool.pairs)))]) if pool.pairs else []
        while len(order) < rows:
            order += map(int, self._rng.permutation(pool.size))
        order = order[:rows]
        self._rng.shuffle(order)
        return order

    def _halves(self, rows: int) -> Iterator[Any]:
        """Which rows stay: each row in one of them at least."""
        if rows <= 3:
            for place in range(rows):
                yield np.arange(rows) == place
            return
        stays = self._rng.permutation(np.arange(rows) % 2 == 0)
        yield stays
        yield ~stays


def _differ(one: Mapping[str, type_ndarray], other: Mapping[str, type_ndarray]) -> bool:
    """Whether two answers differ in some output, and by more than any tolerance would hide."""
    return any(not is_close(one[name], other[name], times=_BEYOND) for name in one)
