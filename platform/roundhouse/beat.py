"""Beat with one leader: several may run, and only the holder of the lease sends tasks."""

import os
import socket
from typing import Any

import structlog
from celery.beat import Scheduler
from django.db import DatabaseError, close_old_connections

from registry.record import leases

log = structlog.get_logger("roundhouse.beat")

_LEASE_S = 15.0
_RETRY_S = 3.0


class LeasedScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type hints
    """Keeps the schedule in memory, and ticks only while it holds the lease."""

    max_interval = _RETRY_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._leads = False
        super().__init__(*args, **kwargs)
        self.max_interval = _RETRY_S

    def tick(self, *args: Any, **kwargs: Any) -> float:
        close_old_connections()
        try:
            leads = leases.claim("beat", holder=self._holder, for_s=_LEASE_S)
        except DatabaseError as error:
            log.warning("beat waits for the database", error=str(error))
            return _RETRY_S
        if leads != self._leads:
            log.info("beat leads" if leads else "beat stands by", holder=self._holder)
            self._leads = leads
        if not leads:
            return _RETRY_S
        wait: float = super().tick(*args, **kwargs)
        return min(wait, _RETRY_S)

    def close(self) -> None:
        if self._leads:
            leases.release("beat", holder=self._holder)
        super().close()
