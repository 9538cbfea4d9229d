"""Writes this process's rows to the database: when something changes, and otherwise every few seconds."""

import time
from collections.abc import Callable

import structlog
from django.db import DatabaseError

from inference.serving.executors.executor import Executor, VersionHolding
from inference.serving.routes import Target
from inference.serving.stewards import readiness, services
from inference.serving.stewards.process import ProcessInfo, ProcessRole, this_process
from inference.serving.stewards.services import EngineFigures
from registry.access.policies import task_actor
from registry.kit.loops import Backoff, Loop, ThreadGroup
from registry.traffic.services import settle_waiting_splits

log = structlog.get_logger("roundhouse.steward")

_CHECK_EVERY_S = 0.5
_HEARTBEAT_S = 5.0
_BACKOFF = Backoff(longest_s=_HEARTBEAT_S)  # a process that is silent for longer counts as lost
_CPU = "CPUExecutionProvider"


class Reporter:
    """A thread that reports this process. It also settles waiting splits and announces lost processes."""

    def __init__(
        self,
        role: ProcessRole,
        executor: Executor,
        *,
        state: Callable[[], str],
        followed: Callable[[], int],
        holdings: Callable[[], list[VersionHolding]],
        has_waiting: Callable[[], bool],
    ) -> None:
        self._executor, self._holdings = executor, holdings
        self._state, self._followed, self._has_waiting = state, followed, has_waiting
        self._process = ProcessInfo(this_process(), role.kind, role.role, role.pool, role.threads)
        self._reported: object = None
        self._heartbeat_at = 0.0
        self._thread = ThreadGroup(
            "report",
            Loop("report", self._report, _CHECK_EVERY_S, "others may count this process as lost", _BACKOFF),
            Loop(
                "waiting splits",
                self._settle,
                _CHECK_EVERY_S,
                "splits may keep waiting although their versions are warm",
                _BACKOFF,
            ),
            Loop(
                "lost engines",
                services.announce_lost,
                _HEARTBEAT_S,
                "lost processes are not announced",
                is_woken=False,
            ),
        )

    @property
    def engine_id(self) -> str:
        return self._process.identity.id

    def start(self) -> None:
        """The row exists when this returns: from then on splits wait for this engine as well."""
        services.announce_ended(self._process.identity)
        self._report()
        self._thread.start()

    def stop(self) -> None:
        """Remove the rows: this process is ending normally."""
        self._thread.stop()
        try:
            services.sign_off(self.engine_id)
        except DatabaseError as error:
            log.warning("this process could not sign off", reason=str(error))

    def is_outdone(self, live: frozenset[Target], lacking: frozenset[Target]) -> bool:
        """Whether a process like this one lacks fewer of the live versions; queries the database."""
        return readiness.is_outdone(self._process, live=live, lacking=lacking)

    def wake(self) -> None:
        self._thread.wake()

    def _settle(self) -> None:
        if self._has_waiting():
            settle_waiting_splits(by=task_actor("inference.steward"))

    def _report(self) -> None:
        """Write what has changed, and a heartbeat every few seconds."""
        holdings = self._holdings()
        state, followed = self._state(), self._followed()
        report = (state, followed, frozenset(holdings))
        is_heartbeat = time.monotonic() >= self._heartbeat_at
        if report == self._reported and not is_heartbeat:
            return
        services.report(self._process, self._figures(state, followed, holdings), holdings)
        self._reported = report
        if is_heartbeat:
            self._heartbeat_at = time.monotonic() + _HEARTBEAT_S

    def _figures(self, state: str, followed: int, holdings: list[VersionHolding]) -> EngineFigures:
        memory, meters = self._executor.memory(), self._executor.meters().values()
        with_provider = [holding for holding in holdings if holding.provider_asked]
        # A version on (or meant for) an accelerator says more about the engine than one on the CPU.
        with_provider.sort(key=lambda holding: holding.provider_asked == _CPU)
        asked, got = (
            (with_provider[0].provider_asked, with_provider[0].provider_got) if with_provider else ("", "")
        )
        return EngineFigures(
            state=state,
            followed=followed,
            provider_asked=asked,
            provider_got=got,
            device=got.removesuffix("ExecutionProvider"),
            memory_used_bytes=memory.used_bytes,
            memory_budget_bytes=memory.budget_bytes,
            running=sum(meter.running for meter in meters),
            waiting=sum(meter.depth for meter in meters),
        )
