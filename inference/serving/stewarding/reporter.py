"""Tells the database what this process holds: at once when that changes, else every few seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import DatabaseError

from inference.serving.executors.executor import Executor, Holding
from inference.serving.routes import Target
from inference.serving.stewarding import readiness, services
from inference.serving.stewarding.identity import own_identity
from inference.serving.stewarding.services import Figures, Station
from registry.access.policies import task_actor
from registry.kit.loops import Backoff, Loop, ThreadGroup
from registry.traffic.services import settle_waiting_splits

log = structlog.get_logger("roundhouse.steward")

_LOOK_EVERY_S = 0.5
_BEAT_S = 5.0
_BACKOFF = Backoff(longest_s=_BEAT_S)  # who is silent for longer is taken for lost
_CPU = "CPUExecutionProvider"
_STEWARD = task_actor("inference.steward")


@dataclass(frozen=True, slots=True)
class Post:
    """What a process is, as its entry point knows it."""

    kind: str
    role: str
    pool: str
    threads: int


class Reporter:
    """A thread that keeps this process's rows. It also settles splits that wait, and tells of processes that are lost."""

    def __init__(
        self,
        post: Post,
        executor: Executor,
        *,
        state: Callable[[], str],
        followed: Callable[[], int],
        has_waiting: Callable[[], bool],
    ) -> None:
        self._post, self._executor = post, executor
        self._state, self._followed, self._has_waiting = state, followed, has_waiting
        self._station = Station(own_identity(), post.kind, post.role, post.pool, post.threads)
        self._told: object = None
        self._beat_at = 0.0
        self._thread = ThreadGroup(
            "report",
            Loop("report", self._report, _LOOK_EVERY_S, "others may take this process for lost", _BACKOFF),
            Loop(
                "waiting splits",
                self._settle,
                _LOOK_EVERY_S,
                "splits may wait although all is warm",
                _BACKOFF,
            ),
            Loop(
                "lost engines",
                services.tell_lost,
                _BEAT_S,
                "nobody is told of lost processes",
                is_woken=False,
            ),
        )

    @property
    def engine_id(self) -> str:
        return self._station.identity.id

    def start(self) -> None:
        """The row is there when this returns: from then on splits wait for this engine as well."""
        services.tell_ended(self._station.identity)
        self._report()
        self._thread.start()

    def stop(self) -> None:
        """Take the rows away: this process has ended as it should."""
        self._thread.stop()
        try:
            services.sign_off(self.engine_id)
        except DatabaseError as error:
            log.warning("this process could not sign off", reason=str(error))

    def is_outdone(self, live: frozenset[Target], lacking: frozenset[Target]) -> bool:
        """Whether another process like this one lacks fewer of the live versions; asks the database."""
        return readiness.is_outdone(self._station, live=live, lacking=lacking)

    def wake(self) -> None:
        self._thread.wake()

    def _settle(self) -> None:
        if self._has_waiting():
            settle_waiting_splits(by=_STEWARD)

    def _report(self) -> None:
        """Write what has changed; that nothing has, every few seconds."""
        holdings = self._executor.holdings()
        state, followed = self._state(), self._followed()
        told = (state, followed, frozenset(holdings))
        is_beat = time.monotonic() >= self._beat_at
        if told == self._told and not is_beat:
            return
        services.report(self._station, self._figures(state, followed, holdings), holdings)
        self._told = told
        if is_beat:
            self._beat_at = time.monotonic() + _BEAT_S

    def _figures(self, state: str, followed: int, holdings: list[Holding]) -> Figures:
        memory, meters = self._executor.memory(), self._executor.meters().values()
        # Where something runs elsewhere than on the CPU, or should, that is what is told of the engine.
        telling = next((one for one in holdings if one.provider_asked not in {"", _CPU}), None) or next(
            (one for one in holdings if one.provider_asked), None
        )
        return Figures(
            state=state,
            followed=followed,
            provider_asked=telling.provider_asked if telling is not None else "",
            provider_got=telling.provider_got if telling is not None else "",
            device=_device(telling.provider_got if telling is not None else ""),
            memory_used_bytes=memory.used_bytes,
            memory_budget_bytes=memory.budget_bytes,
            running=sum(one.running for one in meters),
            waiting=sum(one.depth for one in meters),
        )


def _device(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")
