"""Runs a model to show whether rows of different callers may share a run: N rows together must equal the same N apart.

A free first axis proves nothing: a mean over rows has one, and so does a recurrent net whose first axis is time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np

from inference.engine.backends import Session
from inference.engine.errors import RunTimedOut
from inference.engine.row_generators import RowGenerator, neighbours, row_generators
from inference.engine.warmup import ladder
from inference.tensors.arrays import Array, Tensors, distance, is_close, is_equal, largest
from inference.tensors.errors import InferenceError
from inference.tensors.samples import EMPTY_SAMPLE, Sample, takes_rows

TIME_LIMIT_S = 10.0
_POOL_ROWS = 12  # different rows that run one by one; larger batches repeat them
_FULL_RUNS = 18  # approximate number of runs for all checks of one size
_OTHER_SEEDS = (1, 2, 3)
_CLEAR_DIFFERENCE = 10.0  # times the tolerance: answers that differ by more are certainly different
_CPU = "CPUExecutionProvider"

NO_ROW_AXIS = "no_row_axis"
# Prefixes of operators whose result for a row depends on the other rows, or on chance, even if a few runs do not show it.
_QUANTIZES = "DynamicQuantize"
_DRAWS = ("Random", "Multinomial", "Bernoulli")


@dataclass(frozen=True, slots=True)
class BatchProof:
    """How many rows of several requests may share a run, and why not more. 1: each request runs alone."""

    rows: int
    code: str  # proven, or why it is not
    reason: str
    asked_rows: int = 1  # the largest batch to prove

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "BatchProof":
        return cls(int(data["rows"]), str(data["code"]), str(data["reason"]), int(data["asked_rows"]))


def prove_batches(
    session: Session,
    operators: Iterable[str],
    *,
    max_rows: int,
    examples: Tensors | None = None,
    sample: Sample = EMPTY_SAMPLE,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> BatchProof:
    """Find the largest batch, up to `max_rows`, in which no row's answer depends on the other rows.

    1. Refuse, before a run, what the file itself rules out: a required input without a row axis, dynamic quantization,
       random numbers.
    2. For 2, 3 and the largest number of rows that the time allows: two identical runs are equal; a row keeps its answer
       when the others are replaced, and at any position; the rows get the same answers together as alone; each output
       has one row for each input row, or is the same in every run.
    3. The rows' answers must differ from each other; otherwise a mix-up would go unnoticed.

    `examples` (rows stacked on the first axis) are tried before generated rows, which some models cannot tell apart.
    Generated rows have the sizes of `sample`, on which the file is known to run.
    """
    operators = frozenset(operators)
    try:
        _check_file(session, operators, sample)
        rows = _BatchProver(session, max_rows, clock() + time_limit_s, clock).run(examples, sample)
    except _MergeRefused as refused:
        reason = refused.reason
        if refused.code == "not_repeatable" and "Dropout" in operators:
            reason += " Its dropout seems to be in training mode; export it for inference."
        return BatchProof(1, refused.code, reason, max_rows)
    except RunTimedOut:
        return BatchProof(1, "out_of_time", f"The proof did not finish within {time_limit_s:g} s.", max_rows)
    except InferenceError as error:
        text = f"The model failed on generated rows: {error} Give it examples and check it again."
        return BatchProof(1, "failed", text, max_rows)
    reason = f"Up to {rows:,} rows of different requests can share a run."
    if rows < max_rows:
        reason += f" Batches of {max_rows:,} could not be proven within {time_limit_s:g} s."
    return BatchProof(rows, "proven", reason, max_rows)


class _MergeRefused(Exception):
    """The reason why requests must not be merged."""

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
        what = f"Input {fixed[0].name[:80]!r} has no free first axis" if fixed else "The model has no input"
        raise _MergeRefused(NO_ROW_AXIS, f"{what}, so a run holds one request.")
    if not takes_rows(signature, sample):
        raise _MergeRefused(
            NO_ROW_AXIS, "The model does not run on a single row, so each run holds one request."
        )
    for name in sorted(operators):
        if name.startswith(_QUANTIZES):
            reason = f"Its quantization depends on the whole batch ({name}), so other rows would change a row's answer."
            raise _MergeRefused("dynamic_quantization", reason)
        if name.startswith(_DRAWS):
            raise _MergeRefused(
                "random_numbers", f"The model draws random numbers ({name}), so no two runs are alike."
            )


@dataclass(frozen=True, slots=True)
class _Pool:
    """Rows, and each row's answer when it runs alone."""

    generator: RowGenerator
    rows: Tensors
    answers: Sequence[Mapping[str, Array]]
    pairs: Sequence[tuple[int, int]]  # indexes of rows whose answers certainly differ

    @property
    def size(self) -> int:
        return len(self.answers)

    def batch(self, indexes: Sequence[int]) -> dict[str, Array]:
        return {name: tensor[list(indexes)] for name, tensor in self.rows.items()}


