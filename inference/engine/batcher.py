"""The queue of one version and who runs it: lives on the engine's loop, and hands longer runs to threads."""

import asyncio
import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from inference.engine.backends import RemoteSession, Session, Tensors, type_ndarray
from inference.engine.combiner import WAITING, Batch, Combiner, Limits, Priority, Ticket
from inference.engine.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineStopped,
    OutOfMemory,
    OutputTooLarge,
    RunFailed,
    RunStuck,
    RunTimedOut,
    SlotLost,
)
from inference.engine.latency import CostCurve, FixedPace, Pace
from inference.engine.loop import EngineLoop, off_loop_if_large
from inference.engine.merge_audit import Sample, Sampler
from inference.engine.meters import Meters
from inference.engine.requests import Answer, Cancellation, EngineRequest
from inference.engine.rows import NotSplittable, Outcome, RowRules, bytes_of, is_finite, stack, suspects
from inference.engine.runners import Runners
from inference.engine.tolerance import distance, is_close, largest
from inference.tensors.errors import InferenceError

_log = logging.getLogger("roundhouse.engine")

# A run on the loop keeps every other version's requests waiting, so it must be short, and known to be.
_LOOP_RUN_S = 0.001  # expected of it
_LOOP_P99_S = 0.002
_LOOP_LIMIT_S = 0.020  # then it is ended between two nodes, and begun again on a thread
_LOOP_BAN_S = 0.010  # of processor time; a version that took it once runs on threads from then on
_LOOP_GROWTH = 2  # bytes of a run on the loop, against the largest that was short before
_CAREFUL_RUNS = 200  # of half the size, after a run that found no memory
_LEARN_EVERY = 4  # runs between two that the cost curve sees, where nobody holds a target by it
_LATE_S = 0.5  # after its deadline, a thread leaves although the loop has not told it


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """How one version is batched."""

    limits: Limits = field(default_factory=Limits)
    merges: bool = False  # rows of several requests may share a run: only where a batch proof says so
    soft_limit_s: float | None = None
    hard_limit_s: float = 30.0
    max_output_bytes: int | None = None  # of one request's answer


@dataclass(frozen=True, slots=True)
class Health:
    """Whether requests move. A process whose version `is_broken` must drain and be replaced."""

    is_broken: bool
    lost_runs: int  # runs whose lease has ended and that have not come back
    waiting: int
    oldest_wait_s: float
    is_moving: bool

    @property
    def is_ok(self) -> bool:
        return self.is_moving and not self.is_broken and not self.lost_runs


class _Call(Ticket, ABC):
    """A request, what it came to, and how whoever waits for it is told: `wake` is called on the loop, once."""

    __slots__ = ("is_audit", "outputs", "result", "start", "tensors")

    def __init__(
        self, shape: tuple[object, int, int], tensors: Tensors, request: EngineRequest, is_audit: bool
    ) -> None:
        self.key, self.rows, self.nbytes = shape  # all set here: a second __init__ is dear on this path
        self.deadline, self.priority = request.deadline, request.priority
        self.offered_at, self.standing = 0.0, WAITING
        self.tensors = tensors
        self.outputs = request.outputs
        self.is_audit = is_audit  # nobody asked for it, so it counts nowhere
        self.start = 0
        self.result: Outcome | InferenceError | None = None  # written once

    @abstractmethod
    def wake(self) -> None: ...


class _TaskCall(_Call):
    """A task of the loop waits for it."""

    __slots__ = ("future",)
    future: "asyncio.Future[None]"

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class _ThreadCall(_Call):
    """A thread waits for it. Those of one batch wake each other, one by one: threads that are woken all at once only
    queue for the interpreter's lock, and the loop would be among them.
    """

    __slots__ = ("gate", "next")

    def __init__(
        self, shape: tuple[object, int, int], tensors: Tensors, request: EngineRequest, is_audit: bool
    ) -> None:
        super().__init__(shape, tensors, request, is_audit)
        self.gate = threading.Lock()
        self.gate.acquire()
        self.next: _ThreadCall | None = None

    def wake(self) -> None:
        try:  # noqa: SIM105 - contextlib.suppress costs as much as the wake-up
            self.gate.release()
        except RuntimeError:
            pass  # it was woken before and has left


