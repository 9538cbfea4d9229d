"""This process's executor and route table. An entry point starts them once; threads keep them up to date."""

import os
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog
from django.conf import settings
from django.db import DatabaseError

from inference.engine.backends import Backend
from inference.engine.errors import LoadFailed
from inference.engine.loop import EngineLoop
from inference.engine.memory import limit_heaps
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.engine.threads import LowPriority
from inference.errors import RoutesTooOld, Stopping
from inference.measure.counts import Windows, minute_now, seconds_to_next_minute
from inference.measure.services import flush
from inference.pipelines.pipeline import Pipeline
from inference.serving import routes
from inference.serving.calls import DEADLINE_S
from inference.serving.crash_ledger import CrashLedger
from inference.serving.executors.executor import Executor, VersionHolding
from inference.serving.executors.inprocess import InProcessExecutor
from inference.serving.executors.workers.executor import WorkersExecutor
from inference.serving.merge_audit import MergeAudit
from inference.serving.models import EngineRole, ProcessKind
from inference.serving.off_loop import off_loop
from inference.serving.pipelines import Pipelines
from inference.serving.push import PushListener
from inference.serving.routes import Route, RoutesUnreadable, RouteTable, Target
from inference.serving.stewards.process import ProcessRole
from inference.serving.stewards.reporter import Reporter
from inference.serving.stewards.steward import Steward, Wanted, all_models, models_of_pool, no_models
from inference.tensors.signature import Signature
from registry.access.key_ring import TRUST_S
from registry.kit.compute_lock import compute_lock
from registry.kit.loops import DATABASE_AWAY, Backoff, Loop, ThreadGroup

log = structlog.get_logger("roundhouse.runtime")

_POLL_S = 1.0
_DRAIN_S = 10.0
_CONFIRMED_WITHIN_S = 5.0
# How long a computing thread may keep the event loop waiting; Python's default is ten times as long.
_SWITCH_INTERVAL_S = 0.0005
# Short, so that changes made during an outage are picked up soon after it.
_BACKOFF = Backoff(longest_s=5.0)


@dataclass(frozen=True, slots=True)
class RuntimeReport:
    state: str  # starting | ready | draining | stopped
    warm_versions: int
    lacking: int = 0  # live versions that this process should hold but that cannot answer here
    is_outdone: bool = False  # another process of its kind lacks fewer of them

    @property
    def can_predict(self) -> bool:
        """Whether callers should be sent here. A process that lacks a version stays in use unless another is better."""
        return self.state == "ready" and not self.is_outdone


