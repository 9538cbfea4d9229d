"""Runs versions in the workers: this process batches requests per version and sends each batch as one message."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
import uvloop
from django.conf import settings
from django.db import DatabaseError

from inference.checks.proofs import batch_bytes, known_memory, most_rows
from inference.engine.batch_runs import BatchConfig
from inference.engine.batcher import Batcher
from inference.engine.combiner import Priority, QueueLimits
from inference.engine.errors import EngineStopped, NotLoaded
from inference.engine.latency import FixedPace
from inference.engine.loop import EngineLoop
from inference.engine.meters import Meters
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.engine.warmup import MemoryUse
from inference.engine.watchdog import StallWatch
from inference.serving.calls import LONGEST_DEADLINE_S
from inference.serving.executors.executor import EngineMemory, Obstacle, VersionHolding
from inference.serving.executors.workers.session import WorkersLink, WorkersSession
from inference.serving.models import EngineReport, EngineRole, EngineState, HeldState, HeldVersion
from inference.serving.off_loop import off_loop
from inference.serving.routes import Target
from inference.tensors.signature import Signature
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.catalogue.serving_settings import ServingValues

log = structlog.get_logger("roundhouse.lane")

# Messages under way per version and worker: while one runs, the next is on its way.
_SLOTS_PER_WORKER = 2
# For shorter runs the message costs more than the run, so one large batch at a time beats several small ones.
_SHORT_RUN_S = 0.003
_LEASE_S = LONGEST_DEADLINE_S + 5  # a run ends at its callers' deadline anyway

_Held = tuple[str, int, int]  # pool, version, revision of its serving settings


@dataclass(frozen=True, slots=True)
class Pools:
    """What the workers of each pool reported, at one moment."""

    workers: Mapping[str, int] = field(default_factory=dict)  # number of workers that take batches, by pool
    warm: frozenset[_Held] = frozenset()
    failed: Mapping[_Held, str] = field(default_factory=dict)
    merged: Mapping[_Held, int] = field(
        default_factory=dict
    )  # the smallest limit among the workers that hold it

    def is_warm(self, target: Target) -> bool:
        return _key(target) in self.warm

    def merged_rows(self, target: Target) -> int:
        """How many rows of different requests may share a run in every worker that holds it; 1 if unknown."""
        return self.merged.get(_key(target), 1)

    def obstacle(self, target: Target) -> Obstacle | None:
        """Why no worker can answer; None if one can, or may be able to after loading the version."""
        if not self.workers.get(target.pool):
            reason = f"No worker in the pool {target.pool} is running; start one, or wait until one is ready."
            return Obstacle(reason, may_pass=True)
        failed = None if self.is_warm(target) else self.failed.get(_key(target))
        return Obstacle(failed, may_pass=False) if failed is not None else None


def read_pools() -> Pools:
    """Read what workers last reported; silent ones and those that are shutting down do not count."""
    alive = (
        EngineReport.objects.alive().filter(role=EngineRole.SERVES, state=EngineState.READY).exclude(pool="")
    )
    workers = dict(alive.values_list("pk", "pool"))
    failed: dict[_Held, str] = {}
    merged: dict[_Held, int] = {}
    held = HeldVersion.objects.filter(engine__in=list(workers), state__in=[HeldState.WARM, HeldState.FAILED])
    for engine, version, serving, state, rows, reason in held.values_list(
        "engine_id", "version_id", "serving", "state", "merged_rows", "reason"
    ):
        key = workers[engine], version, serving
        if state == HeldState.WARM:
            merged[key] = min(rows, merged.get(key, rows))
        else:
            failed[key] = reason
    return Pools(Counter(workers.values()), frozenset(merged), failed, merged)


def _key(target: Target) -> _Held:
    return target.pool, target.version_id, target.serving


class _RemoteVersion:
    """A version as this process knows it: its signature, its serving settings, and its queues."""

    def __init__(
        self, target: Target, signature: Signature, values: ServingValues, memory: MemoryUse
    ) -> None:
        self.target, self.signature, self.values, self.memory = target, signature, values, memory
        self.batchers: dict[Priority, Batcher] = {}

    def stats(self) -> Meters:
        return sum((batcher.stats() for batcher in list(self.batchers.values())), Meters())


class WorkersExecutor:
    """Loads nothing in this process; a version's signature is read once from its row."""

    def __init__(
        self,
        link: WorkersLink | None = None,
        *,
        on_hard_limit: Callable[[Hashable], None] = lambda key: None,
        on_sample: Callable[[], None] | None = None,
        loop: EngineLoop | None = None,
    ) -> None:
        """Without a `link` the executor creates one, on the `loop` or else on its own loop."""
        self._link = link or WorkersLink(
            settings.REDIS_URL, loop or EngineLoop.in_thread(uvloop.new_event_loop)
        )
        self.loop = self._link.loop
        self._on_hard_limit, self._on_sample = on_hard_limit, on_sample
        self._versions: Mapping[
            int, _RemoteVersion
        ] = {}  # replaced, never changed, so that calls can read it without a lock
        self._past: dict[Hashable, Meters] = {}
        self._changing = threading.Lock()
        self._pools = Pools()
        self._is_open = True
        self._stall_watch = StallWatch(
            self.loop, self._check_hard_limits, on_stall=partial(on_hard_limit, None)
        )

    def hold(self, wanted: frozenset[Target]) -> None:
        for target in wanted:
            self._version(target)
        self._refresh_pools()

    def retain_only(self, wanted: frozenset[Target], kept: Sequence[Target] = ()) -> None:
        with self._changing:
            staying = {target.version_id for target in wanted}
            for version_id, version in self._versions.items():
                if version_id not in staying:
                    self._retire(version)
            self._versions = {
                version_id: version for version_id, version in self._versions.items() if version_id in staying
            }

    def keep(self, wanted: Sequence[Target]) -> None:
        """Workers keep replaced versions themselves."""

    def holdings(self) -> list[VersionHolding]:
        return []

    def memory(self) -> EngineMemory:
        return EngineMemory(0, 0)

    async def infer(self, target: Target, request: EngineRequest) -> EngineAnswer:
        if not self._is_open:
            raise EngineStopped
        version = self._known(target)
        if version is None:
            version = await off_loop(partial(self._read, target))
        batcher = version.batchers.get(request.priority)
        if batcher is None:
            batcher = await off_loop(partial(self._batcher, version, request.priority))
        tensors = request.tensors(version.signature, allow_non_finite=version.values.allow_non_finite)
        return await batcher.infer(tensors, request)

    def known_signature(self, target: Target) -> Signature | None:
        version = self._known(target)
        return version.signature if version is not None else None

    async def signature(self, target: Target, *, timeout_s: float) -> Signature:
        version = self._known(target)
        if version is None:
            version = await off_loop(partial(self._read, target))
        return version.signature

    def obstacle(self, target: Target) -> Obstacle | None:
        return self._pools.obstacle(target)

    def unavailable(self, wanted: Collection[Target]) -> frozenset[Target]:
        return frozenset(target for target in wanted if not self.is_warm(target))

    def is_warm(self, target: Target) -> bool:
        return self._pools.is_warm(target)

    def warm_versions(self) -> int:
        return sum(self._pools.is_warm(version.target) for version in self._versions.values())

    def unload(self, target: Target) -> None:
        """Workers themselves unload what they loaded on demand."""

    def merged_rows(self, target: Target) -> int:
        return self._pools.merged_rows(target)

    def allows_non_finite(self, target: Target) -> bool:
        return self._version(target).values.allow_non_finite

    def audit_merging(self, *, timeout_s: float) -> Iterator[tuple[int, str]]:
        for version_id, version in self._versions.items():
            for batcher in list(version.batchers.values()):
                difference = batcher.audit(timeout_s=timeout_s)
                if difference is not None:
                    yield version_id, difference

    @property
    def has_samples(self) -> bool:
        return any(batcher.has_samples for batcher in self._batchers())

    def meters(self) -> dict[Hashable, Meters]:
        with self._changing:
            totals = dict(self._past)
            for version_id, version in self._versions.items():
                totals[version_id] = totals.get(version_id, Meters()) + version.stats()
            return totals

    def look_after(self) -> None:
        self._refresh_pools()
        for version in self._versions.values():
            for batcher in list(version.batchers.values()):
                batcher.resize(self._slots(version, batcher))
                batcher.merge_up_to(self._pools.merged_rows(version.target))

    def _refresh_pools(self) -> None:
        try:
            self._pools = read_pools()
        except DatabaseError as error:
            log.warning("workers are believed to be as they were", reason=str(error))

    def _slots(self, version: _RemoteVersion, batcher: Batcher) -> int:
        session = batcher.session
        if isinstance(session, WorkersSession) and session.compute_s < _SHORT_RUN_S:
            return 1
        return _SLOTS_PER_WORKER * max(1, self._pools.workers.get(version.target.pool, 0))

    def drain(self, *, timeout_s: float) -> bool:
        self._is_open = False
        ends_at = time.monotonic() + timeout_s
        batchers = self._batchers()
        for batcher in batchers:
            batcher.drain(0.0)
        return all(batcher.drain(max(0.0, ends_at - time.monotonic())) for batcher in batchers)

    def close(self, *, timeout_s: float) -> bool:
        has_drained = self.drain(timeout_s=timeout_s)
        for batcher in self._batchers():
            batcher.close()
        self._link.close()
        self._stall_watch.stop()
        if has_drained:
            self.loop.close()
        return has_drained

    def _check_hard_limits(self) -> None:
        for batcher in self._batchers():
            batcher.check_hard_limit()

    def _batchers(self) -> list[Batcher]:
        return [batcher for version in self._versions.values() for batcher in list(version.batchers.values())]

    def _known(self, target: Target) -> _RemoteVersion | None:
        version = self._versions.get(target.version_id)
        return version if version is not None and version.target == target else None

    def _version(self, target: Target) -> _RemoteVersion:
        return self._known(target) or self._read(target)

    def _read(self, target: Target) -> _RemoteVersion:
        signature = Version.objects.values_list("signature", flat=True).get(pk=target.version_id)
        if signature is None:
            raise NotLoaded(
                f"Version {target.number} has not passed its checks, so its inputs are not known."
            )
        values, memory = current_serving(target.version_id), known_memory(target.sha256)
        fresh = _RemoteVersion(target, Signature.from_json(signature), values, memory)
        with self._changing:
            known = self._versions.get(target.version_id)
            if known is not None and known.target == target:
                return known
            if known is not None:
                self._retire(known)
            self._versions = {**self._versions, target.version_id: fresh}
        return fresh

    def _retire(self, version: _RemoteVersion) -> None:
        """Keep its meters. Its queues still finish what they have accepted."""
        key = version.target.version_id
        self._past[key] = self._past.get(key, Meters()) + version.stats().without_gauges()

    def _batcher(self, version: _RemoteVersion, priority: Priority) -> Batcher:
        with self._changing:
            batcher = version.batchers.get(priority)
            if batcher is None:
                batcher = version.batchers[priority] = self._new_batcher(version, priority)
            return batcher

    def _new_batcher(self, version: _RemoteVersion, priority: Priority) -> Batcher:
        target, values = version.target, version.values
        limits = QueueLimits(
            slots=1,
            max_batch_bytes=min(
                QueueLimits().max_batch_bytes,
                values.max_queue_bytes,
                batch_bytes(version.memory, most_rows(values, version.memory)),
            ),
            max_request_rows=max(QueueLimits().max_request_rows, values.max_batch_rows),
            max_waiting_rows=values.max_queue_rows,
            max_waiting_bytes=values.max_queue_bytes,
            lease_s=_LEASE_S,
        )
        session = WorkersSession(
            self._link,
            version.signature,
            version_id=target.version_id,
            pool=target.pool,
            priority=priority,
        )
        merged = self._pools.merged_rows(target)
        return Batcher(
            session,
            BatchConfig(
                limits,
                merges=merged > 1,
                hard_limit_s=2 * _LEASE_S,
                max_output_bytes=values.max_output_bytes,
            ),
            loop=self.loop,
            pace=FixedPace(merged),
            on_hard_limit=partial(self._on_hard_limit, target.version_id),
            on_sample=self._on_sample if values.merging == "proven" else None,
        )
