"""This process's engine and route table: started once by an entry point, then kept true by a thread."""

import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from inference.checks.services import prove
from inference.engine.backends import Backend
from inference.engine.batcher import Answer, Cancellation
from inference.engine.combiner import Priority
from inference.engine.engine import Engine, Plan
from inference.engine.errors import EngineError, NotLoaded
from inference.engine.memory import limit_heaps
from inference.engine.meters import Meters
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.signature import Signature
from inference.errors import Loading, RoutesTooOld, Stopping
from inference.measure.services import flush
from inference.measure.windows import Windows
from inference.serving import plans, routes
from inference.serving.push import PushListener
from inference.serving.routes import Route, RouteTable, Target
from registry.access.key_ring import TRUST_S
from registry.catalogue.selectors import current_serving
from registry.errors import ArtifactMissing

log = structlog.get_logger("roundhouse.runtime")

_POLL_S = 1.0
_LOAD_LIMIT_S = 120.0
_DRAIN_S = 10.0
_FLUSH_S = 60.0
_CONFIRMED_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Report:
    state: str  # starting | ready | draining | stopped
    warm_versions: int

    @property
    def can_predict(self) -> bool:
        return self.state == "ready"


class Runtime:
    """An engine that holds the live versions, and the table that says which answers."""

    def __init__(
        self, backend: Backend | None = None, *, replace_process: Callable[[], None] | None = None
    ) -> None:
        self._backend = backend or OnnxBackend()
        self._replace_process = replace_process or _end_for_replacement
        self._engine = Engine(self._backend, on_hard_limit=self._give_up, **plans.engine_limits())
        self._held: dict[Hashable, Target] = {}
        self._failed: dict[Hashable, str] = {}
        self._plans: dict[Target, Plan] = {}
        self._planning = threading.Lock()
        self._table: RouteTable = routes.EMPTY
        self.windows = Windows()
        self._flush_at = time.monotonic() + _FLUSH_S
        self._confirmed_at = time.monotonic()  # when the database last said that the routes are these
        self._following = threading.Lock()
        self._state = "starting"
        self._stop = threading.Event()
        self._look = threading.Event()  # set: look at the routes now
        self._thread: threading.Thread | None = None
        self._push = PushListener(settings.REDIS_URL, self._look.set) if settings.REDIS_URL else None

    def start(self) -> None:
        """Load and warm what is live, then watch for changes; a version that cannot load is reported, not fatal."""
        self.refresh()
        self._state = "ready"
        self._thread = threading.Thread(target=self._watch, name="route-watch", daemon=True)
        self._thread.start()
        if self._push is not None:
            self._push.start()

    def stop(self) -> None:
        self._state = "stopped"
        self._stop.set()
        self._look.set()
        if self._push is not None:
            self._push.stop()
        if self._thread is not None:
            self._thread.join()
        self._engine.close(timeout_s=_DRAIN_S)
        self._flush(all_of_it=True)

    def report(self) -> Report:
        return Report(self._state, len(self._held))

    def stale_s(self) -> int:
        """How long the database has not confirmed the routes; 0 while that is no longer than a few polls."""
        age_s = time.monotonic() - self._confirmed_at
        return 0 if age_s < _CONFIRMED_WITHIN_S else int(age_s)

    def find(self, slug: str, within: frozenset[int] | None) -> Route:
        if self.stale_s() > TRUST_S:
            raise RoutesTooOld
        return self._table.find(slug, within=within)

    def infer(
        self,
        target: Target,
        inputs: Mapping[str, Any],
        *,
        deadline: float,
        priority: Priority = Priority.LIVE,
        outputs: Sequence[str] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Answer:
        """Answer until `deadline`, a time of the monotonic clock."""
        key = target.version_id
        try:
            return self._engine.infer(
                key, inputs, deadline=deadline, priority=priority, outputs=outputs, cancellation=cancellation
            )
        except NotLoaded:
            pass
        # Not live, but asked for by number or alias: loaded on demand, and evicted when room is needed.
        plan = self._plan_on_demand(target)
        return self._engine.infer(
            key,
            inputs,
            deadline=deadline,
            priority=priority,
            outputs=outputs,
            cancellation=cancellation,
            plan=plan,
        )

    def check_answers(self, target: Target | None) -> None:
        """Raise what can be known before a request is read: this process is leaving, or the version did not load."""
        if self._state != "ready":
            raise Stopping
        if target is not None and (failed := self._failed.get(target.version_id)) is not None:
            raise Loading(failed)

    def signature(self, target: Target) -> Signature:
        """What a version takes and gives; it is loaded if it is not in memory."""
        try:
            return self._engine.signature(target.version_id)
        except NotLoaded:
            return self._engine.signature(target.version_id, plan=self._plan_on_demand(target))

    def is_warm(self, target: Target) -> bool:
        return any(held.key == target.version_id for held in self._engine.versions())

    def why_not(self, target: Target) -> str:
        return self._failed.get(target.version_id, "Not in memory; it is loaded when it is asked for.")

    def let_go(self, target: Target) -> None:
        if target.version_id not in self._held:
            self._engine.unload(target.version_id, timeout_s=_DRAIN_S)

    def meters(self) -> dict[Hashable, Meters]:
        return self._engine.stats()

    def max_batch_rows(self, target: Target) -> int:
        return self._plan(target).order.max_batch

    def routes(self) -> list[Route]:
        return list(self._table.routes.values())

    def _plan_on_demand(self, target: Target) -> Plan:
        self.check_answers(target)
        return self._plan(target)

    def refresh(self) -> None:
        """Read the routes; warm what they need before they are published, and let go of the rest after."""
        with self._following:
            table = routes.read_table(self._table)
            wanted: dict[Hashable, Target] = {target.version_id: target for target in table.targets()}
            for key, target in wanted.items():
                if self._held.get(key) != target:
                    self._load(key, target)
            self._table = table
            for key in self._held.keys() - wanted.keys():
                del self._held[key]
                self._engine.unload(key, timeout_s=_DRAIN_S)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._look.wait(_POLL_S)
            self._look.clear()
            try:
                close_old_connections()
                if routes.read_revision() != self._table.revision:
                    self.refresh()
                self._confirmed_at = time.monotonic()
            except DatabaseError as error:
                log.warning("routes are kept as they were", reason=str(error))
            self._engine.health()  # ends what is overdue, even where nobody calls
            if time.monotonic() >= self._flush_at:
                self._flush_at += _FLUSH_S
                self._flush()
        close_old_connections()

    def _flush(self, *, all_of_it: bool = False) -> None:
        try:
            flush(self.windows, all_of_it=all_of_it)
        except DatabaseError as error:
            log.warning("measurements wait for the database", reason=str(error))

    def _load(self, key: Hashable, target: Target) -> None:
        try:
            self._engine.load(key, self._plan(target), timeout_s=_LOAD_LIMIT_S)
        except (EngineError, ArtifactMissing) as error:
            self._failed[key] = f"Version {target.number} cannot be loaded: {error}"
            log.error("live version cannot be loaded", version_id=key, code=error.code, reason=str(error))
            return
        self._failed.pop(key, None)
        self._held[key] = target

    def _plan(self, target: Target) -> Plan:
        """How this version is served; its file is probed first where there is no proof yet, once for all callers."""
        with self._planning:
            plan = self._plans.get(target)
            if plan is None:
                values = current_serving(target.version_id)
                options = plans.session_options(values)
                runtime_version = self._backend.runtime_version()
                fact = prove(sha256=target.sha256, options=options, runtime_version=runtime_version)
                plan = self._plans[target] = plans.plan_for(target.sha256, options, fact, values)
            return plan

    def _give_up(self, key: Hashable) -> None:
        """A run cannot be ended: answer what else can be answered, then have this process replaced."""
        log.critical("a run does not end; this process is replaced", version_id=key)
        self._state = "draining"
        threading.Thread(target=self._drain_and_end, name="give-up", daemon=True).start()

    def _drain_and_end(self) -> None:
        self._engine.drain(timeout_s=_DRAIN_S)
        self._replace_process()


def _end_for_replacement() -> None:
    """The hung run holds a thread that nothing in this process can end; the server starts a new process."""
    os._exit(70)


_runtime: Runtime | None = None


def start() -> None:
    """Start this process's runtime; entry points call it once."""
    global _runtime
    limit_heaps()
    _runtime = Runtime()
    _runtime.start()


def stop() -> None:
    global _runtime
    if _runtime is not None:
        _runtime.stop()
    _runtime = None


def report() -> Report:
    return _runtime.report() if _runtime is not None else Report("starting", 0)


def find(slug: str, within: frozenset[int] | None) -> Route:
    """The route of a Model, if it is in the caller's reach."""
    return started().find(slug, within)


def stale_s() -> int:
    return _runtime.stale_s() if _runtime is not None else 0


def started() -> Runtime:
    """This process's runtime; doors and services ask it."""
    if _runtime is None:
        raise Stopping("This process serves no predictions.")
    return _runtime
