"""This process's executor and route table: started once by an entry point, then kept true by a thread."""

import os
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from django.conf import settings
from django.db import DatabaseError

from inference.engine.backends import Backend
from inference.engine.loop import EngineLoop
from inference.engine.memory import limit_heaps
from inference.engine.meters import Meters
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.engine.threads import LowPriority
from inference.errors import RoutesTooOld, Stopping
from inference.measure.services import flush
from inference.measure.windows import Windows, minute_now, seconds_to_next_minute
from inference.serving import routes
from inference.serving.calls import DEADLINE_S
from inference.serving.crash_ledger import CrashLedger
from inference.serving.executors.executor import Executor
from inference.serving.executors.inprocess import InProcess
from inference.serving.executors.workers.executor import ThroughWorkers
from inference.serving.merge_audit import MergeAudit
from inference.serving.push import PushListener
from inference.serving.routes import Route, RoutesUnreadable, RouteTable, Target
from inference.serving.stewarding.desired import Wanted, all_models, nothing, of_pool
from inference.serving.stewarding.models import Kind, Role
from inference.serving.stewarding.reporter import Post, Reporter
from inference.serving.stewarding.steward import Steward
from inference.tensors.signature import Signature
from registry.access.key_ring import TRUST_S
from registry.kit.loops import DATABASE_AWAY, Backoff, Loop, ThreadGroup
from registry.kit.turns import turns

log = structlog.get_logger("roundhouse.runtime")

_POLL_S = 1.0
_DRAIN_S = 10.0
_CONFIRMED_WITHIN_S = 5.0
# What was changed during an outage is not to wait for half a minute after it.
_BACKOFF = Backoff(longest_s=5.0)


@dataclass(frozen=True, slots=True)
class Report:
    state: str  # starting | ready | draining | stopped
    warm_versions: int
    lacking: int = 0  # live versions that this process should hold and that could not answer here
    is_outdone: bool = False  # another process of its kind lacks fewer of them

    @property
    def can_predict(self) -> bool:
        """Whether callers should be sent here. Who lacks a version and is as good as any other still serves the rest."""
        return self.state == "ready" and not self.is_outdone


OnHardLimit = Callable[[Hashable], None]
OnSample = Callable[[], None]


def _in_process(
    backend: Backend | None,
    ledger: CrashLedger | None,
    bulk_threads: LowPriority | None,
    loop: EngineLoop | None,
    on_hard_limit: OnHardLimit,
    on_sample: OnSample,
) -> Executor:
    """A backend that is given runs everything, also what would run in children."""
    return InProcess(
        backend,
        sandbox=backend,
        notes=ledger.notes if ledger is not None else None,
        on_death=ledger.note_death if ledger is not None else None,
        on_hard_limit=on_hard_limit,
        on_sample=on_sample,
        bulk_threads=bulk_threads,
        loop=loop,
    )


def _through_workers(loop: EngineLoop | None, on_hard_limit: OnHardLimit, on_sample: OnSample) -> Executor:
    return ThroughWorkers(on_hard_limit=on_hard_limit, on_sample=on_sample, loop=loop)


