"""The engine of a process: loads versions into a pool, batches their requests, and swaps them without a gap."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from inference.engine.backends import Backend, LoadedSession
from inference.engine.batch_runs import BatchConfig
from inference.engine.batcher import Batcher, Health
from inference.engine.errors import EngineStopped, NotLoaded
from inference.engine.latency import CostCurve, FixedPace, Pace, TargetPace
from inference.engine.loop import EngineLoop, complete
from inference.engine.meters import Meters
from inference.engine.pool import LoadOrder, PoolEntryInfo, SessionLease, SessionPool
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.engine.threads import Runners, yield_to_loop
from inference.engine.warmup import Profile
from inference.engine.watchdog import StallWatch
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InferenceError
from inference.tensors.samples import sample_inputs
from inference.tensors.signature import Signature

LEASE_IN_RUNS = 5

_log = logging.getLogger("roundhouse.engine")
_RELOAD_LIMIT_S = 120.0
_RUNS_END_S = 10.0


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """How one version is served. Requests share runs of up to `merged_rows` rows, which its batch proof allows and the
    order's `max_batch` has warmed up. With a target, the batch size varies below that.
    """

    order: LoadOrder
    merged_rows: int = 1
    is_audited: bool = True  # run some merged requests again alone
    batching: BatchConfig = field(default_factory=BatchConfig)
    target_p99_s: float | None = None
    wait_s: float = 0.0
    allow_non_finite: bool = False  # NaN and infinity as inputs

    def batching_on(self, profile: Profile) -> BatchConfig:
        """The batching, with a lease that is long enough even for the longest run of the warm-up."""
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


class _LoadedVersion:
    """The pool's item: a session, the cost of its runs, and its batchers. The last one belongs to the current plan."""

    def __init__(self, session: LoadedSession, profile: Profile) -> None:
        self.session, self.profile, self.curve = session, profile, CostCurve(profile)
        self.key: Hashable = None
        self.plan: EnginePlan | None = None
        self.batchers: list[Batcher] = []
        self.is_broken = False  # its session is closed, and a new one replaces it

    def stats(self) -> Meters:
        *past, present = [batcher.stats() for batcher in self.batchers]
        return sum((meters.without_gauges() for meters in past), present)


@dataclass(frozen=True, slots=True)
class _Published:
    """A version that stays loaded. The engine itself holds the lease, so calls need none."""

    lease: SessionLease[_LoadedVersion]
    batcher: Batcher
    plan: EnginePlan
    signature: Signature

    def tensors(self, request: EngineRequest) -> Tensors:
        return request.tensors(self.signature, allow_non_finite=self.plan.allow_non_finite)