class Batcher:
    """Batches the requests of one version. All that waits and runs is known on the loop only; `_run` alone is elsewhere.

    What has arrived by the end of a turn of the loop is one batch. It runs on the loop where that is short beyond
    doubt, otherwise on a thread, while the next one gathers. Batches that bulk leads run on threads of their own. Those
    of a remote session are awaited on the loop until the most patient of their callers is gone.
    """

    def __init__(
        self,
        session: Session | RemoteSession,
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
        """Without a curve nothing is known of what a run takes, and none is on the loop. A remote session takes no runners.
        `on_out_of_memory` is called in a thread, once for runs that end so at the same time; no batch begins until it has
        returned."""
        self.session = session
        self._remote = session if isinstance(session, RemoteSession) else None
        self.config = config or BatchConfig()
        self.curve = curve
        self._loop, self._runners = loop, runners or Runners("engine-run")
        self._bulk_runners = bulk_runners or self._runners
        self._asking: set[asyncio.Task[None]] = set()  # the loop itself holds on to no task
        self._pace = pace or FixedPace()
        self._rules = RowRules(session.signature, merges=self.config.merges)
        self._on_hard_limit, self._on_out_of_memory = on_hard_limit, on_out_of_memory
        self._is_mending = False
        self._runs_until_larger = 0  # 0: batches are as large as they may be
        self._on_sample, self._sampler = on_sample, Sampler()
        self._clock = clock
        self._combiner: Combiner[_Call] = Combiner(
            self.config.limits,
            self._settle_error,
            max_batch_rows=self._pace.max_batch_rows,
            wait_s=self._pace.wait_s,
        )
        self._slots = self.config.limits.slots
        self._lost: list[Batch[_Call]] = []
        self._runs: dict[Batch[_Call], float] = {}  # since when; read by the thread that watches from outside
        self._is_broken = False
        self._was_stopped = False
        self._may_use_loop = (
            curve is not None and not isinstance(session, RemoteSession) and session.is_steady
        )
        self._short_bytes = 0  # the largest run that was short
        self._learned = 0
        self._is_flush_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = math.inf
        self._idle = threading.Event()
        self._meters = Meters(footprint_bytes=session.footprint_bytes())
        self._counting = threading.Lock()

    async def infer(self, tensors: Tensors, request: EngineRequest) -> Answer:
        """Answer one request, or raise an EngineError. The tensors fit the signature. A task of the loop waits; for a
        thread, `complete` runs this, and the thread sleeps until it is answered."""
        if not self._loop.is_here:
            return self.infer_from_thread(tensors, request)
        call = _TaskCall(self._rules.shape_of(tensors, request.outputs), tensors, request, False)
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
    ) -> Answer:
        """The same for a thread. An audit runs by itself, and is counted nowhere."""
        shape = self._rules.shape_of(tensors, request.outputs)
        call = _ThreadCall((object(), *shape[1:]) if is_audit else shape, tensors, request, is_audit)
        self._loop.post(partial(self._offer_for_thread, call, request.cancellation))
        try:
            if not call.gate.acquire(timeout=self._patience_s(request.deadline)):
                raise DeadlineExceeded
        except BaseException:
            with suppress(EngineStopped):
                self._loop.post(partial(self._leave, call))
            raise
        if call.next is not None:
            call.next.wake()
        return self._answer(call)

    def audit(self, *, timeout_s: float) -> str | None:
        """Run one sampled request again by itself; where it is answered otherwise, merge no more and say what differed.

        Samples wait for the next call of this; one that finds no room in time is dropped.
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
                    f" {distance(output, sample.answer[name]):.3g} from what it is answered by itself."
                )
        return None

    @property
    def has_samples(self) -> bool:
        return self._sampler.has_any

    def merge_up_to(self, rows: int) -> None:
        """Let requests share runs of so many rows from the next run on, unless merging was stopped; 1: none share one."""
        rows = 1 if self._was_stopped else rows
        self._rules.allow(rows > 1)
        self._pace = FixedPace(rows, self._pace.wait_s if rows > 1 else 0.0)
        self._combiner.max_batch_rows, self._combiner.wait_s = rows, self._pace.wait_s

    def stop_merging(self) -> None:
        """Each request runs by itself from the next run on, and nothing changes that any more."""
        self._was_stopped = True
        self.merge_up_to(1)

    def health(self, timeout_s: float = 1.0) -> Health:
        """Ask the queue itself; a loop that does not come to it in time moves nothing."""
        try:
            return self._loop.ask(self._health, timeout_s)
        except EngineStopped:
            return Health(self._is_broken, len(self._lost), 0, 0.0, is_moving=False)

    def check_hard_limit(self) -> None:
        """Break the version where a run does not end; from a thread that needs neither the loop nor the queue."""
        oldest = min(list(self._runs.values()), default=math.inf)
        if self._is_broken or self._clock() - oldest < self.config.hard_limit_s:
            return
        self._is_broken = True
        self._loop.post(partial(self._close, RunStuck))
        if self._on_hard_limit is not None:
            self._on_hard_limit()

    def resize(self, slots: int) -> None:
        """Run so many batches at once from now on."""
        self._slots = slots
        self._choke()
        self._loop.post(self._flush)

    def stats(self) -> Meters:
        """A copy of the meters, in constant time."""
        with self._counting:
            self._meters.depth = self._combiner.waiting
            self._meters.running = len(self._combiner.running)
            return self._meters.copy()

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and let the accepted ones end; False if some have not after so long."""
        self._loop.post(partial(self._close, None))
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """Refuse new requests and end the waiting ones with EngineStopped. Running ones end by themselves."""
        self._loop.post(partial(self._close, EngineStopped))

    # On the loop.

    def _offer(self, call: _Call, cancellation: Cancellation | None) -> None:
        """Accept a request, or raise why not. It may run from the end of this turn on."""
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
            cancellation.bind(partial(self._withdraw_from_outside, call))
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.asyncio.call_soon(self._flush)
        if call.deadline < self._wakes_at:
            self._wake_by(call.deadline, now)

    def _offer_for_thread(self, call: _Call, cancellation: Cancellation | None) -> None:
        try:
            self._offer(call, cancellation)
        except InferenceError as error:
            call.result = error
            call.wake()

    def _flush(self) -> None:
        """Run what is due; after a run on the loop the other versions have their turn first."""
        self._is_flush_due = False
        now = self._clock()
        while (batch := self._combiner.take(now)) is not None:
            self._runs[batch] = now
            if self._remote is not None:
                self._ask(batch, self._remote)
                continue
            if self._runs_on_loop(batch) and (outcome := self._run_on_loop(batch)) is not None:
                self._finish(batch, outcome)
                return
            self._run_on_thread(batch)
        self._wake_by(self._combiner.wakes_at(), now)
        self._note_idle()

    def _runs_on_loop(self, batch: Batch[_Call]) -> bool:
        curve = self.curve
        return (
            self._may_use_loop
            and curve is not None
            and batch.tickets[0].priority is not Priority.BULK
            and curve.is_within(batch.rows, mean_s=_LOOP_RUN_S, p99_s=_LOOP_P99_S)
            and batch.nbytes <= _LOOP_GROWTH * self._short_bytes
        )

    def _run_on_loop(self, batch: Batch[_Call]) -> Outcome | InferenceError | None:
        """None: it took longer than anybody could know, and goes on on a thread."""
        cpu_before_s = time.thread_time()  # of the processor: on a busy machine any run may take long
        outcome = self._run(batch, limit_s=_LOOP_LIMIT_S)
        took_s = self._clock() - batch.taken_at
        if took_s > _LOOP_BAN_S and time.thread_time() - cpu_before_s > _LOOP_BAN_S:
            self._may_use_loop = False
        if isinstance(outcome, RunTimedOut) and took_s < (self.config.soft_limit_s or math.inf):
            return None
        return outcome

    def _run_on_thread(self, batch: Batch[_Call]) -> None:
        is_bulk = batch.tickets[0].priority is Priority.BULK
        try:
            (self._bulk_runners if is_bulk else self._runners).run(partial(self._run_and_post, batch))
        except RuntimeError:  # no further thread is to be had
            self._finish(batch, SlotLost())

    def _run_and_post(self, batch: Batch[_Call]) -> None:
        outcome = self._run(batch)
        with suppress(EngineStopped):  # nobody waits for it any more
            self._loop.post(partial(self._finish, batch, outcome))

    def _ask(self, batch: Batch[_Call], session: RemoteSession) -> None:
        asking = self._loop.asyncio.create_task(self._ask_and_finish(batch, session))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _ask_and_finish(self, batch: Batch[_Call], session: RemoteSession) -> None:
        calls = batch.tickets
        try:
            feed = await off_loop_if_large(batch.nbytes, partial(_feed, calls))
            asked_at, ends_at = self._clock(), max(call.deadline for call in calls)
            outputs = await session.ask(feed, calls[0].outputs, ends_at=ends_at)
            nbytes = sum(output.nbytes for output in outputs.values())
            outcome = await off_loop_if_large(nbytes, partial(self._outcome, batch, outputs, asked_at))
        except BaseException as error:  # noqa: BLE001 - as in `_run`
            self._finish(batch, self._failure(batch, error))
        else:
            self._finish(batch, outcome)

    def _run(self, batch: Batch[_Call], limit_s: float = math.inf) -> Outcome | InferenceError:
        """One run of the session. It takes longer than all the rest, and needs nothing of the loop's."""
        session, calls = cast("Session", self.session), batch.tickets
        try:
            feed = _feed(calls)
            started_at = self._clock()
            soft_limit_s = self.config.soft_limit_s
            if limit_s != math.inf:
                soft_limit_s = limit_s if soft_limit_s is None else min(limit_s, soft_limit_s)
            outputs = session.run(feed, calls[0].outputs, soft_limit_s=soft_limit_s)
            return self._outcome(batch, outputs, started_at)
        except BaseException as error:  # noqa: BLE001 - neither the loop nor a runner ends because a run would
            return self._failure(batch, error)

    def _outcome(
        self, batch: Batch[_Call], outputs: dict[str, type_ndarray], started_at: float
    ) -> Outcome | OutputTooLarge:
        compute_s, is_merged = self._clock() - started_at, len(batch.tickets) > 1
        if is_merged:
            self._rules.check(outputs, batch.rows)
        elif (too_large := self._too_large(outputs)) is not None:
            return too_large  # not raised: its traceback would keep the outputs
        return Outcome(outputs, batch.rows, batch.taken_at, compute_s, suspects(outputs), is_merged)

    def _failure(self, batch: Batch[_Call], error: BaseException) -> InferenceError:
        """Whatever a runtime raises, as a typed error."""
        if isinstance(error, NotSplittable):
            self.stop_merging()  # the proof promised what the model does not keep
            return error
        if isinstance(error, InferenceError):
            first, *others = batch.tickets
            return error if others else self._rules.explained(error, first.tensors)
        failure = RunFailed() if isinstance(error, Exception) else SlotLost()
        failure.__cause__ = error
        return failure

    def _finish(self, batch: Batch[_Call], outcome: Outcome | InferenceError) -> None:
        """End a batch that has come back, and begin the next."""
        now = self._clock()
        self._runs.pop(batch, None)
        try:
            self._settle(batch, outcome, now)
        except BaseException:
            self._combiner.lose(batch, SlotLost, now)
            raise
        finally:
            if self._lost and batch in self._lost:  # its lease had ended meanwhile
                self._lost.remove(batch)
                self._choke()
            if self._combiner.waiting and not self._is_flush_due:
                self._is_flush_due = True
                self._loop.asyncio.call_soon(self._flush)
            if not self._combiner.is_open:
                self._note_idle()

    def _settle(self, batch: Batch[_Call], outcome: Outcome | InferenceError, now: float) -> None:
        """End the calls of a batch, or send them back to run singly."""
        if isinstance(outcome, InferenceError):
            if outcome.retryable:  # not the fault of any one request: none would do better alone
                self._combiner.lose(batch, lambda: type(outcome)(str(outcome)), now)
            elif isinstance(outcome, OutOfMemory):
                self._combiner.fail(batch, outcome, now, parts=2)
                self._mend(batch)
            else:
                self._combiner.fail(batch, outcome, now)
            return
        wanted = self._combiner.complete(batch, now)
        if self._runs_until_larger:
            self._try_larger()
        if not wanted:
            return
        try:
            if not wanted[0].is_audit:
                self._learn(batch, outcome, wanted, now)
        finally:
            self._give(outcome, wanted)

    def _mend(self, batch: Batch[_Call]) -> None:
        """Merge less from now on, and begin nothing until the device has been looked after."""
        if len(batch.tickets) > 1:
            self._combiner.max_batch_bytes = min(self._combiner.max_batch_bytes, batch.nbytes // 2)
            self._runs_until_larger = _CAREFUL_RUNS
        if self._on_out_of_memory is None or self._is_mending:
            return
        self._is_mending = True
        self._choke()
        try:
            self._runners.run(partial(self._mend_and_post, self._on_out_of_memory))
        except RuntimeError:  # no further thread is to be had
            self._go_on()

    def _try_larger(self) -> None:
        """The memory may have been somebody else's for a while, or one odd request's fault."""
        self._runs_until_larger -= 1
        if not self._runs_until_larger:
            most = self.config.limits.max_batch_bytes
            self._combiner.max_batch_bytes = min(most, 2 * self._combiner.max_batch_bytes)
            self._runs_until_larger = _CAREFUL_RUNS if self._combiner.max_batch_bytes < most else 0

    def _mend_and_post(self, mend: Callable[[], None]) -> None:
        try:
            mend()
        except Exception:  # noqa: BLE001 (logged; what waits is run or refused as it comes)
            _log.exception("a version that ran out of memory could not be looked after")
        finally:
            with suppress(EngineStopped):
                self._loop.post(self._go_on)

    def _go_on(self) -> None:
        self._is_mending = False
        self._choke()
        self._flush()

    def _give(self, outcome: Outcome, wanted: list[_Call]) -> None:
        sleeping = None
        for call in reversed(wanted):
            call.result = outcome
            if isinstance(call, _ThreadCall):
                call.next, sleeping = sleeping, call
            else:
                call.wake()
        if sleeping is not None:
            sleeping.wake()

    def _learn(self, batch: Batch[_Call], outcome: Outcome, wanted: list[_Call], now: float) -> None:
        with self._counting:
            queue_s = [batch.taken_at - call.offered_at for call in wanted]
            self._meters.count_batch(batch.rows, queue_s, now - batch.taken_at, outcome.compute_s)
        if self.curve is not None:
            self._learned = (self._learned + 1) % _LEARN_EVERY
            if not self._learned or self._pace.learns:
                self.curve.observe(batch.rows, outcome.compute_s)
            if outcome.compute_s < _LOOP_RUN_S:
                self._short_bytes = max(self._short_bytes, batch.nbytes)
        if self._pace.learns:
            slowest_s = now - wanted[0].offered_at
            self._pace.observe(batch.rows, outcome.compute_s, slowest_s, now)
            self._combiner.max_batch_rows = self._pace.max_batch_rows
            self._combiner.wait_s = self._pace.wait_s

    def _settle_error(self, call: _Call, error: InferenceError) -> None:
        call.result = error
        self._count_end(call, error)
        call.wake()

    def _count_end(self, call: _Call, error: InferenceError) -> None:
        if not call.is_audit:
            with self._counting:
                self._meters.count_end(error.code)

    def _withdraw(self, call: _Call) -> None:
        self._combiner.cancel(call, Cancelled())
        self._note_idle()

    def _withdraw_from_outside(self, call: _Call) -> None:
        with suppress(EngineStopped):  # then it has ended
            self._loop.post(partial(self._withdraw, call))

    def _leave(self, call: _ThreadCall) -> None:
        """Its thread has gone: whom it would have woken is woken here."""
        self._withdraw(call)
        if call.next is not None:
            call.next.wake()

    def _wake_by(self, at: float, now: float) -> None:
        """Look again at this time at the latest, even if nothing happens before."""
        if at >= self._wakes_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = at
        self._timer = self._loop.asyncio.call_later(max(0.0, at - now), self._wake)

    def _wake(self) -> None:
        self._timer, self._wakes_at = None, math.inf
        self._sweep()
        self._flush()
        self._wake_by(self._combiner.next_deadline(), self._clock())

    def _sweep(self) -> None:
        """End what is overdue: leases, and requests past their deadline."""
        self._lost += self._combiner.expire(self._clock())
        self._choke()

    def _health(self) -> Health:
        self._sweep()
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

    def _choke(self) -> None:
        """Start no run while the device is looked after, nor while more of them have lost their lease, and go on, than
        there are slots.

        One takeover finds out whether only that run hangs. Where all are slow, because the machine is, every
        further one would slow the others down and be lost in its turn; so the queue waits for one to come
        back, and its callers for that or their deadline.
        """
        has_slots = len(self._lost) <= self._slots and not self._is_mending
        self._combiner.slots = self._slots if has_slots else 0

    # Wherever the caller is.

    def _answer(self, call: _Call) -> Answer:
        """This call's share of what its batch came to."""
        result = call.result
        if not isinstance(result, Outcome):
            raise result or SlotLost()
        outputs, non_finite = result.outputs, bool(result.suspects)
        if result.is_merged:
            outputs = self._rules.part(result, call.start, call.rows)
            if (too_large := self._too_large(outputs)) is not None:
                self._count_end(call, too_large)
                raise too_large
            non_finite = non_finite and not all(is_finite(outputs[name]) for name in result.suspects)
            if self._on_sample is not None and self._sampler.is_due(call.nbytes):
                self._sampler.add(
                    Sample(
                        call.tensors,
                        call.outputs,
                        {name: output.copy() for name, output in outputs.items()},
                        {name: largest(output) for name, output in result.outputs.items()},
                    )
                )
                self._on_sample()
        if non_finite:
            with self._counting:
                self._meters.non_finite += 1
        return Answer(outputs, result.rows, result.taken_at - call.offered_at, result.compute_s, non_finite)

    def _too_large(self, outputs: Tensors) -> OutputTooLarge | None:
        """What one request is answered is measured before anybody copies it, looks through it or writes it."""
        most = self.config.max_output_bytes
        if most is None or (size := bytes_of(outputs)) <= most:
            return None
        return OutputTooLarge(
            f"The answer has {size:,} bytes, and the version's serving setting `max_output_bytes` allows {most:,}."
            " Ask for less at once, or for other outputs."
        )

    def _patience_s(self, deadline: float) -> float:
        return max(0.0, min(deadline - self._clock() + _LATE_S, threading.TIMEOUT_MAX))


def _feed(calls: list[_Call]) -> Tensors:
    """The tensors of all these, and where each one's begin."""
    first = calls[0]
    if len(calls) == 1:
        return first.tensors
    start = 0
    for call in calls:
        call.start = start
        start += call.rows
    return stack([call.tensors for call in calls])
