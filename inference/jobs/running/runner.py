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
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections

from inference.engine.errors import EngineStopped, VersionBroken
from inference.errors import Stopping
from inference.jobs import ledger
from inference.jobs.running import answering, planning
from inference.jobs.running.cores import Cores
from inference.jobs.running.failures import ChunkFailed, WorkOver
from inference.jobs.running.holding import Held, Holdings
from inference.jobs.running.low_priority import step_back
from inference.serving.crew import join
from inference.serving.stewarding.watchdog import Seen

log = structlog.get_logger("roundhouse.jobs")

_LOOK_EVERY_S = 2.0
_STOP_RESERVE_S = 2.0  # of the time to stop, for handing back what is not done
_DATABASE_PAUSE_S = 0.5


class JobRunner:
    """Does the chunks of a pool, or of all, a bounded number at once. A hint makes it look now; it looks anyway."""

    def __init__(self, *, pool: str | None, threads: int, steps_back: bool) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"[:200]
        self._pool = pool
        self._steps_back = steps_back
        self._cores = Cores()
        self._holdings = Holdings()
        self._looking = threading.Lock()  # one at a time, or two could both find that a chunk may run alone
        self._news = threading.Condition()
        self._told = 0
        self._is_stopping = False
        self._stop_renewing = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"job-{number}", daemon=True)
            for number in range(threads)
        ]
        self._renewer = threading.Thread(target=self._renew, name="job-leases", daemon=True)

    def start(self) -> None:
        for thread in (*self._threads, self._renewer):
            thread.start()
        log.info("jobs are taken", holder=self.holder, threads=len(self._threads))

    def hint(self) -> None:
        """Something waits, perhaps."""
        with self._news:
            self._told += 1
            self._news.notify_all()

    def watched(self) -> Seen:
        """For the watchdog: a chunk that should have moved by now is work that waits."""
        now = time.monotonic()
        return Seen(
            is_waiting=any(now > held.quiet_until for held in self._holdings.all()),
            moved=self._holdings.moves,
        )

    def stop(self, *, timeout_s: float = 25.0) -> bool:
        """Take nothing more, finish what is held, hand back what is not done in time; say whether all was done."""
        self._is_stopping = True
        self.hint()
        join(self._threads, timeout_s - _STOP_RESERVE_S)
        left = self._holdings.all()
        for held in left:
            held.is_over.set()
            self._in_database(partial(ledger.give_back, held.claim), tries=3)
        self._stop_renewing.set()
        close_old_connections()
        return not left

    def _work(self) -> None:
        if self._steps_back:
            step_back()
            self._cores.settle()
        while not self._is_stopping:
            seen = self._told
            held = self._take()
            if held is None:
                self._wait(seen)
                continue
            try:
                self._do(held)
            finally:
                self._holdings.remove(held)
                self.hint()  # a chunk that must run alone may have waited for this
        close_old_connections()

    def _wait(self, seen: int) -> None:
        close_old_connections()
        with self._news:
            self._news.wait_for(lambda: self._told != seen or self._is_stopping, timeout=_LOOK_EVERY_S)

    def _take(self) -> Held | None:
        """Claim the chunk whose turn it is. One that must run alone is not overtaken here by others."""
        with self._looking:
            try:
                close_old_connections()
                for chunk in ledger.waiting_in_turn(self._pool):
                    if not self._holdings.has_room_for(runs_alone=chunk.runs_alone):
                        return None
                    claim = ledger.claim(chunk, holder=self.holder)
                    if claim is not None:
                        return self._holdings.add(claim)
            except DatabaseError as error:
                log.warning("jobs wait for the database", reason=str(error))
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
        except VersionBroken:
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
                is_away = isinstance(error, (OperationalError, InterfaceError))
                if tries == 0 or not is_away or time.monotonic() > give_up_at:
                    log.error("a chunk's end could not be written; its lease will end", reason=str(error))
                    return
                time.sleep(_DATABASE_PAUSE_S)

    def _renew(self) -> None:
        """Keep our leases, and take away those that have ended, though beat may be gone or the broker empty.

        The threads' places are looked after in the same round.
        """
        while not self._stop_renewing.wait(settings.JOB_LEASE_S / 3):
            self._cores.look_after()
            try:
                close_old_connections()
                self._holdings.note_lost(ledger.renew([held.claim for held in self._holdings.all()]))
                if ledger.free_expired():
                    self.hint()
            except DatabaseError as error:
                log.warning("leases wait for the database", reason=str(error))
        close_old_connections()


_OWN_FAULT = "An error in Roundhouse itself; the worker's log says more."
