"""The worker's threads that process chunks, and the thread that renews their leases."""

import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from inference.engine.errors import EngineStopped, RunStuck
from inference.engine.threads import LowPriority
from inference.errors import Stopping
from inference.jobs.kinds import ChunkFailed, ClaimLost
from inference.jobs.running import work
from inference.jobs.running.work import HeldChunk, HeldChunks
from inference.jobs.services import ledger
from inference.serving.worker_process import STOP_HOOKS, WATCHES, QueueProgress
from registry.kit.loops import DATABASE_AWAY, Backoff, Loop, ThreadGroup

log = structlog.get_logger("roundhouse.jobs")

_LOOK_EVERY_S = 2.0
_STOP_RESERVE_S = 2.0  # part of the stop time reserved for giving unfinished chunks back
_DATABASE_PAUSE_S = 0.5
_BACKOFF = Backoff(longest_s=5.0)
_INTERNAL_ERROR = "Internal Roundhouse error; see the worker's log."

_runner: "JobRunner | None" = None


class JobRunner:
    """Processes chunks of a pool, or of all pools, a few at a time. Looks for work regularly, and at once on a hint."""

    def __init__(self, *, pool: str | None, threads: int, niceness: int | None) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"[:200]
        self._pool = pool
        self._low_priority = LowPriority(niceness) if niceness is not None else None
        self._held = HeldChunks()
        self._looking = threading.Lock()  # otherwise two threads could both decide that a chunk may run alone
        self._thread_count = threads
        self._threads = ThreadGroup(
            "jobs",
            Loop("jobs", self._work, _LOOK_EVERY_S, "jobs wait", _BACKOFF),
            threads=threads,
            on_start=self._begin_thread,
        )
        self._leases = ThreadGroup(
            "job-leases",
            Loop("job leases", self._renew, _renewal_interval_s, "others may process chunks too", _BACKOFF),
            Loop("ended job leases", self._free_expired, _renewal_interval_s, "lost chunks wait", _BACKOFF),
            Loop("cores of jobs", self._look_after_cores, _renewal_interval_s, "jobs may be slow"),
        )

    def start(self) -> None:
        self._threads.start()
        self._leases.start()
        log.info("jobs are taken", holder=self.holder, threads=self._thread_count)

    def hint(self) -> None:
        """Wake the threads, because there may be work."""
        self._threads.wake()

    def watched(self) -> QueueProgress:
        """For the watchdog: whether a chunk is overdue, and how much progress there was."""
        now = time.monotonic()
        return QueueProgress(
            is_waiting=any(now > held.quiet_until for held in self._held.all()),
            moved=self._held.moves,
        )

    def stop(self, *, timeout_s: float = 25.0) -> bool:
        """Take no more chunks, finish those in progress, give the rest back; return whether all were finished."""
        self._threads.stop(timeout_s - _STOP_RESERVE_S)
        unfinished = self._held.all()
        for held in unfinished:
            held.is_over.set()
            self._in_database(partial(ledger.give_back, held.claim), tries=3)
        self._leases.stop(within_s=0)
        close_old_connections()
        return not unfinished

    def _begin_thread(self) -> None:
        if self._low_priority is not None:
            self._low_priority.enter()

    def _look_after_cores(self) -> None:
        if self._low_priority is not None:
            self._low_priority.rebalance()

    def _work(self) -> bool:
        """Process one chunk; return whether there was one."""
        held = self._take()
        if held is None:
            return False
        try:
            self._process(held)
        finally:
            self._held.remove(held)
            self.hint()  # a chunk that must run alone may be waiting for this
        return True

    def _take(self) -> HeldChunk | None:
        """Claim the next chunk. A chunk that must run alone is not overtaken by others.

        If claiming one fails, try the others; raise the error only if no other chunk can be claimed.
        """
        failure: Exception | None = None
        with self._looking:
            for chunk in ledger.waiting_in_turn(self._pool):
                if not self._held.has_room_for(runs_alone=chunk.runs_alone):
                    return None
                try:
                    claim = ledger.claim(chunk, holder=self.holder)
                except DATABASE_AWAY:
                    raise
                except Exception as error:  # noqa: BLE001 (raised below)
                    failure = error
                    continue
                if claim is not None:
                    return self._held.add(claim)
        if failure is not None:
            raise failure
        return None

    def _process(self, held: HeldChunk) -> None:
        """End a claim exactly once: finished, failed, given back, lost, or left to the sweeper."""
        claim = held.claim
        try:
            if claim.is_plan:
                plan = work.plan_chunks(held)
                self._in_database(lambda: ledger.finish_plan(claim, plan.chunks, rows=plan.rows))
            else:
                results = work.answer_chunk(held)
                self._in_database(lambda: ledger.finish(claim, results))
        except ClaimLost:
            log.info("chunk left, it is not ours any more", job=str(claim.job_id), chunk=claim.chunk_id)
        except ChunkFailed as error:
            failed = error
            self._in_database(lambda: ledger.fail(claim, str(failed), ends_job=failed.ends_job))
        except (EngineStopped, Stopping):
            self._in_database(lambda: ledger.give_back(claim))
        except RunStuck:
            # This process is being replaced because of a stuck run, perhaps this one.
            self._in_database(lambda: ledger.lose(claim))
        except DatabaseError as error:
            log.warning("chunk left to another", job=str(claim.job_id), reason=str(error))
            self._in_database(lambda: ledger.give_back(claim))
        except Exception as error:  # the thread must survive
            log.error("chunk ended in an error", job=str(claim.job_id), chunk=claim.chunk_id, exc_info=error)
            self._in_database(lambda: ledger.fail(claim, _INTERNAL_ERROR))

    def _in_database(self, write: Callable[[], object], *, tries: int | None = None) -> None:
        """Retry while the database is unreachable; the attempt number makes a second write harmless."""
        give_up_at = time.monotonic() + 2 * settings.JOB_LEASE_S
        while True:
            try:
                close_old_connections()
                write()
                return
            except DatabaseError as error:
                tries = None if tries is None else tries - 1
                is_away = isinstance(error, DATABASE_AWAY)
                if tries == 0 or not is_away or time.monotonic() > give_up_at:
                    log.error("a chunk's end could not be written; its lease will end", reason=str(error))
                    return
                time.sleep(_DATABASE_PAUSE_S)

    def _renew(self) -> None:
        """Renew our leases, and note those that we lost."""
        self._held.note_lost(ledger.renew([held.claim for held in self._held.all()]))

    def _free_expired(self) -> None:
        """Free expired leases here too, in case beat or the broker is down."""
        if ledger.free_expired():
            self.hint()


def _renewal_interval_s() -> float:
    third: float = settings.JOB_LEASE_S / 3
    return third


def start() -> None:
    """Start processing chunks, until the worker stops. The runtime must have been started."""
    global _runner
    _runner = JobRunner(
        pool=settings.POOL if settings.EXECUTOR == "workers" else None,
        threads=settings.JOB_THREADS,
        # Jobs must not slow down online requests of web processes on the same machine.
        niceness=settings.JOB_NICENESS if settings.EXECUTOR == "inprocess" else None,
    )
    STOP_HOOKS.add("jobs", stop)
    WATCHES.add("jobs", _runner.watched)
    _runner.start()


def stop(timeout_s: float) -> None:
    if _runner is not None:
        _runner.stop(timeout_s=timeout_s)


def hint() -> None:
    """Wake the runner of this process, if it has one: there may be work."""
    if _runner is not None:
        _runner.hint()
