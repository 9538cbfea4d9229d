"""The engine of a process: loads versions into a pool, batches the calls of each, swaps them without a gap."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from inference.engine.backends import Backend, LoadedSession, Tensors
from inference.engine.batcher import BatchConfig, Batcher, Health
from inference.engine.errors import EngineStopped, NotLoaded
from inference.engine.latency import CostCurve, FixedPace, Pace, TargetPace
from inference.engine.leases import Held, Lease, LoadOrder
from inference.engine.loop import EngineLoop, complete
from inference.engine.low_priority import let_loop_go_first
from inference.engine.meters import Meters
from inference.engine.pool import SessionPool
from inference.engine.requests import Answer, EngineRequest
from inference.engine.runners import Runners
from inference.engine.samples import sample_inputs
from inference.engine.warmup import Profile
from inference.engine.watchdog import StallWatch
from inference.tensors.errors import InferenceError
from inference.tensors.signature import Signature

LEASE_IN_RUNS = 5

_log = logging.getLogger("roundhouse.engine")
_RELOAD_LIMIT_S = 120.0
_RUNS_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How one version is served. Rows of several requests share a run up to `merged_rows`, as its batch proof says and
    the order's `max_batch` has warmed; a target makes the batch vary below that.
    """

    order: LoadOrder
    merged_rows: int = 1
    is_audited: bool = True  # some merged requests are run again by themselves
    batching: BatchConfig = field(default_factory=BatchConfig)
    target_p99_s: float | None = None
    wait_s: float = 0.0
    allow_non_finite: bool = False  # NaN and infinities as inputs

    def batching_on(self, profile: Profile) -> BatchConfig:
        """The batching with a lease that the version's own longest run, as warmed up, cannot lose by itself."""
        lease_s = max(self.batching.limits.lease_s, LEASE_IN_RUNS * max(profile.values()))
        return replace(
            self.batching,
            merges=self.merged_rows > 1,
            limits=replace(self.batching.limits, lease_s=lease_s),
            hard_limit_s=max(self.batching.hard_limit_s, 2 * lease_s),
        )

    def pace(self, curve: CostCurve) -> Pace:
        if self.target_p99_s is None or self.merged_rows < 2:
            return FixedPace(self.merged_rows, self.wait_s)
        return TargetPace(self.target_p99_s, curve, most_rows=self.merged_rows)


class _Version:
    """What the pool holds: a session, what its runs cost, and its batchers; the last is the present plan's."""

    def __init__(self, session: LoadedSession, profile: Profile) -> None:
        self.session, self.profile, self.curve = session, profile, CostCurve(profile)
        self.key: Hashable = None
        self.plan: Plan | None = None
        self.batchers: list[Batcher] = []
        self.is_broken = False  # its session is gone, and another takes its place

    def stats(self) -> Meters:
        *past, present = [batcher.stats() for batcher in self.batchers]
        return sum((meters.without_gauges() for meters in past), present)


@dataclass(frozen=True, slots=True)
class _Published:
    """A version that stays: its lease is the engine's own, so a call needs none."""

    lease: Lease[_Version]
    batcher: Batcher
    plan: Plan
    signature: Signature

    def tensors(self, request: EngineRequest) -> Tensors:
        return request.tensors(self.signature, allow_non_finite=self.plan.allow_non_finite)


