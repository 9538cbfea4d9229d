"""Versions in this process's own engine."""

import time
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import structlog
import uvloop

from inference.checks.proofs import Proof, Proofs, share_bytes
from inference.engine.backends import Backend, LoadedSession, SessionOptions
from inference.engine.crash_notes import CrashNotes, NotedBackend
from inference.engine.engine import Engine, EnginePlan
from inference.engine.errors import NotLoaded
from inference.engine.loop import EngineLoop
from inference.engine.meters import Meters
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.engine.threads import LowPriority
from inference.serving import plans
from inference.serving.executors.executor import EngineMemory, Obstacle, VersionHolding
from inference.serving.executors.sandbox import ChildDeath, SandboxBackend
from inference.serving.off_loop import off_loop
from inference.serving.routes import Target
from inference.tensors.errors import InferenceError
from inference.tensors.signature import Signature
from registry.catalogue.selectors import current_serving
from registry.errors import ArtifactMissing
from registry.kit.compute_lock import compute_lock

log = structlog.get_logger("roundhouse.runtime")

_LOAD_LIMIT_S = 120.0
_DRAIN_S = 10.0
_MOST_CHILDREN = 2  # in addition to those of shadows
_CHILD_IDLE_S = 60.0


class _LoggedBackend:
    """Logs each load and how long it took."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.name = backend, backend.name

    def runtime_version(self) -> str:
        return self._backend.runtime_version()

    def load(self, path: Path, options: SessionOptions) -> LoadedSession:
        started = time.monotonic()
        session = self._backend.load(path, options)
        took_s = round(time.monotonic() - started, 3)
        log.info("version loaded", artifact=path.name, provider=session.provider, took_s=took_s)
        return session


class InProcessExecutor:
    """Keeps versions warm, and loads others on demand; those are unloaded when room is needed.

    Unapproved versions are never loaded into this process: a second engine runs each in a child process. Only a few
    children run at the same time, and idle ones are ended.
    """

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        sandbox: Backend | None = None,
        notes: CrashNotes | None = None,
        on_death: Callable[[ChildDeath], None] | None = None,
        on_hard_limit: Callable[[Hashable], None] = lambda key: None,
        on_sample: Callable[[], None] | None = None,
        bulk_threads: LowPriority | None = None,
        loop: EngineLoop | None = None,
    ) -> None:
        """`notes` records what is being run; `on_death` is called for children that ended while they ran a version.
        Without a `loop` the executor starts its own."""
        self._backend = backend or OnnxBackend()
        self.loop = loop or EngineLoop.in_thread(uvloop.new_event_loop)
        noted = NotedBackend(self._backend, notes) if notes is not None else self._backend
        self._engine = Engine(
            _LoggedBackend(noted),
            on_hard_limit=on_hard_limit,
            on_sample=on_sample,
            on_bulk_thread=bulk_threads.enter if bulk_threads is not None else None,
            loop=self.loop,
            **plans.engine_limits(),
        )
        self._bulk_threads = bulk_threads
        self._on_death = on_death
        self._children = Engine(
            _LoggedBackend(sandbox or SandboxBackend(self._note_death)),
            on_hard_limit=self._end_child,
            on_sample=on_sample,
            loop=self.loop,
            budget_bytes=_MOST_CHILDREN * share_bytes(),
        )
        self._used_at: dict[Hashable, float] = {}  # when a version in a child was last used
        self._held: dict[Hashable, Target] = {}
        self._kept: dict[Hashable, Target] = {}
        self._on_demand: dict[Hashable, Target] = {}
        self._failed: dict[Hashable, tuple[Target, Obstacle]] = {}
        self._loading: Target | None = None
        self._keep_tried: frozenset[Target] = frozenset()
        self._plans: dict[Target, tuple[EnginePlan, Proof]] = {}
        self._proofs = Proofs()

    def hold(self, wanted: frozenset[Target]) -> None:
        self._forget_outdated_plans()
        for target in wanted:
            if self._held.get(target.version_id) != target or target not in self._plans:
                self._load(target)

    def retain_only(self, wanted: frozenset[Target], kept: Sequence[Target] = ()) -> None:
        must_stay = {target.version_id for target in wanted}
        may_stay = {target.version_id for target in kept}
        for key in (self._held.keys() & may_stay) - must_stay:
            self._demote(key)
        for key in (self._held.keys() | self._kept.keys()) - must_stay - may_stay:
            held = self._held.pop(key, None) or self._kept.pop(key)
            self._engine_of(held).unload(key, timeout_s=_DRAIN_S)
        for key in self._failed.keys() - must_stay:
            del self._failed[key]

    def keep(self, wanted: Sequence[Target]) -> None:
        """Try each only once: one that was unloaded for lack of room must not push out what callers are using."""
        loaded = [
            target.version_id
            for target in wanted
            if target not in self._keep_tried
            and self._kept.get(target.version_id) != target
            and self._load(target, is_needed=False)
        ]
        for key in loaded:  # not earlier: loading the later ones would push out the first
            self._demote(key)
        self._keep_tried = frozenset(wanted)

    def holdings(self) -> list[VersionHolding]:
        failed, loading = dict(self._failed), self._loading
        known = {**self._on_demand, **self._kept, **self._held}
        holdings = {
            held.key: VersionHolding(
                known[held.key],
                "warm",
                self._use_of(held.key),
                provider_asked=self._preferred_provider(known[held.key]),
                provider_got=held.provider,
                footprint_bytes=held.footprint_bytes,
                merged_rows=self._merged_rows(known[held.key]),
            )
            for held in (*self._children.versions(), *self._engine.versions())
            if held.key in known
        }
        for key, (target, obstacle) in failed.items():
            preferred = self._preferred_provider(target)
            holdings[key] = VersionHolding(
                target, "failed", "held", provider_asked=preferred, reason=obstacle.reason
            )
        if loading is not None:
            holdings[loading.version_id] = VersionHolding(loading, "loading", "held")
        return list(holdings.values())

    def memory(self) -> EngineMemory:
        return EngineMemory(self._engine.used_bytes, self._engine.share_bytes)

    async def infer(self, target: Target, request: EngineRequest) -> EngineAnswer:
        engine = self._engine_of(target)
        try:
            return await engine.infer(target.version_id, request)
        except NotLoaded:
            pass
        time_left_s = request.deadline - time.monotonic()
        plan = await off_loop(partial(self._plan_on_demand, target, time_left_s))
        return await engine.infer(target.version_id, request, plan=plan)

    def known_signature(self, target: Target) -> Signature | None:
        return self._engine_of(target).published_signature(target.version_id)

    async def signature(self, target: Target, *, timeout_s: float) -> Signature:
        try:
            return self._engine_of(target).signature(target.version_id)
        except NotLoaded:
            return await off_loop(partial(self._signature_on_demand, target, timeout_s))

    def obstacle(self, target: Target) -> Obstacle | None:
        failed = self._failed.get(target.version_id)
        return failed[1] if failed is not None else None

    def unavailable(self, wanted: Collection[Target]) -> frozenset[Target]:
        loaded = (*self._children.versions(), *self._engine.versions())
        available = {version.key for version in loaded} - self._failed.keys()
        return frozenset(target for target in wanted if target.version_id not in available)

    def is_warm(self, target: Target) -> bool:
        return any(held.key == target.version_id for held in self._engine_of(target).versions())

    def warm_versions(self) -> int:
        return len(self._held)

    def unload(self, target: Target) -> None:
        if target.version_id not in self._held:
            self._kept.pop(target.version_id, None)
            self._engine_of(target).unload(target.version_id, timeout_s=_DRAIN_S)

    def merged_rows(self, target: Target) -> int:
        return self._plan(target).merged_rows

    def allows_non_finite(self, target: Target) -> bool:
        return self._plan(target).allow_non_finite

    def audit_merging(self, *, timeout_s: float) -> Iterator[tuple[int, str]]:
        for engine in (self._engine, self._children):
            for key, difference in engine.audit_merging(timeout_s=timeout_s):
                yield cast("int", key), difference

    @property
    def has_samples(self) -> bool:
        return self._engine.has_samples or self._children.has_samples

    def meters(self) -> dict[Hashable, Meters]:
        totals = self._engine.stats()
        for key, meters in self._children.stats().items():
            totals[key] = totals.get(key, Meters()) + meters
        return totals

    def look_after(self) -> None:
        if self._bulk_threads is not None:
            self._bulk_threads.rebalance()
        self._end_children(idle_since=time.monotonic() - _CHILD_IDLE_S)

    def drain(self, *, timeout_s: float) -> bool:
        ends_at = time.monotonic() + timeout_s
        self._children.drain(timeout_s=0.0)
        has_drained = self._engine.drain(timeout_s=timeout_s)
        return self._children.drain(timeout_s=max(0.0, ends_at - time.monotonic())) and has_drained

    def close(self, *, timeout_s: float) -> bool:
        ends_at = time.monotonic() + timeout_s
        self._children.drain(timeout_s=0.0)
        has_closed = self._engine.close(timeout_s=timeout_s)
        has_closed = self._children.close(timeout_s=max(0.0, ends_at - time.monotonic())) and has_closed
        if has_closed:  # otherwise runs may still finish, and their callers wait for them on the loop
            self.loop.close()
        return has_closed

    def _engine_of(self, target: Target) -> Engine:
        return self._children if target.runs_apart else self._engine

    def _end_children(self, *, idle_since: float, most: int = _MOST_CHILDREN) -> None:
        """End the children that were last used before `idle_since`, and those idle longest if there are more than `most`."""
        by_age = sorted(
            (self._used_at.get(held.key, 0.0), held.key)
            for held in self._children.versions()
            if held.key not in self._held
        )
        for place, (used_at, key) in enumerate(by_age):
            if used_at < idle_since or place < len(by_age) - most:
                self._end_child(key)

    def _end_child(self, key: Hashable) -> None:
        """Callers waiting for it get a retryable error; a run that has just begun may finish."""
        self._children.unload(key, timeout_s=0.0)

    def _note_death(self, death: ChildDeath) -> None:
        log.warning("a version's child has ended", version_id=death.version_id, crash=death.crash)
        self._end_child(death.version_id)
        if self._on_death is not None:
            self._on_death(death)

    def _load(self, target: Target, *, is_needed: bool = True) -> bool:
        key = target.version_id
        self._loading = target
        try:
            self._engine_of(target).load(key, self._plan(target), timeout_s=_LOAD_LIMIT_S)
        except (InferenceError, ArtifactMissing) as error:
            write = log.error if is_needed else log.info
            write("version cannot be loaded", version_id=key, code=error.code, reason=str(error))
            if is_needed:
                reason = f"Version {target.number} cannot be loaded: {error}"
                self._failed[key] = (target, Obstacle(reason, may_pass=error.retryable))
            return False
        finally:
            self._loading = None
        self._failed.pop(key, None)
        self._kept.pop(key, None)
        if target.runs_apart:  # it may have been in the other engine before
            self._engine.unload(key, timeout_s=_DRAIN_S)
        else:
            self._end_child(key)
        self._held[key] = target
        return True

    def _demote(self, key: Hashable) -> None:
        self._kept[key] = self._held.pop(key)
        self._engine_of(self._kept[key]).demote(key, timeout_s=_DRAIN_S)

    def _use_of(self, key: Hashable) -> str:
        return "held" if key in self._held else "kept" if key in self._kept else "on_demand"

    def _preferred_provider(self, target: Target) -> str:
        planned = self._plans.get(target)
        return planned[0].order.options.providers[0] if planned is not None else ""

    def _merged_rows(self, target: Target) -> int:
        planned = self._plans.get(target)
        return planned[0].merged_rows if planned is not None else 1

    def _signature_on_demand(self, target: Target, timeout_s: float) -> Signature:
        deadline = time.monotonic() + timeout_s
        plan = self._plan_on_demand(target, timeout_s)
        left_s = deadline - time.monotonic()
        with compute_lock.released():
            return self._engine_of(target).signature(target.version_id, plan=plan, timeout_s=left_s)

    def _plan_on_demand(self, target: Target, timeout_s: float) -> EnginePlan:
        if (obstacle := self.obstacle(target)) is not None:
            raise obstacle.error()
        key = target.version_id
        if self._kept.get(key) != target:
            self._kept.pop(key, None)
        self._on_demand[key] = target
        if target.runs_apart:
            self._used_at[key] = time.monotonic()
            self._end_children(idle_since=0.0, most=_MOST_CHILDREN - (not self.is_warm(target)))
        return self._plan(target, timeout_s)

    def _plan(self, target: Target, timeout_s: float = _LOAD_LIMIT_S) -> EnginePlan:
        """How this version is served. Without a proof its file is probed first, within the timeout."""
        planned = self._plans.get(target)
        if planned is None:
            values = current_serving(target.version_id)
            options = plans.session_options(values)
            proof = self._proofs.get(
                target.version_id,
                sha256=target.sha256,
                options=options,
                runtime_version=self._backend.runtime_version(),
                values=values,
                timeout_s=timeout_s,
            )
            options = replace(options, label=target.version_id)
            planned = plans.plan_for(target.sha256, options, proof, values), proof
            planned = self._plans.setdefault(target, planned)
        return planned[0]

    def _forget_outdated_plans(self) -> None:
        """Drop plans whose batch proof has changed."""
        outdated = self._proofs.outdated(proof for _, proof in list(self._plans.values()))
        for target, (_, proof) in list(self._plans.items()):
            if proof.fact in outdated:
                self._plans.pop(target, None)
