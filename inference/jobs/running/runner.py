"""The threads of a worker that do chunks, and the one that renews their leases."""

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
from inference.engine.low_priority import LowPriority
from inference.errors import Stopping
from inference.jobs import ledger
from inference.jobs.running import answering, planning
from inference.jobs.running.failures import ChunkFailed, WorkOver
from inference.jobs.running.holding import Held, Holdings
from inference.serving.worker_process import QueueProgress
from registry.kit.loops import DATABASE_AWAY, Backoff, Loop, ThreadGroup

log = structlog.get_logger("roundhouse.jobs")

_LOOK_EVERY_S = 2.0
_STOP_RESERVE_S = 2.0  # of the time to stop, for handing back what is not done
_DATABASE_PAUSE_S = 0.5
_BACKOFF = Backoff(longest_s=5.0)


class JobRunner:
    """Does the chunks of a pool, or of all, a bounded number at once. A hint makes it look now; it looks anyway."""

    def __init__(self, *, pool: str | None, threads: int, steps_back: bool) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"[:200]
        self._pool = pool
        self._low_priority = LowPriority() if steps_back else None
        self._holdings = Holdings()
        self._looking = threading.Lock()  # one at a time, or two could both find that a chunk may run alone
        self._thread_count = threads
        self._threads = ThreadGroup(
            "jobs",
            Loop("jobs", self._work, _LOOK_EVERY_S, "jobs wait", _BACKOFF),
            threads=threads,
            on_start=self._begin_thread,
        )
        self._leases = ThreadGroup(
            "job-leases",
            Loop(
                "job leases", self._renew, _a_third_of_a_lease, "chunks may be done by others too", _BACKOFF
            ),
            Loop("ended job leases", self._free_expired, _a_third_of_a_lease, "lost chunks wait", _BACKOFF),
            Loop("cores of jobs", self._look_after_cores, _a_third_of_a_lease, "jobs may be slow"),
        )

    def start(self) -> None:
        self._threads.start()
        self._leases.start()
        log.info("jobs are taken", holder=self.holder, threads=self._thread_count)

    def hint(self) -> None:
        """Something waits, perhaps."""
        self._threads.wake()

    def watched(self) -> QueueProgress:
        """For the watchdog: a chunk that should have moved by now is work that waits."""
        now = time.monotonic()
        return QueueProgress(
            is_waiting=any(now > held.quiet_until for held in self._holdings.all()),
            moved=self._holdings.moves,
        )

    def stop(self, *, timeout_s: float = 25.0) -> bool:
        """Take nothing more, finish what is held, hand back what is not done in time; say whether all was done."""
        self._threads.stop(timeout_s - _STOP_RESERVE_S)
        left = self._holdings.all()
        for held in left:
            held.is_over.set()
            self._in_database(partial(ledger.give_back, held.claim), tries=3)
        self._leases.stop(within_s=0)
        close_old_connections()
        return not left

    def _begin_thread(self) -> None:
        if self._low_priority is not None:
            self._low_priority.enter()

    def _look_after_cores(self) -> None:
        if self._low_priority is not None:
            self._low_priority.look_after()

    def _work(self) -> bool:
        """Do one chunk, if there is one; whether there was."""
        held = self._take()
        if held is None:
            return False
        try:
            self._do(held)
        finally:
            self._holdings.remove(held)
            self.hint()  # a chunk that must run alone may have waited for this
        return True

    def _take(self) -> Held | None:
        """Claim the chunk whose turn it is. One that must run alone is not overtaken here by others.

        One whose claim ends in an error of ours is skipped; the error is raised when there is no other to do.
        """
        odd: Exception | None = None
        with self._looking:
            for chunk in ledger.waiting_in_turn(self._pool):
                if not self._holdings.has_room_for(runs_alone=chunk.runs_alone):
                    return None
                try:
                    claim = ledger.claim(chunk, holder=self.holder)
                except DATABASE_AWAY:
                    raise
                except Exception as error:  # noqa: BLE001 (raised below)
                    odd = error
                    continue
                if claim is not None:
                    return self._holdings.add(claim)
        if odd is not None:
            raise odd
        return None

    def _do(self, held: Held) -> None:
        """Every claim ends here once: written, failed, given back, counted as lost, or left to the sweeper."""
        claim = held.claim
        try:
            if claim.is_plan:
                planned = planning.plan(held)
                self._in_database(lambda: ledger.finish_plan(claim, planned.chunks, rows=planned.rows))
            else:
                results = answering.answer(held)
                self._in_database(lambda: ledger.finish(claim, results))
        except WorkOver:
            log.info("chunk left, it is not ours any more", job=str(claim.job_id), chunk=claim.chunk_id)
        except ChunkFailed as error:
            failed = error
            self._in_database(lambda: ledger.fail(claim, str(failed), ends_job=failed.ends_job))
        except (EngineStopped, Stopping):
            self._in_database(lambda: ledger.give_back(claim))
        except RunStuck:
            # This process is being replaced because of a run that does not end, perhaps this one.
            self._in_database(lambda: ledger.lose(claim))
        except DatabaseError as error:
            log.warning("chunk left to another", job=str(claim.job_id), reason=str(error))
            self._in_database(lambda: ledger.give_back(claim))
        except Exception as error:  # a thread that ended here would take no chunk ever again
            log.error("chunk ended in an error", job=str(claim.job_id), chunk=claim.chunk_id, exc_info=error)
            self._in_database(lambda: ledger.fail(claim, _OWN_FAULT))

    def _in_database(self, write: Callable[[], object], *, tries: int | None = None) -> None:
        """Write although the database may be away for a while; the attempt's number makes a second write harmless."""
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
        """Keep our leases, and note those that are not ours any more."""
        self._holdings.note_lost(ledger.renew([held.claim for held in self._holdings.all()]))

    def _free_expired(self) -> None:
        """Take away leases that have ended, though beat may be gone or the broker empty."""
        if ledger.free_expired():
            self.hint()


def _a_third_of_a_lease() -> float:
    third: float = settings.JOB_LEASE_S / 3
    return third


_OWN_FAULT = "An error in Roundhouse itself; the worker's log says more."