class Runtime:
    """An executor that holds the live versions, and the table that says which answers."""

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        wanted: Wanted = all_models,
        replace_process: Callable[[], None] | None = None,
        executor: Callable[[OnHardLimit, OnSample], Executor] | None = None,
        post: Post | None = None,
        ledger: CrashLedger | None = None,
        bulk_threads: LowPriority | None = None,
        loop: EngineLoop | None = None,
    ) -> None:
        """With a post, this process reports what it holds, and splits wait for it. With a ledger, a native crash is laid
        at the door of the version that was run. `bulk_threads`: how the threads that run batches of jobs make room.
        Without a `loop` the executor makes one of its own."""
        make = executor or partial(_in_process, backend, ledger, bulk_threads, loop)
        self._ledger = ledger
        has_samples = threading.Event()
        self._executor: Executor = make(self._give_up, has_samples.set)
        self._audit = MergeAudit(self._executor, has_samples)
        self._wanted = wanted
        self._replace_process = replace_process or _end_for_replacement
        self._table: RouteTable = routes.EMPTY
        self.windows = Windows()
        self._flushed_minute = minute_now()
        self._is_leaving = False
        self._confirmed_at = time.monotonic()  # when the database last said that the routes are these
        self._lacking, self._is_outdone = 0, False
        self._following = threading.Lock()
        self._state = "starting"
        self._watching = self._made_watching()
        self._push = PushListener(settings.REDIS_URL, self._watching.wake) if settings.REDIS_URL else None
        self._steward = Steward(
            self._executor, table=lambda: self._table, wanted=wanted, on_change=self._report_now
        )
        self._reporter = self._made_reporter(post) if post is not None else None

    def start(self) -> None:
        """Load and warm what is live, then watch for changes; a version that cannot load is reported, not fatal."""
        if self._reporter is not None:
            self._reporter.start()
        self._collect_crashes()  # what ended the process before this one is not loaded again
        self._follow()
        with suppress(DatabaseError):  # the loop compares again
            self._compare_with_peers()
        self._state = "ready"
        self._report_now()
        self._steward.start()
        self._audit.start()
        self._watching.start()
        if self._push is not None:
            self._push.start()

    def begin_end(self) -> None:
        """From now on write what is counted each second: the server kills a process whose callers do not leave."""
        self._is_leaving = True
        self._watching.wake()

    def stop(self, within_s: float = _DRAIN_S) -> None:
        """Sign off, then end what has been accepted; what has not ended after so long is dropped."""
        self._state = "stopped"
        if self._reporter is not None:
            self._reporter.stop()
        if self._push is not None:
            self._push.stop()
        self._watching.stop()
        self._steward.stop()
        self._audit.stop()
        self._executor.close(timeout_s=within_s)
        if self._ledger is not None:
            self._ledger.close()
        self._flush(all_of_it=True)

    @property
    def loop(self) -> EngineLoop:
        """Who awaits `infer` there, instead of calling it in a thread, holds no thread."""
        return self._executor.loop

    def report(self) -> Report:
        return Report(self._state, self._executor.warm_versions(), self._lacking, self._is_outdone)

    def stale_s(self) -> int:
        """How long the database has not confirmed the routes; 0 while that is no longer than a few polls."""
        age_s = time.monotonic() - self._confirmed_at
        return 0 if age_s < _CONFIRMED_WITHIN_S else int(age_s)

    def find(self, slug: str, within: frozenset[int] | None) -> Route:
        if self.stale_s() > TRUST_S:
            raise RoutesTooOld
        return self._table.find(slug, within=within)

    async def infer(self, target: Target, request: EngineRequest) -> EngineAnswer:
        """Answer a request; see Executor."""
        routes.check_not_broken(self._table.targets_by_id.get(target.version_id, target))
        if not turns.is_mine:
            return await self._executor.infer(target, request)
        with turns.let_go():
            return await self._executor.infer(target, request)

    def at_hand(self, target: Target) -> Signature | None:
        """What a version takes and gives, where it can be asked without a load or a query: then the loop may do it."""
        return self._executor.at_hand(target)

    def check_answers(self, target: Target | None) -> None:
        """Raise what can be known before a request is read: this process is leaving, or the version did not load."""
        if self._state != "ready":
            raise Stopping
        if target is not None and (obstacle := self._executor.why_not(target)) is not None:
            raise obstacle.error()

    async def signature(self, target: Target, *, timeout_s: float = DEADLINE_S) -> Signature:
        """What a version takes and gives; it is loaded if it is not in memory."""
        with turns.let_go():
            return await self._executor.signature(target, timeout_s=timeout_s)

    def is_warm(self, target: Target) -> bool:
        return self._executor.is_warm(target)

    def why_not(self, target: Target) -> str:
        obstacle = self._executor.why_not(target)
        return obstacle.reason if obstacle else "Not in memory; it is loaded when it is asked for."

    def let_go(self, target: Target) -> None:
        self._executor.unload(target)

    def meters(self) -> dict[Hashable, Meters]:
        return self._executor.meters()

    def merged_rows(self, target: Target) -> int:
        """How many rows of several requests share a run of this version; 1: each request runs by itself."""
        return self._executor.merged_rows(target)

    def allows_non_finite(self, target: Target) -> bool:
        """Whether this version's inputs may hold NaN and infinities, by its serving settings."""
        return self._executor.allows_non_finite(target)

    def target(self, version_id: int) -> Target | None:
        """A version by its id in the database, as the routes know it."""
        return self._table.targets_by_id.get(version_id)

    def routes(self) -> list[Route]:
        return list(self._table.routes.values())

    def broken_versions(self) -> list[Target]:
        """Those that should answer by the current splits, and are refused because they ended processes."""
        return sorted(
            (target for target in self._table.targets() if target.is_broken), key=lambda one: one.version_id
        )

    def refresh(self) -> None:
        """Follow the routes, and have in memory what they need before this returns."""
        self._follow()
        self._steward.make_true()

    def _follow(self) -> None:
        """Read the routes and publish them. What answers by them is in memory before that: a split becomes current when
        it is, and only a process that has just started, or was not asked, has something to load here."""
        with self._following:
            table = routes.read_table(self._table)
            cold = [
                target
                for target in self._wanted(table).live
                if not self._executor.is_warm(target) and self._executor.why_not(target) is None
            ]
            if cold:
                self._steward.hold(cold)
            self._table = table
        self._steward.wake()

    def _compare_with_peers(self) -> None:
        """Probes read the result, so that no number of them asks the database more often than this is done."""
        live = self._wanted(self._table).live
        lacking, is_outdone = self._executor.lacking(live), False
        try:
            if lacking and self._reporter is not None:
                is_outdone = self._reporter.is_outdone(live, lacking)
        finally:  # nobody who cannot ask about peers leaves because of them
            self._lacking, self._is_outdone = len(lacking), is_outdone

    def _made_reporter(self, post: Post) -> Reporter:
        return Reporter(
            post,
            self._executor,
            state=lambda: self._state,
            followed=lambda: self._steward.followed,
            has_waiting=lambda: any(route.waiting for route in self._table.routes.values()),
        )

    def _report_now(self) -> None:
        if self._reporter is not None:
            self._reporter.wake()

    def _made_watching(self) -> ThreadGroup:
        """One thread and one database connection for all that is looked at each second."""
        return ThreadGroup(
            "route-watch",
            Loop("routes", self._follow_changes, _POLL_S, "routes are kept as they were", _BACKOFF),
            Loop(
                "unreadable routes",
                self._follow_unreadable,
                _POLL_S,
                "Models whose rows make no sense are kept as they were",
                expected=(DatabaseError, RoutesUnreadable),
            ),
            Loop(
                "peers",
                self._compare_with_peers,
                _POLL_S,
                "what is live and cannot answer here may not show in /readyz",
                _BACKOFF,
            ),
            *self._ledger_loops(),
            Loop(
                "engine", self._executor.look_after, _POLL_S, "slots and threads stay as they are", _BACKOFF
            ),
            Loop(
                "measurements",
                self._write_measurements,
                lambda: min(_POLL_S, seconds_to_next_minute()),
                "measurements are kept in memory",
            ),
        )

    def _collect_crashes(self) -> None:
        try:
            if self._ledger is not None:
                self._ledger.collect()
        except DATABASE_AWAY:
            raise
        except Exception as error:  # the loop tries again, and what it raises is reported
            log.error("crashes could not be read", exc_info=error)

    def _ledger_loops(self) -> list[Loop]:
        if self._ledger is None:
            return []
        return [
            Loop(
                "crash ledger",
                self._ledger.collect,
                _POLL_S,
                "a version that ends processes may go on",
                _BACKOFF,
            )
        ]

    def _follow_changes(self) -> None:
        if routes.read_revision() != self._table.revision:
            self._follow()
        self._confirmed_at = time.monotonic()

    def _follow_unreadable(self) -> None:
        """A loop of its own, so that its pauses never keep other Models' routes from being followed."""
        if self._table.unreadable:
            self._follow()
        self._table.check_readable()

    def _write_measurements(self) -> None:
        now = minute_now()
        if self._is_leaving or now != self._flushed_minute:  # at once: a killed process loses the rest
            flush(self.windows, all_of_it=self._is_leaving)
            self._flushed_minute = now

    def _flush(self, *, all_of_it: bool = False) -> None:
        try:
            flush(self.windows, all_of_it=all_of_it)
        except DatabaseError as error:
            log.warning("measurements wait for the database", reason=str(error))

    def _give_up(self, key: Hashable) -> None:
        """A run cannot be ended: answer what else can be answered, then have this process replaced."""
        log.critical("a run does not end; this process is replaced", version_id=key)
        self._state = "draining"
        threading.Thread(target=self._drain_and_end, name="give-up", daemon=True).start()

    def _drain_and_end(self) -> None:
        try:
            self._executor.drain(timeout_s=_DRAIN_S)
            self._flush(all_of_it=True)
        finally:  # whatever else is wrong here
            self._replace_process()