class Engine:
    """Answers requests by version key. The queues of all its versions live on one loop."""

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
        """`on_hard_limit` gets None if the loop itself is stuck. `on_bulk_thread` is called at the start of each thread
        that runs bulk batches. Engines may share a `loop`; they do not close it."""
        self._pool: SessionPool[_LoadedVersion] = SessionPool(
            backend,
            _LoadedVersion,
            budget_bytes=budget_bytes,
            engines_on_device=engines_on_device,
            retire=self._retire,
            budget_name=budget_name,
        )
        self._on_hard_limit, self._on_sample = on_hard_limit, on_sample
        self.loop = loop or EngineLoop.in_thread()
        self._owns_loop = loop is None
        self._runners = Runners("engine-run", on_start=yield_to_loop)
        self._bulk_runners = Runners("engine-bulk", on_start=on_bulk_thread)
        self._stall_watch = StallWatch(
            self.loop, self._check_hard_limits, on_stall=partial(on_hard_limit, None)
        )
        self._publish_lock = threading.Lock()  # one change of what is published at a time
        self._versions_lock = threading.Lock()  # guards the versions with batchers, and past counts
        self._published: Mapping[
            Hashable, _Published
        ] = {}  # replaced, never changed: calls read it without a lock
        self._versions: list[_LoadedVersion] = []
        self._past: dict[Hashable, Meters] = {}
        self._is_open = True

    def load(self, key: Hashable, plan: EnginePlan, *, timeout_s: float) -> None:
        """Load, warm up, publish and keep a version. If the key is already served, swap it without a gap.

        The old one answers until the new one is warm, then finishes accepted requests. If loading fails, the old one
        stays.
        """
        with self._publish_lock:
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
            self._drain_and_release(old, timeout_s, keep=new.batcher)

    def unload(self, key: Hashable, *, timeout_s: float) -> bool:
        """Take a version out of service and finish its accepted requests; False if it was not loaded."""
        with self._publish_lock:
            old = self._published.get(key)
            self._published = {other: kept for other, kept in self._published.items() if other != key}
            self._pool.unpin(key)
            was_held = self._pool.unload(key)
        if old is not None:
            self._drain_and_release(old, timeout_s)
        return was_held

    def demote(self, key: Hashable, *, timeout_s: float) -> None:
        """Take a published version out of service, but keep it in memory until the memory is needed.

        `load` brings it back immediately, and a call with its plan uses it.
        """
        with self._publish_lock:
            old = self._published.get(key)
            if old is None:
                return
            with self._versions_lock:
                old.lease.item.plan = None  # later calls get a new batcher, because this one ends
            self._published = {other: kept for other, kept in self._published.items() if other != key}
            self._pool.unpin(key)
        old.batcher.drain(timeout_s)
        old.batcher.close()
        self._forget(old.batcher, old.lease.item)
        old.lease.release()

    async def infer(
        self, key: Hashable, request: EngineRequest, *, plan: EnginePlan | None = None
    ) -> EngineAnswer:
        """Answer one request, or raise an InferenceError. Await it on the engine's loop; in a thread, run it with `complete`.

        A version that is not published is loaded with `plan` within the deadline; without a plan, this raises NotLoaded.
        """
        while (published := self._published.get(key)) is not None:
            batcher = published.batcher
            try:
                return await batcher.infer(published.tensors(request), request)
            except EngineStopped:
                if self._published.get(key) is published:  # otherwise it was just swapped
                    raise
        while True:
            plan, time_left_s = self._check_plan(plan), request.deadline - time.monotonic()
            acquire = partial(self._pool.acquire, key, plan.order, timeout_s=time_left_s)
            with await asyncio.to_thread(acquire) if self.loop.is_current else acquire() as version:
                tensors = request.tensors(version.session.signature, allow_non_finite=plan.allow_non_finite)
                try:
                    return await self._batcher(key, version, plan).infer(tensors, request)
                except EngineStopped:
                    if not version.is_broken:
                        raise

    def infer_from_thread(
        self, key: Hashable, request: EngineRequest, *, plan: EnginePlan | None = None
    ) -> EngineAnswer:
        return complete(self.infer(key, request, plan=plan))

    def published_signature(self, key: Hashable) -> Signature | None:
        """A published version's signature; None if it would have to be loaded."""
        published = self._published.get(key)
        return published.signature if published is not None else None

    def signature(
        self, key: Hashable, *, plan: EnginePlan | None = None, timeout_s: float = 5.0
    ) -> Signature:
        """A version's signature. If it is not published, it is loaded with `plan`; without a plan, this raises NotLoaded."""
        if (known := self.published_signature(key)) is not None:
            return known
        if plan is None:
            raise NotLoaded
        with self._pool.acquire(key, plan.order, timeout_s=timeout_s) as version:
            return version.session.signature

    def versions(self) -> tuple[PoolEntryInfo, ...]:
        """The loaded versions, published or not."""
        return self._pool.held()

    @property
    def used_bytes(self) -> int:
        """Bytes held or reserved now."""
        return self._pool.used_bytes

    @property
    def share_bytes(self) -> int:
        """Bytes that this engine may hold."""
        return self._pool.share_bytes

    def stats(self) -> dict[Hashable, Meters]:
        """All counts of this process by version, across swaps and evictions."""
        with self._versions_lock:
            totals = dict(self._past)
            versions = list(self._versions)
        for version in versions:
            totals[version.key] = totals.get(version.key, Meters()) + version.stats()
        return totals

    def health(self) -> dict[Hashable, Health]:
        return {key: published.batcher.health() for key, published in self._published.items()}

    def audit_merging(self, *, timeout_s: float) -> Iterator[tuple[Hashable, str]]:
        """Run one sampled request of each version again, alone; yield the versions that must not merge, and why.

        `on_sample` is called when a sample is waiting; without `on_sample` nothing is sampled.
        """
        with self._versions_lock:
            batchers = [(version.key, version.batchers[-1]) for version in self._versions]
        for key, batcher in batchers:
            difference = batcher.audit(timeout_s=timeout_s)
            if difference is not None:
                yield key, difference

    @property
    def has_samples(self) -> bool:
        with self._versions_lock:
            return any(version.batchers[-1].has_samples for version in self._versions)

    def drain(self, *, timeout_s: float) -> bool:
        """Refuse new requests; False if some accepted ones have not ended in time."""
        ends_at = time.monotonic() + timeout_s
        self._is_open = False
        batchers = [published.batcher for published in self._published.values()]
        for batcher in batchers:
            batcher.drain(0.0)  # close all first, or the last would accept requests while the others drain
        return all(batcher.drain(max(0.0, ends_at - time.monotonic())) for batcher in batchers)

    def close(self, *, timeout_s: float) -> bool:
        """Drain, end the requests that are still waiting, and free every session."""
        ends_at = time.monotonic() + timeout_s
        has_drained = self.drain(timeout_s=timeout_s)
        with self._publish_lock:
            old, self._published = self._published, {}
        for published in old.values():
            published.batcher.close()
            published.lease.release()
        is_closed = self._pool.close(timeout_s=max(0.0, ends_at - time.monotonic())) and has_drained
        self._stall_watch.stop()
        if is_closed and self._owns_loop:  # otherwise runs may still come back, and callers wait for them
            self.loop.close()
        return is_closed

    def _check_plan(self, plan: EnginePlan | None) -> EnginePlan:
        """Refuse to load a version while draining, or without a plan."""
        if not self._is_open:
            raise EngineStopped
        if plan is None:
            raise NotLoaded
        return plan

    def _check_hard_limits(self) -> None:
        with self._versions_lock:
            batchers = [batcher for version in self._versions for batcher in version.batchers]
        for batcher in batchers:
            batcher.check_hard_limit()

    def _free_memory(self, key: Hashable, version: _LoadedVersion, plan: EnginePlan) -> None:
        """After a run ran out of memory, free what earlier runs left. If the session cannot even run its sample any more,
        load the file again; if that fails, report the hard limit so that the process is replaced.
        """
        try:
            version.session.shrink(sample_inputs(version.session.signature, plan.order.sample))
        except InferenceError as error:
            _log.warning("version %s ran out of memory, and its session is broken: %s", key, error)
            try:
                self._reload(key, version)
            except InferenceError as failure:
                _log.error("version %s could not be loaded again: %s", key, failure)
                self._on_hard_limit(key)

    def _reload(self, key: Hashable, version: _LoadedVersion) -> None:
        """Close the session and load the file again. Calls that wait for the old session retry on the new one."""
        with self._publish_lock:
            old = self._published.get(key)
            if old is not None and old.lease.item is not version:  # it has been swapped in the meantime
                return
            self._published = {other: kept for other, kept in self._published.items() if other != key}
            self._pool.unload(key, version)
        version.is_broken = True
        version.batchers[-1].close()
        if old is not None:
            self._drain_and_release(old, _RUNS_END_S)
            self.load(key, old.plan, timeout_s=_RELOAD_LIMIT_S)

    def _batcher(self, key: Hashable, version: _LoadedVersion, plan: EnginePlan) -> Batcher:
        """The batcher for this plan. Another plan for the same file gets its own batcher on the same session."""
        with self._versions_lock:
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
                        on_out_of_memory=partial(self._free_memory, key, version, plan),
                        on_sample=self._on_sample if plan.is_audited else None,
                    )
                )
            return version.batchers[-1]

    def _forget(self, batcher: Batcher, version: _LoadedVersion) -> None:
        """Keep the counts of an ended batcher but not the batcher, which is created each time a version comes back."""
        with self._versions_lock:
            version.batchers.remove(batcher)
            self._keep_counts(version.key, batcher.stats())
            if not version.batchers:
                self._versions.remove(version)

    def _drain_and_release(self, old: _Published, timeout_s: float, keep: Batcher | None = None) -> None:
        if old.batcher is not keep:
            old.batcher.drain(timeout_s)
            old.batcher.close()
        old.lease.release()

    def _retire(self, version: _LoadedVersion) -> None:
        with self._versions_lock:
            if version in self._versions:
                self._versions.remove(version)
                self._keep_counts(version.key, version.stats())

    def _keep_counts(self, key: Hashable, meters: Meters) -> None:
        self._past[key] = self._past.get(key, Meters()) + meters.without_gauges()