class Runtime:
    """The executor with the live versions, and the route table that says which of them answers."""

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        wanted: Wanted = all_models,
        replace_process: Callable[[], None] | None = None,
        executor: Callable[..., Executor] | None = None,
        role: ProcessRole | None = None,
        ledger: CrashLedger | None = None,
        bulk_threads: LowPriority | None = None,
        loop: EngineLoop | None = None,
    ) -> None:
        """With a role, this process reports what it holds, and splits wait for it. With a ledger, a native crash is
        recorded against the version that was running. `bulk_threads`: how threads that run batches of jobs yield to
        others. Without a `loop` the executor starts its own."""
        self._ledger = ledger
        has_samples = threading.Event()
        self.executor: Executor
        if executor is not None:
            self.executor = executor(on_hard_limit=self._give_up, on_sample=has_samples.set)
        else:
            self.executor = InProcessExecutor(
                backend,
                sandbox=backend,  # a backend that is passed in also runs what would run in child processes
                notes=ledger.notes if ledger is not None else None,
                on_death=ledger.note_death if ledger is not None else None,
                on_hard_limit=self._give_up,
                on_sample=has_samples.set,
                bulk_threads=bulk_threads,
                loop=loop,
            )
        self._audit = MergeAudit(self.executor, has_samples)
        self._wanted = wanted
        self._replace_process = replace_process or _exit_for_replacement
        self.table: RouteTable = routes.EMPTY
        self.windows = Windows()
        self._flushed_minute = minute_now()
        self._is_stopping = False
        self._confirmed_at = time.monotonic()  # when the database last confirmed the routes
        self._lacking, self._is_outdone = 0, False
        self._following = threading.Lock()
        self._state = "starting"
        self._pipelines = Pipelines()
        self._watching = self._watch_threads()
        self._push = PushListener(settings.REDIS_URL, self._watching.wake) if settings.REDIS_URL else None
        self._prepared = -1  # the newest revision of the routes whose pipelines were built, or failed
        self._steward = Steward(
            self.executor, table=lambda: self.table, wanted=wanted, on_change=self._on_versions_changed
        )
        self._reporter = self._new_reporter(role) if role is not None else None

    def start(self) -> None:
        """Load and warm what is live, then watch for changes; a version that cannot be loaded is reported, not fatal."""
        if self._reporter is not None:
            self._reporter.start()
        self._collect_crashes()  # a version that ended the previous process is not loaded again
        self._follow()
        self._build_pipelines(self._wanted(self.table).live)
        with suppress(DatabaseError):  # the loop compares again
            self._compare_with_peers()
        self._state = "ready"
        self._report_now()
        self._steward.start()
        self._audit.start()
        self._watching.start()
        if self._push is not None:
            self._push.start()

    def begin_shutdown(self) -> None:
        """From now on write measurements every second: the server may kill this process while callers are still waiting."""
        self._is_stopping = True
        self._watching.wake()

    def stop(self, within_s: float = _DRAIN_S) -> None:
        """Sign off, then finish accepted requests; those that take too long are dropped."""
        self._state = "stopped"
        if self._reporter is not None:
            self._reporter.stop()
        if self._push is not None:
            self._push.stop()
        self._watching.stop()
        self._steward.stop()
        self._audit.stop()
        self.executor.close(timeout_s=within_s)
        if self._ledger is not None:
            self._ledger.close()
        self._flush(all_of_it=True)

    @property
    def loop(self) -> EngineLoop:
        """The loop that `infer` is awaited on; a caller on it blocks no thread."""
        return self.executor.loop

    def report(self) -> RuntimeReport:
        return RuntimeReport(self._state, self.executor.warm_versions(), self._lacking, self._is_outdone)

    def stale_s(self) -> int:
        """How long ago the database last confirmed the routes; 0 if that is no more than a few polls ago."""
        age_s = time.monotonic() - self._confirmed_at
        return 0 if age_s < _CONFIRMED_WITHIN_S else int(age_s)

    def find(self, slug: str, within: frozenset[int] | None) -> Route:
        """The route of a Model, if it is within the caller's reach."""
        if self.stale_s() > TRUST_S:
            raise RoutesTooOld
        return self.table.find(slug, within=within)

    def target(self, version_id: int) -> Target | None:
        """A version by its id in the database, as the routes know it."""
        return self.table.targets_by_id.get(version_id)

    async def infer(self, target: Target, request: EngineRequest) -> EngineAnswer:
        """Answer a request; see Executor."""
        routes.check_not_broken(self.table.targets_by_id.get(target.version_id, target))
        if not compute_lock.is_mine:
            return await self.executor.infer(target, request)
        with compute_lock.released():
            return await self.executor.infer(target, request)

    async def signature(self, target: Target, *, timeout_s: float = DEADLINE_S) -> Signature:
        """The version's signature; loads the version if it is not in memory."""
        with compute_lock.released():
            return await self.executor.signature(target, timeout_s=timeout_s)

    def known_pipeline(self, target: Target) -> Pipeline | None:
        """The version's pipeline, if it has been built."""
        return self._pipelines.known(target.version_id)

    async def pipeline(self, target: Target, *, timeout_s: float = DEADLINE_S) -> Pipeline:
        """The version's pipeline; loads the version the first time, because its signature is needed."""
        known = self._pipelines.known(target.version_id)
        if known is not None:
            return known
        signature = await self.signature(target, timeout_s=timeout_s)
        with compute_lock.released():
            return await off_loop(partial(self._pipelines.get, target.version_id, signature))

    def is_known(self, target: Target) -> bool:
        """Whether a request for the version can be read at once: it is in memory, and so is its pipeline."""
        return (
            self._pipelines.known(target.version_id) is not None
            and self.executor.known_signature(target) is not None
        )

    def check_can_answer(self, target: Target | None) -> None:
        """Raise the errors that are known before a request is read: this process is stopping, or the version did not load."""
        if self._state != "ready":
            raise Stopping
        if target is not None and (obstacle := self.executor.obstacle(target)) is not None:
            raise obstacle.error()

    def refresh(self) -> None:
        """Follow the routes, and return when the versions that they need are in memory."""
        self._follow()
        self._steward.reconcile()

    def _follow(self) -> None:
        """Read the routes, load live versions that are not warm, then publish the routes.

        Usually all are warm already: a split becomes current only then. A process that has just started, or that the
        split did not wait for, loads them here. Pipelines are not built here: a slow one must not delay a stop.
        """
        with self._following:
            table = routes.read_table(self.table)
            cold = [
                target
                for target in self._wanted(table).live
                if not self.executor.is_warm(target) and self.executor.obstacle(target) is None
            ]
            if cold:
                self._steward.hold(cold)
            self.table = table
        self._steward.wake()

    def _on_versions_changed(self) -> None:
        """The steward has loaded versions. Those of waiting splits count as warm once their pipelines exist, too."""
        followed, wanted = self._steward.followed, self._wanted(self.table)
        self._report_now()
        self._build_pipelines((*wanted.live, *wanted.waiting, *wanted.kept))
        self._prepared = followed
        self._report_now()

    def _build_pipelines(self, targets: Iterable[Target]) -> None:
        """Of versions that are in memory, so that their first caller need not wait."""
        for target in targets:
            signature = self.executor.known_signature(target)
            if signature is not None:
                with suppress(LoadFailed):  # its callers get the reason; other versions are not its fault
                    self._pipelines.get(target.version_id, signature)

    def _holdings(self) -> list[VersionHolding]:
        """What this process reports: a held version is warm when its pipeline exists, too."""
        return [self._with_pipeline(holding) for holding in self.executor.holdings()]

    def _with_pipeline(self, holding: VersionHolding) -> VersionHolding:
        version_id = holding.target.version_id
        if holding.state != "warm" or holding.use != "held" or self._pipelines.known(version_id) is not None:
            return holding
        failure = self._pipelines.failure(version_id)
        if failure is None:
            return replace(holding, state="loading")
        return replace(holding, state="failed", reason=failure)

    def _look_after_versions(self) -> None:
        self.executor.look_after()
        wanted = self._wanted(self.table)
        needed = {target.version_id for target in (*wanted.live, *wanted.waiting)}
        self._pipelines.keep_only(lambda version_id: version_id in needed or self._is_in_memory(version_id))

    def _is_in_memory(self, version_id: int) -> bool:
        target = self.table.targets_by_id.get(version_id)
        return target is not None and self.executor.known_signature(target) is not None

    def _compare_with_peers(self) -> None:
        """Runs periodically; probes only read the result, so their number does not matter."""
        live = self._wanted(self.table).live
        lacking, is_outdone = self.executor.unavailable(live), False
        try:
            if lacking and self._reporter is not None:
                is_outdone = self._reporter.is_outdone(live, lacking)
        finally:  # a process that cannot read about its peers stays in use
            self._lacking, self._is_outdone = len(lacking), is_outdone

    def _new_reporter(self, role: ProcessRole) -> Reporter:
        return Reporter(
            role,
            self.executor,
            state=lambda: self._state,
            followed=lambda: self._prepared,
            holdings=self._holdings,
            has_waiting=lambda: any(route.waiting for route in self.table.routes.values()),
        )

    def _report_now(self) -> None:
        if self._reporter is not None:
            self._reporter.wake()

    def _watch_threads(self) -> ThreadGroup:
        """One thread, and so one database connection, for everything that is checked each second."""
        loops = [
            Loop("routes", self._follow_changes, _POLL_S, "routes are kept as they were", _BACKOFF),
            Loop(
                "unreadable routes",
                self._follow_unreadable,
                _POLL_S,
                "Models with invalid rows keep their old routes",
                expected=(DatabaseError, RoutesUnreadable),
            ),
            Loop(
                "peers",
                self._compare_with_peers,
                _POLL_S,
                "live versions that cannot answer here may not show in /readyz",
                _BACKOFF,
            ),
        ]
        if self._ledger is not None:
            meanwhile = "a version that crashes processes may stay in use"
            loops.append(Loop("crash ledger", self._ledger.collect, _POLL_S, meanwhile, _BACKOFF))
        loops += [
            Loop(
                "engine", self._look_after_versions, _POLL_S, "slots and threads stay as they are", _BACKOFF
            ),
            Loop(
                "measurements",
                self._write_measurements,
                lambda: min(_POLL_S, seconds_to_next_minute()),
                "measurements are kept in memory",
            ),
        ]
        return ThreadGroup("route-watch", *loops)

    def _collect_crashes(self) -> None:
        try:
            if self._ledger is not None:
                self._ledger.collect()
        except DATABASE_AWAY:
            raise
        except Exception as error:  # the loop tries again, and reports what it raises
            log.error("crashes could not be read", exc_info=error)

    def _follow_changes(self) -> None:
        if routes.read_revision() != self.table.revision:
            self._follow()
        self._confirmed_at = time.monotonic()

    def _follow_unreadable(self) -> None:
        """A separate loop, so that its pauses never delay other Models' routes."""
        if self.table.unreadable:
            self._follow()
        self.table.check_readable()

    def _write_measurements(self) -> None:
        now = minute_now()
        if (
            self._is_stopping or now != self._flushed_minute
        ):  # a killed process loses what has not been written
            flush(self.windows, all_of_it=self._is_stopping)
            self._flushed_minute = now

    def _flush(self, *, all_of_it: bool = False) -> None:
        try:
            flush(self.windows, all_of_it=all_of_it)
        except DatabaseError as error:
            log.warning("measurements wait for the database", reason=str(error))

    def _give_up(self, key: Hashable) -> None:
        """A run cannot be ended: finish what can still be answered, then have this process replaced."""
        log.critical("a run does not end; this process is replaced", version_id=key)
        self._state = "draining"
        threading.Thread(target=self._drain_and_exit, name="give-up", daemon=True).start()

    def _drain_and_exit(self) -> None:
        try:
            self.executor.drain(timeout_s=_DRAIN_S)
            self._flush(all_of_it=True)
        finally:  # whatever else fails
            self._replace_process()