class Engine:
    """Answers by version key. The queues of all its versions live on one loop, which is the engine's own."""

    def __init__(
        self,
        backend: Backend,
        *,
        budget_bytes: int,
        engines_on_device: int = 1,
        on_hard_limit: Callable[[Hashable], None] = lambda key: None,
        on_sample: Callable[[], None] | None = None,
        on_bulk_thread: Callable[[], None] | None = None,
        loop: EngineLoop | None = None,
        budget_name: str = "the memory budget",
    ) -> None:
        """`on_hard_limit` is called with None where the loop itself stands still. `on_bulk_thread` is called in each
        thread that runs batches for bulk, before it does. Engines may share a `loop`; whoever made it closes it."""
        self._pool: SessionPool[_Version] = SessionPool(
            backend,
            _Version,
            budget_bytes=budget_bytes,
            engines_on_device=engines_on_device,
            retire=self._retire,
            budget_name=budget_name,
        )
        self._on_hard_limit, self._on_sample = on_hard_limit, on_sample
        self.loop = loop or EngineLoop.in_thread()
        self._owns_loop = loop is None
        self._runners = Runners("engine-run", on_start=let_loop_go_first)
        self._bulk_runners = Runners("engine-bulk", on_start=on_bulk_thread)
        self._stall_watch = StallWatch(
            self.loop, self._check_hard_limits, on_stall=partial(on_hard_limit, None)
        )
        self._publishing = threading.Lock()  # one change of what is published at a time
        self._building = (
            threading.Lock()
        )  # guards the versions that have batchers, and what gone ones counted
        self._published: Mapping[Hashable, _Published] = {}  # replaced, never changed: calls read it unlocked
        self._versions: list[_Version] = []
        self._past: dict[Hashable, Meters] = {}
        self._is_open = True

    def load(self, key: Hashable, plan: Plan, *, timeout_s: float) -> None:
        """Load, warm up, publish and keep a version; under a key that is served, swap without a gap.

        The old one answers until the new one is warm, then ends what it has accepted. A failure leaves it serving.
        """
        with self._publishing:
            self._pool.pin(key)
            try:
                self._pool.load(key, plan.order, timeout_s=timeout_s)
                lease = self._pool.acquire(key)
            except BaseException:
                if key not in self._published:
                    self._pool.unpin(key)
                raise
            batcher = self._batcher(key, lease.item, plan)
            new = _Published(lease, batcher, plan, lease.item.session.signature)
            old = self._published.get(key)
            self._published = {**self._published, key: new}
        if old is not None:
            self._let_go(old, timeout_s, keep=new.batcher)

    def unload(self, key: Hashable, *, timeout_s: float) -> bool:
        """Take a version out of service and end what it has accepted; False: it was not loaded."""
        with self._publishing:
            old = self._published.get(key)
            self._published = {other: kept for other, kept in self._published.items() if other != key}
            self._pool.unpin(key)
            was_held = self._pool.unload(key)
        if old is not None:
            self._let_go(old, timeout_s)
        return was_held

    def relax(self, key: Hashable, *, timeout_s: float) -> None:
        """Take a published version out of service, but leave it in memory until something needs its room.

        It is still loaded: `load` puts it back at once, and a call with its plan finds it there.
        """
        with self._publishing:
            old = self._published.get(key)
            if old is None:
                return
            with self._building:
                old.lease.item.plan = None  # whoever comes now gets another batcher: this one ends
            self._published = {other: kept for other, kept in self._published.items() if other != key}
            self._pool.unpin(key)
        old.batcher.drain(timeout_s)
        old.batcher.close()
        self._forget(old.batcher, old.lease.item)
        old.lease.release()

    async def infer(self, key: Hashable, request: EngineRequest, *, plan: Plan | None = None) -> Answer:
        """Answer one request, or raise an EngineError. A task of the engine's loop waits for it; a thread `complete`s it.

        A version that is not published is loaded by `plan`, within the deadline; without one, NotLoaded.
        """
        while (published := self._published.get(key)) is not None:
            batcher = published.batcher
            try:
                return await batcher.infer(published.tensors(request), request)
            except EngineStopped:
                if self._published.get(key) is published:  # otherwise it was swapped under our hands
                    raise
        while True:
            plan, time_left_s = self._needed(plan), request.deadline - time.monotonic()
            acquire = partial(self._pool.acquire, key, plan.order, timeout_s=time_left_s)
            with await asyncio.to_thread(acquire) if self.loop.is_here else acquire() as version:
                tensors = request.tensors(version.session.signature, allow_non_finite=plan.allow_non_finite)
                try:
                    return await self._batcher(key, version, plan).infer(tensors, request)
                except EngineStopped:
                    if not version.is_broken:
                        raise

    def infer_from_thread(self, key: Hashable, request: EngineRequest, *, plan: Plan | None = None) -> Answer:
        return complete(self.infer(key, request, plan=plan))

    def published_signature(self, key: Hashable) -> Signature | None:
        """What a version takes and gives; None where it is not published, and would have to be loaded."""
        published = self._published.get(key)
        return published.signature if published is not None else None

    def signature(self, key: Hashable, *, plan: Plan | None = None, timeout_s: float = 5.0) -> Signature:
        """What a version takes and gives; one that is not published is loaded by `plan`, without one NotLoaded."""
        if (known := self.published_signature(key)) is not None:
            return known
        if plan is None:
            raise NotLoaded
        with self._pool.acquire(key, plan.order, timeout_s=timeout_s) as version:
            return version.session.signature

    def versions(self) -> tuple[Held, ...]:
        """What is in memory, published or not."""
        return self._pool.held()

    @property
    def used_bytes(self) -> int:
        """What is in memory or reserved now."""
        return self._pool.used_bytes

    @property
    def share_bytes(self) -> int:
        """What this engine may hold at most."""
        return self._pool.share_bytes

    def stats(self) -> dict[Hashable, Meters]:
        """Per version all that this process has counted, swaps and evictions included."""
        with self._building:
            totals = dict(self._past)
            versions = list(self._versions)
        for version in versions:
            totals[version.key] = totals.get(version.key, Meters()) + version.stats()
        return totals

    def health(self) -> dict[Hashable, Health]:
        """Ask every published version's queue."""
        return {key: published.batcher.health() for key, published in self._published.items()}

    def audit_merging(self, *, timeout_s: float) -> Iterator[tuple[Hashable, str]]:
        """Run sampled requests again by themselves, one of each version; give the versions that must not merge, and why.

        `on_sample` is called when there is something to do here; without it nothing is sampled.
        """
        with self._building:
            batchers = [(version.key, version.batchers[-1]) for version in self._versions]
        for key, batcher in batchers:
            found = batcher.audit(timeout_s=timeout_s)
            if found is not None:
                yield key, found

    @property
    def has_samples(self) -> bool:
        with self._building:
            return any(version.batchers[-1].has_samples for version in self._versions)

    def drain(self, *, timeout_s: float) -> bool:
        """Refuse new requests everywhere; False if some that were accepted have not ended after so long."""
        ends_at = time.monotonic() + timeout_s
        self._is_open = False
        batchers = [published.batcher for published in self._published.values()]
        for batcher in batchers:
            batcher.drain(0.0)  # all doors first, or the last one would stay open as long as the others take
        return all(batcher.drain(max(0.0, ends_at - time.monotonic())) for batcher in batchers)

    def close(self, *, timeout_s: float) -> bool:
        """Drain, end what still waits, and free every session."""
        ends_at = time.monotonic() + timeout_s
        has_drained = self.drain(timeout_s=timeout_s)
        with self._publishing:
            old, self._published = self._published, {}
        for published in old.values():
            published.batcher.close()
            published.lease.release()
        is_over = self._pool.close(timeout_s=max(0.0, ends_at - time.monotonic())) and has_drained
        self._stall_watch.stop()
        if (
            is_over and self._owns_loop
        ):  # runs may still come back where it is not over, and somebody waits for them
            self.loop.close()
        return is_over

    def _needed(self, plan: Plan | None) -> Plan:
        """How a version that is not published is loaded, if it may be."""
        if not self._is_open:
            raise EngineStopped
        if plan is None:
            raise NotLoaded
        return plan

    def _check_hard_limits(self) -> None:
        with self._building:
            batchers = [batcher for version in self._versions for batcher in version.batchers]
        for batcher in batchers:
            batcher.check_hard_limit()

    def _mend(self, key: Hashable, version: _Version, plan: Plan) -> None:
        """A run found no memory: give back what earlier ones left. A session that cannot run even its smallest sample
        any more is loaded anew; where that fails, the process is to be replaced.
        """
        try:
            version.session.shrink(sample_inputs(version.session.signature, plan.order.sample))
        except InferenceError as error:
            _log.warning("version %s ran out of memory, and its session is broken: %s", key, error)
            try:
                self._reload(key, version)
            except InferenceError as failure:
                _log.error("version %s could not be loaded anew: %s", key, failure)
                self._on_hard_limit(key)

    def _reload(self, key: Hashable, version: _Version) -> None:
        """Close the session and load the file again. Whoever waits for the old session is asked to come again, and waits
        for the new one."""
        with self._publishing:
            old = self._published.get(key)
            if old is not None and old.lease.item is not version:  # somebody has swapped it meanwhile
                return
            self._published = {other: kept for other, kept in self._published.items() if other != key}
            self._pool.unload(key, version)
        version.is_broken = True
        version.batchers[-1].close()
        if old is not None:
            self._let_go(old, _RUNS_END_S)
            self.load(key, old.plan, timeout_s=_RELOAD_LIMIT_S)

    def _batcher(self, key: Hashable, version: _Version, plan: Plan) -> Batcher:
        """The batcher of this plan. Another plan for the same file gets one of its own over the same session."""
        with self._building:
            if version.plan != plan:
                if not version.batchers:
                    self._versions.append(version)
                version.key, version.plan = key, plan
                version.batchers.append(
                    Batcher(
                        version.session,
                        plan.batching_on(version.profile),
                        loop=self.loop,
                        runners=self._runners,
                        bulk_runners=self._bulk_runners,
                        curve=version.curve,
                        pace=plan.pace(version.curve),
                        on_hard_limit=partial(self._on_hard_limit, key),
                        on_out_of_memory=partial(self._mend, key, version, plan),
                        on_sample=self._on_sample if plan.is_audited else None,
                    )
                )
            return version.batchers[-1]

    def _forget(self, batcher: Batcher, version: _Version) -> None:
        """Keep what an ended batcher has counted, and not the batcher: one is made each time a version comes back."""
        with self._building:
            version.batchers.remove(batcher)
            counted = batcher.stats().without_gauges()
            self._past[version.key] = self._past.get(version.key, Meters()) + counted
            if not version.batchers:
                self._versions.remove(version)

    def _let_go(self, old: _Published, timeout_s: float, keep: Batcher | None = None) -> None:
        if old.batcher is not keep:
            old.batcher.drain(timeout_s)
            old.batcher.close()
        old.lease.release()

    def _retire(self, version: _Version) -> None:
        with self._building:
            if version in self._versions:
                self._versions.remove(version)
                counted = version.stats().without_gauges()
                self._past[version.key] = self._past.get(version.key, Meters()) + counted