def _end_for_replacement() -> None:
    """The hung run holds a thread that nothing in this process can end; the server starts a new process."""
    os._exit(70)


_runtime: Runtime | None = None


def start(kind: Kind | None = None, loop: EngineLoop | None = None) -> None:
    """Start the runtime of a process that answers callers; its entry point calls this once, and says what it is.

    `loop`: the one that the process runs, where its callers are answered on it.
    """
    through_workers = settings.EXECUTOR == "workers"
    role = Role.FRONT if through_workers else Role.SERVES
    threads = 1 if kind == Kind.GRPC else settings.WEB_THREADS
    post = Post(kind, role, "", threads) if kind is not None else None
    ledger = CrashLedger(kind) if kind is not None else None
    executor = partial(_through_workers, loop) if through_workers else None
    _start(Runtime(executor=executor, post=post, ledger=ledger, loop=loop))


def start_in_worker() -> None:
    """Start the runtime of a worker, which has an engine of its own whoever asks it."""
    is_asked_online = settings.EXECUTOR == "workers"
    role = Role.SERVES if is_asked_online else Role.ON_DEMAND
    post = Post(Kind.WORKER, role, settings.POOL, settings.WORKER_THREADS)
    # A worker that answers online must not answer slowly because the same version does a job.
    bulk_threads = None if is_asked_online else LowPriority()
    wanted = of_pool(settings.POOL) if is_asked_online else nothing
    _start(Runtime(wanted=wanted, post=post, ledger=CrashLedger(Kind.WORKER), bulk_threads=bulk_threads))


def _start(made: Runtime) -> None:
    global _runtime
    limit_heaps()
    _runtime = made
    made.start()


def stop(within_s: float = _DRAIN_S) -> None:
    global _runtime
    if _runtime is not None:
        _runtime.stop(within_s)
    _runtime = None


def begin_end() -> None:
    if _runtime is not None:
        _runtime.begin_end()


def report() -> Report:
    return _runtime.report() if _runtime is not None else Report("starting", 0)


def find(slug: str, within: frozenset[int] | None) -> Route:
    """The route of a Model, if it is in the caller's reach."""
    return started().find(slug, within)


def routes_here() -> list[Route]:
    """Every Model's route, as this process knows it; none where it serves no predictions."""
    return _runtime.routes() if _runtime is not None else []


def broken_versions() -> list[Target]:
    return _runtime.broken_versions() if _runtime is not None else []


def stale_s() -> int:
    return _runtime.stale_s() if _runtime is not None else 0


def started() -> Runtime:
    """This process's runtime; doors and services ask it."""
    if _runtime is None:
        raise Stopping("This process serves no predictions.")
    return _runtime