def _exit_for_replacement() -> None:
    """The stuck run holds a thread that cannot be ended from inside; the server starts a new process."""
    os._exit(70)


_runtime: Runtime | None = None


def start(kind: ProcessKind | None = None, loop: EngineLoop | None = None) -> None:
    """Start the runtime of a process that answers callers; its entry point calls this once.

    `loop`: the loop of the process, if callers are answered on it.
    """
    executor = partial(WorkersExecutor, loop=loop) if settings.EXECUTOR == "workers" else None
    role, ledger = None, None
    if kind is not None:
        engine_role = EngineRole.SERVES if executor is None else EngineRole.FRONT
        threads = 1 if kind == ProcessKind.GRPC else settings.WEB_THREADS
        role, ledger = ProcessRole(kind, engine_role, "", threads), CrashLedger(kind)
    _start(Runtime(executor=executor, role=role, ledger=ledger, loop=loop))


def start_in_worker() -> None:
    """Start the runtime of a worker, which always has its own engine."""
    answers_online = settings.EXECUTOR == "workers"
    engine_role = EngineRole.SERVES if answers_online else EngineRole.ON_DEMAND
    _start(
        Runtime(
            wanted=models_of_pool(settings.POOL) if answers_online else no_models,
            role=ProcessRole(ProcessKind.WORKER, engine_role, settings.POOL, settings.WORKER_THREADS),
            ledger=CrashLedger(ProcessKind.WORKER),
            # In a worker that answers online requests, a job must not slow the same version down for callers.
            bulk_threads=None if answers_online else LowPriority(settings.JOB_NICENESS),
        )
    )


def _start(new: Runtime) -> None:
    global _runtime
    limit_heaps()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    _runtime = new
    new.start()


def stop(within_s: float = _DRAIN_S) -> None:
    global _runtime
    if _runtime is not None:
        _runtime.stop(within_s)
    _runtime = None


def begin_shutdown() -> None:
    if _runtime is not None:
        _runtime.begin_shutdown()


def report() -> RuntimeReport:
    return _runtime.report() if _runtime is not None else RuntimeReport("starting", 0)


def current_routes() -> list[Route]:
    """Every Model's route, as this process knows it; none if it serves no predictions."""
    return list(_runtime.table.routes.values()) if _runtime is not None else []


def broken_versions() -> list[Target]:
    return _runtime.table.broken() if _runtime is not None else []


def stale_s() -> int:
    return _runtime.stale_s() if _runtime is not None else 0


def current() -> Runtime | None:
    """This process's runtime; None if it serves no predictions, or no more."""
    return _runtime


def started() -> Runtime:
    """This process's runtime, for doors and services."""
    if _runtime is None:
        raise Stopping("This process serves no predictions.")
    return _runtime
