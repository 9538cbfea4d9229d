"""Runs the combiner over a session in this process: a caller that finds a free slot runs the batch itself."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from inference.engine.backends import Session, Tensors, type_ndarray
from inference.engine.combiner import WAITING, Batch, Combiner, Limits, Priority, Ticket
from inference.engine.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
    EngineStopped,
    RunFailed,
    RunStuck,
    SlotLost,
)
from inference.engine.latency import FixedPace, Pace
from inference.engine.merge_audit import Sample, Sampler
from inference.engine.meters import Meters
from inference.engine.rows import NotSplittable, Outcome, RowRules, is_finite, stack, suspects
from inference.engine.tolerance import distance, is_close, largest


class Answer(NamedTuple):
    """A request's result. The arrays are the caller's own: no later batch writes to them."""

    outputs: dict[str, type_ndarray]
    batch_rows: int
    queue_s: float
    compute_s: float
    non_finite: bool


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """How one version is batched. `hold_s`: how long a caller whose own answer is ready goes on running batches.

    Zero hands the slot over after every batch, which costs a thread switch while the slot stands idle: nothing
    beside a long run, most of the time beside a short one. See docs/adr/0002-combiner-shape.md.
    """

    limits: Limits = field(default_factory=Limits)
    merges: bool = False  # rows of several requests may share a run: only where a batch proof says so
    hold_s: float = 0.002
    soft_limit_s: float | None = None
    hard_limit_s: float = 30.0
    ends_with_callers: bool = False  # a run is over when the most patient of its callers is


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


class Cancellation:
    """Lets another thread withdraw a request: give it to `infer`, call `cancel` from anywhere, at any time."""

    def __init__(self) -> None:
        self._is_cancelled = False
        self._withdraw: Callable[[], None] | None = None

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._withdraw is not None:
            self._withdraw()

    def bind(self, withdraw: Callable[[], None]) -> None:
        # Each side writes its own fact before it reads the other's, so one of them always sees both.
        self._withdraw = withdraw
        if self._is_cancelled:
            withdraw()


class _Call(Ticket):
    """A request and the thread that waits for it, asleep on `gate` unless it runs a batch itself."""

    __slots__ = ("chain", "gate", "is_audit", "outputs", "result", "start", "tensors")

    def __init__(
        self,
        shape: tuple[object, int, int],
        deadline: float,
        priority: Priority,
        tensors: Tensors,
        outputs: Sequence[str] | None,
        is_audit: bool,
    ) -> None:
        self.key, self.rows, self.nbytes = shape  # all set here: a second __init__ is dear on this path
        self.deadline, self.priority = deadline, priority
        self.offered_at, self.standing = 0.0, WAITING
        self.tensors = tensors
        self.outputs = outputs
        self.is_audit = is_audit  # nobody asked for it, so it counts nowhere
        self.gate: threading.Lock | None = None
        self.start = 0
        self.result: Answer | Outcome | EngineError | None = None  # written once
        self.chain: list[_Call] | None = None

    def wake(self) -> None:
        if self.gate is not None:
            try:  # noqa: SIM105 - contextlib.suppress costs as much as the wake-up
                self.gate.release()
            except RuntimeError:
                pass  # woken before and not yet looked: once is enough


def _wake_last(chain: list[_Call]) -> None:
    try:  # noqa: SIM105 - as above
        chain.pop().wake()
    except IndexError:
        pass  # another one of the chain was faster


class Batcher:
    """Batches the calls of any number of threads over one session; it has no thread of its own."""

    def __init__(
        self,
        session: Session,
        config: BatchConfig | None = None,
        *,
        pace: Pace | None = None,
        on_hard_limit: Callable[[], None] | None = None,
        on_sample: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = session
        self.config = config or BatchConfig()
        self._pace = pace or FixedPace()
        self._rules = RowRules(session.signature, merges=self.config.merges)
        self._on_hard_limit = on_hard_limit
        self._on_sample, self._sampler = on_sample, Sampler()
        self._clock = clock
        self._lock = threading.Lock()  # held for microseconds, never during a run
        self._combiner: Combiner[_Call] = Combiner(
            self.config.limits,
            self._settle_error,
            max_batch_rows=self._pace.max_batch_rows,
            wait_s=self._pace.wait_s,
        )
        self._slots = self.config.limits.slots
        self._lost: list[Batch[_Call]] = []
        self._is_broken = False
        self._was_stopped = False
        self._idle = threading.Event()
        self._meters = Meters(footprint_bytes=session.footprint_bytes())

    def infer(
        self,
        tensors: Tensors,
        *,
        deadline: float,
        priority: Priority = Priority.LIVE,
        outputs: Sequence[str] | None = None,
        cancellation: Cancellation | None = None,
        is_audit: bool = False,
    ) -> Answer:
        """Answer one request, or raise an EngineError. `deadline` is a time of the batcher's clock.

        The tensors fit the signature. An audit runs by itself, and is counted nowhere.
        """
        shape = self._rules.shape_of(tensors, outputs)
        if is_audit:
            shape = (object(), *shape[1:])
        call = _Call(shape, deadline, priority, tensors, outputs, is_audit)
        now = self._clock()
        if self._combiner.running and self._combiner.lease_ends_at() <= now:
            self._sweep(now)
        wake_at = now
        with self._lock:
            batch = self._enter(call, now)
            if batch is None:
                wake_at = min(deadline, self._combiner.wakes_at())
        try:
            if cancellation is not None:
                cancellation.bind(lambda: self._withdraw(call))
            while True:
                if batch is not None:
                    self._serve(batch, call)
                if call.result is not None:
                    break
                batch, wake_at = self._wait(call, wake_at)
        except BaseException:
            self._withdraw(call)  # this thread is going: nobody may wait for it to take a slot
            self._wake_next(call)
            raise
        self._wake_next(call)  # it may have been answered while it was awake already, to take a slot
        return self._answer(call)

    def audit(self, *, timeout_s: float) -> str | None:
        """Run one sampled request again by itself; where it is answered otherwise, merge no more and say what differed.

        Samples wait for the next call of this; one that finds no room in time is dropped.
        """
        sample = self._sampler.take()
        if sample is None:
            return None
        deadline = self._clock() + timeout_s
        try:
            alone = self.infer(
                sample.tensors,
                deadline=deadline,
                priority=Priority.BULK,
                outputs=sample.outputs,
                is_audit=True,
            ).outputs
        except EngineError:
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
        with self._lock:
            rows = 1 if self._was_stopped else rows
            self._rules.allow(rows > 1)
            self._pace = FixedPace(rows, self._pace.wait_s if rows > 1 else 0.0)
            self._combiner.max_batch_rows, self._combiner.wait_s = rows, self._pace.wait_s

    def stop_merging(self) -> None:
        """Each request runs by itself from the next run on, and nothing changes that any more."""
        self._was_stopped = True
        self.merge_up_to(1)

    def health(self) -> Health:
        """Ask the queue itself. Also ends overdue leases, so that a version without callers is noticed too."""
        now = self._clock()
        self._sweep(now)
        with self._lock:
            first = self._combiner.next_waiting()
            oldest_wait_s = now - first.offered_at if first else 0.0
            return Health(
                is_broken=self._is_broken,
                lost_runs=len(self._lost),
                waiting=self._combiner.waiting,
                oldest_wait_s=oldest_wait_s,
                is_moving=oldest_wait_s <= 2 * self.config.limits.lease_s,
            )

    def resize(self, slots: int) -> None:
        """Run so many batches at once from now on."""
        with self._lock:
            self._slots = slots
            self._choke()
            self._nudge()

    def stats(self) -> Meters:
        """A copy of the meters, in constant time."""
        with self._lock:
            self._meters.depth = self._combiner.waiting
            self._meters.running = len(self._combiner.running)
            return self._meters.copy()

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and let the accepted ones end; False if some have not after so long."""
        with self._lock:
            self._combiner.close()
            self._nudge()
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """Refuse new requests and end the waiting ones with EngineStopped. Running ones end by themselves."""
        with self._lock:
            self._combiner.close(EngineStopped)
            self._nudge()

    def _enter(self, call: _Call, now: float) -> Batch[_Call] | None:
        try:
            if self._is_broken:
                raise RunStuck
            batch = self._combiner.offer_and_take(call, now)
        except EngineError as error:
            if not call.is_audit:
                self._meters.count_end(error.code)
            raise
        if batch is None or call not in batch.tickets:
            call.gate = threading.Lock()
            call.gate.acquire()
        return batch

    def _wait(self, call: _Call, wake_at: float) -> tuple[Batch[_Call] | None, float]:
        """Sleep until settled, asked to take the slot, or something is due; return a batch to run, if any."""
        assert call.gate is not None  # noqa: S101 - for mypy: a call without a gate runs its own batch
        try:
            call.gate.acquire(timeout=max(0.0, min(wake_at - self._clock(), threading.TIMEOUT_MAX)))
        finally:
            self._wake_next(call)
        if call.result is not None:
            if self._slots > 1:
                # It may have been woken to take a slot, while another caller ran it: pass the errand on.
                with self._lock:
                    self._nudge()
            return None, wake_at
        now = self._clock()
        if self._combiner.lease_ends_at() <= now:
            self._sweep(now)
        with self._lock:
            if call.deadline <= now and self._combiner.cancel(call, DeadlineExceeded()):
                self._nudge()
            batch = None
            if call.standing is WAITING:
                batch = self._combiner.take(now)
            else:  # somebody runs it already; to run the others' meanwhile would keep its answer from its caller
                self._nudge()
            return batch, min(call.deadline, self._combiner.wakes_at())

    def _serve(self, batch: Batch[_Call] | None, mine: _Call) -> None:
        """Run batches until this call is settled and has held the slot long enough, then hand the slot on."""
        hold_until = math.inf
        try:
            while batch is not None:
                outcome = self._run(batch)
                now = self._clock()
                with self._lock:
                    chain = self._settle(batch, outcome, mine, now)
                    if self._lost:
                        self._forget(batch)
                    batch = None
                    if self._combiner.waiting:
                        if hold_until == math.inf and mine.result is not None:
                            hold_until = now + self.config.hold_s
                        if now < hold_until:
                            batch = self._combiner.take(now)
                    if batch is None:
                        self._nudge()
                if chain:
                    _wake_last(chain)
        except BaseException:
            if batch is not None:
                with self._lock:
                    self._combiner.lose(batch, SlotLost, self._clock())
                    self._forget(batch)
                    self._nudge()
            raise

    def _run(self, batch: Batch[_Call]) -> Answer | Outcome | EngineError:
        """One run of the session. It takes longer than all the rest, and needs no lock."""
        calls = batch.tickets
        first = calls[0]
        try:
            if len(calls) == 1:
                feed = first.tensors
            else:
                feed = stack([call.tensors for call in calls])
                start = 0
                for call in calls:
                    call.start = start
                    start += call.rows
            started_at = self._clock()
            limit_s = self.config.soft_limit_s
            if self.config.ends_with_callers:
                limit_s = max(call.deadline for call in calls) - started_at
            outputs = self.session.run(feed, first.outputs, soft_limit_s=limit_s)
            compute_s = self._clock() - started_at
            if len(calls) == 1:
                queue_s = batch.taken_at - first.offered_at
                return Answer(outputs, batch.rows, queue_s, compute_s, bool(suspects(outputs)))
            self._rules.check(outputs, batch.rows)
            return Outcome(outputs, batch.rows, batch.taken_at, compute_s, suspects(outputs))
        except NotSplittable as error:
            self.stop_merging()  # the proof promised what the model does not keep
            return error
        except EngineError as error:
            return self._rules.explained(error, first.tensors) if len(calls) == 1 else error
        except Exception as cause:  # noqa: BLE001 - whatever a runtime raises ends as a typed error
            failure = RunFailed()
            failure.__cause__ = cause
            return failure

    def _settle(
        self, batch: Batch[_Call], outcome: Answer | Outcome | EngineError, mine: _Call, now: float
    ) -> list[_Call] | None:
        """End the calls of a batch, or send them back to run singly; return those that sleep, the first one last."""
        if isinstance(outcome, EngineError):
            if outcome.retryable:  # not the fault of any one request: none would do better alone
                self._combiner.lose(batch, lambda: type(outcome)(str(outcome)), now)
            else:
                self._combiner.fail(batch, outcome, now)
            return None
        wanted = self._combiner.complete(batch, now)
        if not wanted:
            return None
        chain = [call for call in reversed(wanted) if call is not mine]
        for call in chain:
            call.chain = chain
        for call in wanted:  # last: whoever sees its result leaves, and must know whom to wake
            call.result = outcome
        took_s = now - batch.taken_at
        if self._pace.learns:
            self._pace.observe(batch.rows, outcome.compute_s, now - wanted[0].offered_at, now)
            self._combiner.max_batch_rows = self._pace.max_batch_rows
            self._combiner.wait_s = self._pace.wait_s
        if wanted[0].is_audit:
            return chain
        if mine is wanted[0] and len(wanted) == 1:
            self._meters.count_batch(
                batch.rows, (batch.taken_at - mine.offered_at,), took_s, outcome.compute_s
            )
            return None
        queue_s = [batch.taken_at - call.offered_at for call in wanted]
        self._meters.count_batch(batch.rows, queue_s, took_s, outcome.compute_s)
        return chain

    def _answer(self, call: _Call) -> Answer:
        """This call's share of what its batch came to."""
        result = call.result
        if isinstance(result, Outcome):
            outputs = self._rules.part(result, call.start, call.rows)
            non_finite = bool(result.suspects) and not all(
                is_finite(outputs[name]) for name in result.suspects
            )
            queue_s = result.taken_at - call.offered_at
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
            result = Answer(outputs, result.rows, queue_s, result.compute_s, non_finite)
        if not isinstance(result, Answer):
            raise result or SlotLost()
        if result.non_finite:
            with self._lock:
                self._meters.non_finite += 1
        return result

    def _sweep(self, now: float) -> None:
        """End overdue leases and hopeless requests; break the version when a run has passed its hard limit."""
        with self._lock:
            self._lost += self._combiner.expire(now)
            self._choke()
            oldest = min((batch.taken_at for batch in (*self._lost, *self._combiner.running)), default=now)
            breaks = not self._is_broken and now - oldest >= self.config.hard_limit_s
            if breaks:
                self._is_broken = True
                self._combiner.close(RunStuck)
            self._nudge()
        if breaks and self._on_hard_limit is not None:
            self._on_hard_limit()

    def _withdraw(self, call: _Call) -> None:
        with self._lock:
            self._combiner.cancel(call, Cancelled())
            self._nudge()

    def _settle_error(self, call: _Call, error: EngineError) -> None:
        call.result = error
        if not call.is_audit:
            self._meters.count_end(error.code)
        call.wake()

    def _wake_next(self, call: _Call) -> None:
        """Wake the next call of the batch that answered this one.

        In a chain, because the batch's runner is in the next run already, and because threads woken all at once
        only queue for the interpreter's lock.
        """
        if call.chain:
            _wake_last(call.chain)

    def _nudge(self) -> None:
        """Wake the caller at the front if a slot is free for it; note the end of a drain."""
        combiner = self._combiner
        if combiner.waiting:
            if len(combiner.running) < combiner.slots and (front := combiner.next_waiting()):
                front.wake()
        elif not combiner.is_open and not combiner.running and not self._lost:
            self._idle.set()

    def _forget(self, batch: Batch[_Call]) -> None:
        """A run has come back: its lease may have ended meanwhile."""
        if batch in self._lost:
            self._lost.remove(batch)
            self._choke()

    def _choke(self) -> None:
        """Start no run while more of them have lost their lease, and go on, than there are slots.

        One takeover finds out whether only that run hangs. Where all are slow, because the machine is, every
        further one would slow the others down and be lost in its turn; so the queue waits for one to come
        back, and its callers for that or their deadline.
        """
        self._combiner.slots = self._slots if len(self._lost) <= self._slots else 0