class _BatchProver:
    """Checks one session until everything is proven, something fails, or the time is up."""

    def __init__(self, session: Session, max_rows: int, ends_at: float, clock: Callable[[], float]) -> None:
        self._session, self._max_rows = session, max_rows
        self._ends_at, self._clock = ends_at, clock
        self._common = {
            spec.name for spec in session.signature.outputs if not spec.any_rank and spec.shape[:1] != (None,)
        }
        self._rng = np.random.default_rng(13)
        self._row_s = 0.0  # time per row in the largest batch so far
        self._spread = 0.0  # largest difference between two equal runs; 0 on the CPU

    def run(self, examples: Tensors | None, sample: Sample) -> int:
        """The largest number of rows that passed all checks."""
        if self._max_rows < 2:
            raise _MergeRefused("batches_of_one", "The version's largest batch is one row.")
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
                except InferenceError:  # too large for the time or memory; the proof for fewer rows is kept
                    continue
                proven = rows
                break
        self._check_between(pool, proven)
        return proven

    def _check_between(self, pool: _Pool, largest: int) -> None:
        """Check the sizes in between briefly: a model may depend on the number of rows."""
        rungs = {rows for rung in ladder(largest) for rows in (rung, rung + 1)}
        for rows in sorted(rungs):
            if 3 < rows < largest and self._has_time_for(rows, 2):
                order = self._order(pool, rows)
                self._check_size(pool, order, self._answer(pool.batch(order)))

    def _pool(self, examples: Tensors | None, sample: Sample) -> _Pool:
        """Rows that the model runs on and tells apart."""
        error: InferenceError | None = None
        has_run = False
        for generator in row_generators(self._session.signature, examples, sample, self._answer):
            try:
                pool = self._answer_singly(generator, seed=0)
            except InferenceError as refused:
                if isinstance(refused, RunTimedOut):
                    raise
                error = refused
                continue
            has_run = True
            if pool.pairs:
                return pool
        if error is not None and not has_run:
            raise error
        raise _MergeRefused(
            "not_shown",
            "The model gave the same answer for all rows that were tried, so a mix-up would go unnoticed;"
            " give it examples whose answers differ, and check it again.",
        )

    def _answer_singly(self, generator: RowGenerator, *, seed: int) -> _Pool:
        rows = generator.rows(np.random.default_rng(seed), _POOL_ROWS)
        count = len(next(iter(rows.values())))
        singles = [
            self._answer({name: tensor[at : at + 1] for name, tensor in rows.items()}) for at in range(count)
        ]
        pairs = [pair for pair in permutations(range(count), 2) if _differ(*(singles[at] for at in pair))]
        return _Pool(generator, rows, singles, pairs)

    def _check(self, pool: _Pool, rows: int) -> None:
        """Run all checks for this number of rows."""
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
        except _MergeRefused:  # one near tie is not enough to refuse; three other sets of rows must pass
            for seed in _OTHER_SEEDS:
                other = self._answer_singly(pool.generator, seed=seed)
                order = self._order(other, rows)
                self._check_size(other, order, self._answer(other.batch(order)))

    def _check_repeatable(self, batch: Tensors, together: Tensors) -> None:
        again = self._answer(batch)
        if self._session.provider != _CPU:
            self._spread = max([self._spread, *(distance(together[name], again[name]) for name in together)])
        for name, tensor in together.items():
            is_same = is_equal if self._session.provider == _CPU else is_close
            if not is_same(tensor, again[name]):
                raise _MergeRefused(
                    "not_repeatable", f"Two identical runs gave different answers in output {name[:80]!r}."
                )

    def _check_shape(self, pool: _Pool, together: Tensors, rows: int) -> None:
        for name, tensor in together.items():
            single = pool.answers[0][name]
            if name in self._common:
                if all(is_equal(answer[name], tensor) for answer in pool.answers):
                    continue
                reason = f"Output {name[:80]!r} has no row axis, and is not the same in every run."
            elif single.shape[:1] == (1,) and tensor.shape == (rows, *single.shape[1:]):
                continue
            else:
                shapes = f"{list(tensor.shape)} for {rows} rows and {list(single.shape)} for one"
                reason = f"Output {name[:80]!r} has shape {shapes}, so it cannot be split by row."
            raise _MergeRefused("shape", reason)

    def _check_neighbours(self, pool: _Pool, order: Sequence[int], together: Tensors) -> None:
        """Replace half of the rows, then the other half."""
        batch, rows = pool.batch(order), len(order)
        for stays in self._halves(rows):
            for kind, others in neighbours(pool.generator, self._rng, batch):
                mixed = {name: tensor.copy() for name, tensor in batch.items()}
                for name, tensor in others.items():
                    mixed[name][~stays] = tensor[~stays]
                try:
                    answer = self._answer(mixed)
                except RunTimedOut:
                    raise
                except InferenceError:  # such a neighbour fails the batch, and then each request runs alone
                    continue
                for name, tensor in together.items():
                    if not self._is_kept(name, tensor, answer[name], stays):
                        raise _MergeRefused(
                            "neighbours",
                            f"A row's answer in output {name[:80]!r} changed when its neighbours were replaced by {kind},"
                            f" in batches of {rows}.",
                        )

    def _is_kept(self, name: str, before: Array, after: Array, stays: Any) -> bool:
        """Whether the rows that stayed kept their answers, to within the rounding error of each row's own numbers."""
        if name in self._common:
            return is_equal(before, after, spread=self._spread)
        return before.shape == after.shape and all(
            is_equal(before[at : at + 1], after[at : at + 1], spread=self._spread)
            for at in np.flatnonzero(stays)
        )

    def _check_position(self, pool: _Pool, order: Sequence[int], together: Tensors) -> None:
        rows = len(order)
        for moved in (np.arange(rows)[::-1], np.roll(np.arange(rows), 1)):
            answer = self._answer(pool.batch([order[index] for index in moved]))
            for name, tensor in together.items():
                before = tensor if name in self._common else tensor[moved]
                if not is_equal(before, answer[name], scale=largest(tensor), spread=self._spread):
                    raise _MergeRefused(
                        "position",
                        f"A row's answer in output {name[:80]!r} changed with its position in the batch, in batches of {rows}.",
                    )

    def _check_size(self, pool: _Pool, order: Sequence[int], together: Tensors) -> None:
        """Check that rows get the same answers together as alone."""
        for name, tensor in together.items():
            if name in self._common:
                continue
            singles = np.concatenate([pool.answers[index][name] for index in order])
            if not is_close(singles, tensor, scale=largest(tensor)):
                raise _MergeRefused(
                    "size",
                    f"Output {name[:80]!r} differs when {len(order)} rows run together instead of alone.",
                )

    def _answer(self, batch: Tensors) -> dict[str, Array]:
        left_s = self._ends_at - self._clock()
        if left_s <= 0:
            raise RunTimedOut("the time for its batch proof is up.")
        return self._session.run(batch, soft_limit_s=left_s)

    def _has_time_for(self, rows: int, runs: int) -> bool:
        return runs * rows * self._row_s <= self._ends_at - self._clock()

    def _order(self, pool: _Pool, rows: int) -> list[int]:
        """Rows of the pool in random order, at least two with different answers. Large batches repeat rows."""
        order = list(pool.pairs[int(self._rng.integers(len(pool.pairs)))]) if pool.pairs else []
        while len(order) < rows:
            order += map(int, self._rng.permutation(pool.size))
        order = order[:rows]
        self._rng.shuffle(order)
        return order

    def _halves(self, rows: int) -> Iterator[Any]:
        """Masks of the rows that stay. Each row stays in at least one of them."""
        if rows <= 3:
            for index in range(rows):
                yield np.arange(rows) == index
            return
        stays = self._rng.permutation(np.arange(rows) % 2 == 0)
        yield stays
        yield ~stays


def _differ(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Whether two answers certainly differ in some output."""
    return any(not is_close(one[name], other[name], times=_CLEAR_DIFFERENCE) for name in one)
