"""Versions in the workers: requests of this process are combined per version and sent as one message per batch."""

import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
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
from inference.serving.executors.executor import Holding, Memory, Obstacle
from inference.serving.executors.workers import pools
from inference.serving.executors.workers.pools import Pools
from inference.serving.executors.workers.session import Post, RemoteSession
from inference.serving.off_loop import off_loop
from inference.serving.routes import Target
from inference.tensors.signature import Signature
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.catalogue.serving_settings import ServingValues

log = structlog.get_logger("roundhouse.lane")

# Messages under way at once for each version, per worker: while one runs, the next one travels.
_SLOTS_PER_WORKER = 2
# Below this a message costs more than its run: then one large batch at a time beats several small ones.
_SHORT_RUN_S = 0.003
_LEASE_S = LONGEST_DEADLINE_S + 5  # a run ends by itself at its callers' deadline


class _Version:
    """A version as this process knows it: what it takes and gives, how it is served, and its queues."""

    def __init__(
        self, target: Target, signature: Signature, values: ServingValues, memory: MemoryUse
    ) -> None:
        self.target, self.signature, self.values, self.memory = target, signature, values, memory
        self.batchers: dict[Priority, Batcher] = {}

    def stats(self) -> Meters:
        return sum((batcher.stats() for batcher in list(self.batchers.values())), Meters())


class ThroughWorkers:
    """Loads nothing here; what a version takes and gives is read from its row, once."""

    def __init__(
        self,
        post: Post | None = None,
        *,
        on_hard_limit: Callable[[Hashable], None] = lambda key: None,
        on_sample: Callable[[], None] | None = None,
        loop: EngineLoop | None = None,
    ) -> None:
        """Without a post there is one of its own, on the `loop` or else on one of its own."""
        self._post = post or Post(settings.REDIS_URL, loop or EngineLoop.in_thread(uvloop.new_event_loop))
        self.loop = self._post.loop
        self._on_hard_limit, self._on_sample = on_hard_limit, on_sample
        self._versions: Mapping[int, _Version] = {}  # replaced, never changed: calls read it unlocked
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
        self._look()

    def let_go_of_all_but(self, wanted: frozenset[Target], kept: Sequence[Target] = ()) -> None:
        with self._changing:
            staying = {target.version_id for target in wanted}
            for version_id, version in self._versions.items():
                if version_id not in staying:
                    self._retire(version)
            self._versions = {
                version_id: version for version_id, version in self._versions.items() if version_id in staying
            }

    def keep(self, wanted: Sequence[Target]) -> None:
        """Nothing is held here; workers keep what was replaced."""

    def holdings(self) -> list[Holding]:
        return []

    def memory(self) -> Memory:
        return Memory(0, 0)

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

    def at_hand(self, target: Target) -> Signature | None:
        version = self._known(target)
        return version.signature if version is not None else None

    async def signature(self, target: Target, *, timeout_s: float) -> Signature:
        version = self._known(target)
        if version is None:
            version = await off_loop(partial(self._read, target))
        return version.signature

    def why_not(self, target: Target) -> Obstacle | None:
        return self._pools.why_not(target)

    def lacking(self, wanted: Collection[Target]) -> frozenset[Target]:
        return frozenset(target for target in wanted if not self.is_warm(target))

    def is_warm(self, target: Target) -> bool:
        return self._pools.is_warm(target)

    def warm_versions(self) -> int:
        return sum(self._pools.is_warm(version.target) for version in self._versions.values())

    def unload(self, target: Target) -> None:
        """Nothing is held here; workers let go by themselves of what they loaded on demand."""

    def merged_rows(self, target: Target) -> int:
        return self._pools.merged_rows(target)

    def allows_non_finite(self, target: Target) -> bool:
        return self._version(target).values.allow_non_finite

    def audit_merging(self, *, timeout_s: float) -> Iterator[tuple[int, str]]:
        for version_id, version in self._versions.items():
            for batcher in list(version.batchers.values()):
                found = batcher.audit(timeout_s=timeout_s)
                if found is not None:
                    yield version_id, found

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
        self._look()
        for version in self._versions.values():
            for batcher in list(version.batchers.values()):
                batcher.resize(self._slots(version, batcher))
                batcher.merge_up_to(self._pools.merged_rows(version.target))

    def _look(self) -> None:
        try:
            self._pools = pools.look()
        except DatabaseError as error:
            log.warning("workers are believed to be as they were", reason=str(error))

    def _slots(self, version: _Version, batcher: Batcher) -> int:
        session = batcher.session
        if isinstance(session, RemoteSession) and session.compute_s < _SHORT_RUN_S:
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
        self._post.close()
        self._stall_watch.stop()
        if has_drained:
            self.loop.close()
        return has_drained

    def _check_hard_limits(self) -> None:
        for batcher in self._batchers():
            batcher.check_hard_limit()

    def _batchers(self) -> list[Batcher]:
        return [batcher for version in self._versions.values() for batcher in list(version.batchers.values())]

    def _known(self, target: Target) -> _Version | None:
        version = self._versions.get(target.version_id)
        return version if version is not None and version.target == target else None

    def _version(self, target: Target) -> _Version:
        return self._known(target) or self._read(target)

    def _read(self, target: Target) -> _Version:
        told = Version.objects.values_list("signature", flat=True).get(pk=target.version_id)
        if told is None:
            raise NotLoaded(
                f"Version {target.number} has not passed its checks, so nobody knows what it takes."
            )
        values, memory = current_serving(target.version_id), known_memory(target.sha256)
        fresh = _Version(target, Signature.from_json(told), values, memory)
        with self._changing:
            known = self._versions.get(target.version_id)
            if known is not None and known.target == target:
                return known
            if known is not None:
                self._retire(known)
            self._versions = {**self._versions, target.version_id: fresh}
        return fresh

    def _retire(self, version: _Version) -> None:
        """Keep what it counted. Its queues end what they have accepted; they need no thread of ours for that."""
        counted = version.stats().without_gauges()
        key = version.target.version_id
        self._past[key] = self._past.get(key, Meters()) + counted

    def _batcher(self, version: _Version, priority: Priority) -> Batcher:
        with self._changing:
            batcher = version.batchers.get(priority)
            if batcher is None:
                batcher = version.batchers[priority] = self._made(version, priority)
            return batcher

    def _made(self, version: _Version, priority: Priority) -> Batcher:
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
        session = RemoteSession(
            self._post,
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
