"""Leases: one holder at a time, by the database's clock."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from registry.kit.clock import from_now
from registry.record.models import Lease


def claim(name: str, *, holder: str, for_s: float) -> bool:
    """Take or renew the lease; False while another holder's lease has not expired."""
    until = from_now(for_s)
    free_or_mine = Q(holder=holder) | Q(expires_at__lt=Now())
    if Lease.objects.filter(free_or_mine, name=name).update(holder=holder, expires_at=until):
        return True
    if Lease.objects.filter(name=name).exists():
        return False
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, holder=holder, expires_at=until)
    except IntegrityError:
        return False  # another process created the row in between
    return True


def release(name: str, *, holder: str) -> None:
    """Give the lease back, if it is still ours."""
    Lease.objects.filter(name=name, holder=holder).update(expires_at=F("expires_at") - timedelta(days=1))


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that this thread holds."""

    name: str
    holder: str
    for_s: float

    def renew(self) -> bool:
        """Hold it as long again; False if another holder took it in the meantime."""
        return claim(self.name, holder=self.holder, for_s=self.for_s)


@contextmanager
def held(name: str, *, for_s: float) -> Iterator[HeldLease | None]:
    """Hold the lease while the block runs; None if another thread or process has it."""
    # A worker's threads are one process, so its id alone would let two of them in.
    lease = HeldLease(name, f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}", for_s)
    if not lease.renew():
        yield None
        return
    try:
        yield lease
    finally:
        release(name, holder=lease.holder)
