"""Runs the batches of one version: on the loop if they are short, otherwise in a thread, or in another process."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from inference.engine.backends import AsyncSession, Session
from inference.engine.combiner import Priority, QueueLimits, RequestBatch
from inference.engine.errors import (
    EngineStopped,
    OutputTooLarge,
    RunFailed,
    RunTimedOut,
    SlotLost,
)
from inference.engine.latency import CostCurve
from inference.engine.loop import EngineLoop, off_loop_if_large
from inference.engine.merge import NotSplittable, RowRules, RunResult, non_finite_outputs, stack
from inference.engine.requests import QueuedCall
from inference.engine.threads import Runners
from inference.tensors.arrays import Array, Tensors, byte_size
from inference.tensors.errors import InferenceError

# A run on the loop blocks the requests of all other versions, so it must be short, and known to be short.
LOOP_RUN_S = 0.001  # expected
_LOOP_P99_S = 0.002
_LOOP_LIMIT_S = 0.020  # then the run is ended between two nodes and started again in a thread
_LOOP_BAN_S = (
    0.010  # of processor time; a version that once took this much on the loop runs in threads from then on
)
_LOOP_GROWTH = 2  # how many times larger than the largest short run so far


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """How one version is batched."""

    limits: QueueLimits = field(default_factory=QueueLimits)
    merges: bool = False  # rows of several requests may share a run; only if a batch proof allows it
    soft_limit_s: float | None = None
    hard_limit_s: float = 30.0
    max_output_bytes: int | None = None  # of one request's answer


class BatchRunner:
    """Runs batches and passes each result to `finish`, on the loop. `_run` may be in a thread; the rest is on the loop.

    A batch runs on the loop if the cost curve predicts a short run; without a curve, never. Batches led by bulk run in
    threads of their own. Those of an `AsyncSession` are awaited on the loop until the latest deadline of their callers.
    """

    def __init__(
        self,
        session: Session | AsyncSession,
        config: BatchConfig,
        rules: RowRules,
        *,
        loop: EngineLoop,
        runners: Runners,
        bulk_runners: Runners,
        curve: CostCurve | None,
        clock: Callable[[], float],
        finish: Callable[[RequestBatch[QueuedCall], RunResult | InferenceError], None],
        stop_merging: Callable[[], None],
    ) -> None:
        self._session, self._config, self._rules = session, config, rules
        self._loop, self._runners, self._bulk_runners = loop, runners, bulk_runners
        self._curve, self._clock = curve, clock
        self._finish, self._stop_merging = finish, stop_merging
        self._async_session = session if isinstance(session, AsyncSession) else None
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no reference to a task
        self._may_use_loop = curve is not None and not isinstance(session, AsyncSession) and session.is_steady
        self.short_bytes = 0  # of the largest run so far that was short

    def start(self, batch: RequestBatch[QueuedCall]) -> RunResult | InferenceError | None:
        """Run a batch. Returns the result if it ran on the loop; otherwise `finish` gets it later."""
        if self._async_session is not None:
            task = self._loop.asyncio.create_task(self._run_elsewhere(batch, self._async_session))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return None
        is_bulk, curve = batch.tickets[0].priority is Priority.BULK, self._curve
        if (
            self._may_use_loop
            and curve is not None
            and not is_bulk
            and curve.is_within(batch.rows, mean_s=LOOP_RUN_S, p99_s=_LOOP_P99_S)
            and batch.nbytes <= _LOOP_GROWTH * self.short_bytes
            and (result := self._run_on_loop(batch)) is not None
        ):
            return result
        try:
            (self._bulk_runners if is_bulk else self._runners).run(partial(self._run_and_post, batch))
        except RuntimeError:  # the machine has no threads left
            self._finish(batch, SlotLost())
        return None

    def _run_on_loop(self, batch: RequestBatch[QueuedCall]) -> RunResult | InferenceError | None:
        """None: it unexpectedly took too long, and must run again in a thread."""
        cpu_before_s = time.thread_time()  # processor time: on a busy machine any run may take a long time
        result = self._run(batch, limit_s=_LOOP_LIMIT_S)
        took_s = self._clock() - batch.taken_at
        if took_s > _LOOP_BAN_S and time.thread_time() - cpu_before_s > _LOOP_BAN_S:
            self._may_use_loop = False
        if isinstance(result, RunTimedOut) and took_s < (self._config.soft_limit_s or math.inf):
            return None
        return result

    def _run_and_post(self, batch: RequestBatch[QueuedCall]) -> None:
        result = self._run(batch)
        with suppress(EngineStopped):  # then no one is waiting for it
            self._loop.post(partial(self._finish, batch, result))

    async def _run_elsewhere(self, batch: RequestBatch[QueuedCall], session: AsyncSession) -> None:
        calls = batch.tickets
        try:
            feed = await off_loop_if_large(batch.nbytes, partial(_feed, calls))
            started_at, ends_at = self._clock(), max(call.deadline for call in calls)
            outputs = await session.ask(feed, calls[0].outputs, ends_at=ends_at)
            nbytes = sum(output.nbytes for output in outputs.values())
            result = await off_loop_if_large(nbytes, partial(self._result, batch, outputs, started_at))
        except BaseException as error:  # noqa: BLE001 - as in `_run`
            self._finish(batch, self._failure(batch, error))
        else:
            self._finish(batch, result)

    def _run(self, batch: RequestBatch[QueuedCall], limit_s: float = math.inf) -> RunResult | InferenceError:
        """Run the session once. This takes longer than everything else, and needs nothing that belongs to the loop."""
        session, calls = cast("Session", self._session), batch.tickets
        try:
            feed = _feed(calls)
            started_at = self._clock()
            soft_limit_s = self._config.soft_limit_s
            if limit_s != math.inf:
                soft_limit_s = limit_s if soft_limit_s is None else min(limit_s, soft_limit_s)
            outputs = session.run(feed, calls[0].outputs, soft_limit_s=soft_limit_s)
            return self._result(batch, outputs, started_at)
        except BaseException as error:  # noqa: BLE001 - a run must not end the loop or a runner
            return self._failure(batch, error)

    def _result(
        self, batch: RequestBatch[QueuedCall], outputs: dict[str, Array], started_at: float
    ) -> RunResult | OutputTooLarge:
        compute_s, is_merged = self._clock() - started_at, len(batch.tickets) > 1
        if is_merged:
            self._rules.check(outputs, batch.rows)
        elif (too_large := output_too_large(outputs, self._config.max_output_bytes)) is not None:
            return too_large  # not raised: the traceback would keep the outputs alive
        non_finite = non_finite_outputs(outputs)
        return RunResult(outputs, batch.rows, batch.taken_at, compute_s, non_finite, is_merged)

    def _failure(self, batch: RequestBatch[QueuedCall], error: BaseException) -> InferenceError:
        """Turn whatever was raised into a typed error."""
        if isinstance(error, NotSplittable):
            self._stop_merging()  # the model does not behave as its batch proof showed
            return error
        if isinstance(error, InferenceError):
            first, *others = batch.tickets
            return error if others else self._rules.explain(error, first.tensors)
        failure = RunFailed() if isinstance(error, Exception) else SlotLost()
        failure.__cause__ = error
        return failure


def output_too_large(outputs: Tensors, max_bytes: int | None) -> OutputTooLarge | None:
    """Check the size of one request's answer before it is copied, inspected or written."""
    if max_bytes is None or (size := byte_size(outputs)) <= max_bytes:
        return None
    return OutputTooLarge(
        f"The answer has {size:,} bytes, but the version's serving setting `max_output_bytes` allows {max_bytes:,}."
        " Request less at a time, or other outputs."
    )


def _feed(calls: list[QueuedCall]) -> Tensors:
    """Stack the calls' tensors, and note where each call's rows start."""
    first = calls[0]
    if len(calls) == 1:
        return first.tensors
    start = 0
    for call in calls:
        call.start = start
        start += call.rows
    return stack([call.tensors for call in calls])
