"""The queue of one version, its batches and their answers. It lives on the engine's loop."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from inference.engine.backends import AsyncSession, Session
from inference.engine.batch_runs import LOOP_RUN_S, BatchConfig, BatchRunner, output_too_large
from inference.engine.combiner import Combiner, Priority, RequestBatch
from inference.engine.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineStopped,
    OutOfMemory,
    RunStuck,
    SlotLost,
)
from inference.engine.latency import CostCurve, FixedPace, Pace
from inference.engine.loop import EngineLoop
from inference.engine.merge import AuditSample, RowRules, RunResult, Sampler
from inference.engine.meters import Meters
from inference.engine.requests import (
    Cancellation,
    EngineAnswer,
    EngineRequest,
    QueuedCall,
    TaskCall,
    ThreadCall,
)
from inference.engine.threads import Runners
from inference.tensors.arrays import Tensors, distance, is_close, is_finite, largest
from inference.tensors.errors import InferenceError

_log = logging.getLogger("roundhouse.engine")

_CAREFUL_RUNS = 200  # at half the size, after a run that ran out of memory
_LEARN_EVERY = 4  # the cost curve sees one run in this many, unless a latency target depends on it
_LATE_S = 0.5  # how long after its deadline a thread stops waiting, even if the loop has not woken it


@dataclass(frozen=True, slots=True)
class Health:
    """Whether requests are moving. If `is_broken`, the process must drain and be replaced."""

    is_broken: bool
    lost_runs: int  # runs whose lease has ended but that have not come back
    waiting: int
    oldest_wait_s: float
    is_moving: bool

    @property
    def is_ok(self) -> bool:
        return self.is_moving and not self.is_broken and not self.lost_runs


class Batcher:
    """Batches the requests of one version. Its state belongs to the loop; other threads only post to it.

    Everything that has arrived by the end of a loop turn becomes one batch. While it runs, the next one fills.
    """

    def __init__(
        self,
        session: Session | AsyncSession,
        config: BatchConfig | None = None,
        *,
        loop: EngineLoop,
        runners: Runners | None = None,
        bulk_runners: Runners | None = None,
        curve: CostCurve | None = None,
        pace: Pace | None = None,
        on_hard_limit: Callable[[], None] | None = None,
        on_out_of_memory: Callable[[], None] | None = None,
        on_sample: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """An `AsyncSession` needs no runners. `on_out_of_memory` is called in a thread, once for runs that fail this way at
        the same time; no batch starts until it has returned."""
        self.session = session
        self.config = config or BatchConfig()
        self.curve = curve
        self._loop, self._runners = loop, runners or Runners("engine-run")
        self._pace = pace or FixedPace()
        self._rules = RowRules(session.signature, merges=self.config.merges)
        self._on_hard_limit, self._on_out_of_memory = on_hard_limit, on_out_of_memory
        self._is_freeing_memory = False
        self._runs_until_larger = 0  # 0: batches may have their full size
        self._on_sample, self._sampler = on_sample, Sampler()
        self._clock = clock
        self._combiner: Combiner[QueuedCall] = Combiner(
            self.config.limits,
            self._end_with_error,
            max_batch_rows=self._pace.max_batch_rows,
            wait_s=self._pace.wait_s,
        )
        self._runner = BatchRunner(
            session,
            self.config,
            self._rules,
            loop=loop,
            runners=self._runners,
            bulk_runners=bulk_runners or self._runners,
            curve=curve,
            clock=clock,
            finish=self._finish,
            stop_merging=self.stop_merging,
        )
        self._slots = self.config.limits.slots
        self._lost: list[RequestBatch[QueuedCall]] = []
        self._running_since: dict[RequestBatch[QueuedCall], float] = {}  # also read by the watching thread
        self._is_broken = False
        self._was_stopped = False
        self._learned = 0
        self._is_flush_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = math.inf
        self._idle = threading.Event()
        self._meters = Meters(footprint_bytes=session.footprint_bytes())
        self._meters_lock = threading.Lock()

    async def infer(self, tensors: Tensors, request: EngineRequest) -> EngineAnswer:
        """Answer one request, or raise an InferenceError. The tensors must fit the signature.

        Await it in a task of the loop; in a thread, run it with `complete`.
        """
        if not self._loop.is_current:
            return self.infer_from_thread(tensors, request)
        call = TaskCall(self._rules.shape_of(tensors, request.outputs), tensors, request, False)
        call.future = self._loop.asyncio.create_future()
        self._offer(call, request.cancellation)
        try:
            await call.future
        except asyncio.CancelledError:
            self._withdraw(call)
            raise
        return self._answer(call)

    def infer_from_thread(
        self, tensors: Tensors, request: EngineRequest, *, is_audit: bool = False
    ) -> EngineAnswer:
        """Like `infer`, but blocks the calling thread. An audit runs alone and is not counted."""
        shape = self._rules.shape_of(tensors, request.outputs)
        call = ThreadCall((object(), *shape[1:]) if is_audit else shape, tensors, request, is_audit)
        self._loop.post(partial(self._offer_for_thread, call, request.cancellation))
        try:
            patience_s = max(0.0, min(request.deadline - self._clock() + _LATE_S, threading.TIMEOUT_MAX))
            if not call.sleep.acquire(timeout=patience_s):
                raise DeadlineExceeded
        except BaseException:
            with suppress(EngineStopped):
                self._loop.post(partial(self._abandon, call))
            raise
        if call.next is not None:
            call.next.wake()
        return self._answer(call)

    def audit(self, *, timeout_s: float) -> str | None:
        """Run one sampled request again, alone. If its answer differs, stop merging and return what differs.

        Samples wait for the next call; one that cannot run in time is dropped.
        """
        sample = self._sampler.take()
        if sample is None:
            return None
        request = EngineRequest(
            sample.tensors, self._clock() + timeout_s, Priority.BULK, outputs=sample.outputs
        )
        try:
            alone = self.infer_from_thread(sample.tensors, request, is_audit=True).outputs
        except InferenceError:
            return None
        for name, output in alone.items():
            if not is_close(output, sample.answer[name], scale=sample.scales[name]):
                self.stop_merging()
                return (
                    f"Output {name[:80]!r} of a request that shared a run differs by"
                    f" {distance(output, sample.answer[name]):.3g} from its output when it runs alone."
                )
        return None

    @property
    def has_samples(self) -> bool:
        return self._sampler.has_any

    def merge_up_to(self, rows: int) -> None:
        """Let requests share runs of up to `rows` from the next run on, unless merging was stopped; 1 turns it off."""
        rows = 1 if self._was_stopped else rows
        self._rules.allow(rows > 1)
        self._pace = FixedPace(rows, self._pace.wait_s if rows > 1 else 0.0)
        self._combiner.max_batch_rows, self._combiner.wait_s = rows, self._pace.wait_s

    def stop_merging(self) -> None:
        """Run each request alone from the next run on, for good."""
        self._was_stopped = True
        self.merge_up_to(1)

    def health(self, timeout_s: float = 1.0) -> Health:
        """Check the queue on the loop. If the loop does not respond in time, report that nothing is moving."""
        try:
            return self._loop.call(self._health, timeout_s)
        except EngineStopped:
            return Health(self._is_broken, len(self._lost), 0, 0.0, is_moving=False)

    def check_hard_limit(self) -> None:
        """Mark the version as broken if a run does not end. Call it in a thread that needs neither loop nor queue."""
        oldest = min(list(self._running_since.values()), default=math.inf)
        if self._is_broken or self._clock() - oldest < self.config.hard_limit_s:
            return
        self._is_broken = True
        self._loop.post(partial(self._close, RunStuck))
        if self._on_hard_limit is not None:
            self._on_hard_limit()

    def resize(self, slots: int) -> None:
        """Run up to `slots` batches at once from now on."""
        self._slots = slots
        self._update_slots()
        self._loop.post(self._flush)

    def stats(self) -> Meters:
        """A copy of the meters, in constant time."""
        with self._meters_lock:
            self._meters.depth = self._combiner.waiting
            self._meters.running = len(self._combiner.running)
            return self._meters.copy()

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and let the accepted ones finish; False if some have not finished in time."""
        self._loop.post(partial(self._close, None))
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """Refuse new requests and end waiting ones with EngineStopped. Running ones are left to finish."""
        self._loop.post(partial(self._close, EngineStopped))

    # Everything from here on runs on the loop.

    def _offer(self, call: QueuedCall, cancellation: Cancellation | None) -> None:
        """Accept a request, or raise the reason for refusing it. It may run from the end of this turn on."""
        now = self._clock()
        try:
            if self._is_broken:
                raise RunStuck
            if cancellation is not None and cancellation.is_cancelled:
                raise Cancelled
            self._combiner.offer(call, now)
        except InferenceError as error:
            self._count_end(call, error)
            raise
        if cancellation is not None:
            cancellation.bind(partial(self._withdraw_from_thread, call))
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.asyncio.call_soon(self._flush)
        if call.deadline < self._wakes_at:
            self._wake_by(call.deadline, now)

    def _offer_for_thread(self, call: QueuedCall, cancellation: Cancellation | None) -> None:
        try:
            self._offer(call, cancellation)
        except InferenceError as error:
            call.result = error
            call.wake()

    def _flush(self) -> None:
        """Start what is due. After a run on the loop, other versions get their turn first."""
        self._is_flush_due = False
        now = self._clock()
        while (batch := self._combiner.take(now)) is not None:
            self._running_since[batch] = now
            result = self._runner.start(batch)
            if result is not None:
                self._finish(batch, result)
                return
        self._wake_by(self._combiner.wakes_at(), now)
        self._note_idle()

    def _finish(self, batch: RequestBatch[QueuedCall], result: RunResult | InferenceError) -> None:
        """End a batch that has come back, and start the next."""
        now = self._clock()
        self._running_since.pop(batch, None)
        try:
            self._end_calls(batch, result, now)
        except BaseException:
            self._combiner.lose(batch, SlotLost, now)
            raise
        finally:
            if self._lost and batch in self._lost:  # its lease had ended
                self._lost.remove(batch)
                self._update_slots()
            if self._combiner.waiting and not self._is_flush_due:
                self._is_flush_due = True
                self._loop.asyncio.call_soon(self._flush)
            if not self._combiner.is_open:
                self._note_idle()

    def _end_calls(
        self, batch: RequestBatch[QueuedCall], result: RunResult | InferenceError, now: float
    ) -> None:
        """End the calls of a batch, or send them back to run one by one."""
        if isinstance(result, InferenceError):
            if result.retryable:  # no request caused it, so none would do better alone
                self._combiner.lose(batch, lambda: type(result)(str(result)), now)
            elif isinstance(result, OutOfMemory):
                self._combiner.fail(batch, result, now, parts=2)
                self._recover_memory(batch)
            else:
                self._combiner.fail(batch, result, now)
            return
        answered = self._combiner.complete(batch, now)
        if self._runs_until_larger:
            self._count_careful_run()
        if not answered:
            return
        try:
            if not answered[0].is_audit:
                self._learn(batch, result, answered, now)
        finally:
            self._deliver(result, answered)

    def _deliver(self, result: RunResult, calls: list[QueuedCall]) -> None:
        sleeping = None
        for call in reversed(calls):
            call.result = result
            if isinstance(call, ThreadCall):
                call.next, sleeping = sleeping, call
            else:
                call.wake()
        if sleeping is not None:
            sleeping.wake()

    def _learn(
        self, batch: RequestBatch[QueuedCall], result: RunResult, answered: list[QueuedCall], now: float
    ) -> None:
        with self._meters_lock:
            queue_s = [batch.taken_at - call.offered_at for call in answered]
            self._meters.count_batch(batch.rows, queue_s, now - batch.taken_at, result.compute_s)
        if self.curve is not None:
            self._learned = (self._learned + 1) % _LEARN_EVERY
            if not self._learned or self._pace.learns:
                self.curve.observe(batch.rows, result.compute_s)
            if result.compute_s < LOOP_RUN_S:
                self._runner.short_bytes = max(self._runner.short_bytes, batch.nbytes)
        if self._pace.learns:
            slowest_s = now - answered[0].offered_at
            self._pace.observe(batch.rows, result.compute_s, slowest_s, now)
            self._combiner.max_batch_rows = self._pace.max_batch_rows
            self._combiner.wait_s = self._pace.wait_s

    def _recover_memory(self, batch: RequestBatch[QueuedCall]) -> None:
        """Merge less from now on, and start nothing until `on_out_of_memory` has returned."""
        if len(batch.tickets) > 1:
            self._combiner.max_batch_bytes = min(self._combiner.max_batch_bytes, batch.nbytes // 2)
            self._runs_until_larger = _CAREFUL_RUNS
        if self._on_out_of_memory is None or self._is_freeing_memory:
            return
        self._is_freeing_memory = True
        self._update_slots()
        try:
            self._runners.run(partial(self._free_memory, self._on_out_of_memory))
        except RuntimeError:  # the machine has no threads left
            self._resume()

    def _free_memory(self, on_out_of_memory: Callable[[], None]) -> None:
        try:
            on_out_of_memory()
        except Exception:  # noqa: BLE001 (logged; waiting requests run, or are refused one by one)
            _log.exception("memory of a version that ran out of it could not be freed")
        finally:
            with suppress(EngineStopped):
                self._loop.post(self._resume)

    def _resume(self) -> None:
        self._is_freeing_memory = False
        self._update_slots()
        self._flush()

    def _count_careful_run(self) -> None:
        """Allow larger batches again after some runs: the shortage may be over, or due to one odd request."""
        self._runs_until_larger -= 1
        if not self._runs_until_larger:
            most = self.config.limits.max_batch_bytes
            self._combiner.max_batch_bytes = min(most, 2 * self._combiner.max_batch_bytes)
            self._runs_until_larger = _CAREFUL_RUNS if self._combiner.max_batch_bytes < most else 0

    def _end_with_error(self, call: QueuedCall, error: InferenceError) -> None:
        call.result = error
        self._count_end(call, error)
        call.wake()

    def _count_end(self, call: QueuedCall, error: InferenceError) -> None:
        if not call.is_audit:
            with self._meters_lock:
                self._meters.count_end(error.code)

    def _withdraw(self, call: QueuedCall) -> None:
        self._combiner.cancel(call, Cancelled())
        self._note_idle()

    def _withdraw_from_thread(self, call: QueuedCall) -> None:
        with suppress(EngineStopped):  # then the request has ended
            self._loop.post(partial(self._withdraw, call))

    def _abandon(self, call: ThreadCall) -> None:
        """End a call whose thread has left, and wake the thread that it would have woken."""
        self._withdraw(call)
        if call.next is not None:
            call.next.wake()

    def _wake_by(self, at: float, now: float) -> None:
        """Look again by this time, even if nothing happens before then."""
        if at >= self._wakes_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = at
        self._timer = self._loop.asyncio.call_later(max(0.0, at - now), self._wake)

    def _wake(self) -> None:
        self._timer, self._wakes_at = None, math.inf
        self._expire()
        self._flush()
        self._wake_by(self._combiner.next_deadline(), self._clock())

    def _expire(self) -> None:
        self._lost += self._combiner.expire(self._clock())
        self._update_slots()

    def _health(self) -> Health:
        self._expire()
        self._flush()
        first = self._combiner.next_waiting()
        oldest_wait_s = self._clock() - first.offered_at if first else 0.0
        return Health(
            is_broken=self._is_broken,
            lost_runs=len(self._lost),
            waiting=self._combiner.waiting,
            oldest_wait_s=oldest_wait_s,
            is_moving=oldest_wait_s <= 2 * self.config.limits.lease_s,
        )

    def _close(self, error: Callable[[], InferenceError] | None) -> None:
        self._combiner.close(error)
        self._flush()

    def _note_idle(self) -> None:
        combiner = self._combiner
        if not combiner.is_open and not combiner.waiting and not combiner.running and not self._lost:
            self._idle.set()

    def _update_slots(self) -> None:
        """Start no run while memory is being freed, or while there are more lost runs than slots.

        Replacing one lost run shows whether only that run hangs. If the whole machine is slow, each further run
        would slow the others down and be lost too. So the queue waits until a run comes back, and its callers wait
        for that or for their deadline.
        """
        can_run = len(self._lost) <= self._slots and not self._is_freeing_memory
        self._combiner.slots = self._slots if can_run else 0

    # This runs in the caller's thread.

    def _answer(self, call: QueuedCall) -> EngineAnswer:
        """This call's part of its batch's result."""
        result = call.result
        if not isinstance(result, RunResult):
            raise result or SlotLost()
        outputs, non_finite = result.outputs, bool(result.non_finite)
        if result.is_merged:
            outputs = self._rules.part(result, call.start, call.rows)
            if (too_large := output_too_large(outputs, self.config.max_output_bytes)) is not None:
                self._count_end(call, too_large)
                raise too_large
            non_finite = non_finite and not all(is_finite(outputs[name]) for name in result.non_finite)
            if self._on_sample is not None and self._sampler.is_due(call.nbytes):
                self._sampler.add(
                    AuditSample(
                        call.tensors,
                        call.outputs,
                        {name: output.copy() for name, output in outputs.items()},
                        {name: largest(output) for name, output in result.outputs.items()},
                    )
                )
                self._on_sample()
        if non_finite:
            with self._meters_lock:
                self._meters.non_finite += 1
        return EngineAnswer(
            outputs, result.rows, result.taken_at - call.offered_at, result.compute_s, non_finite
        )
