"""Loaded versions within a byte budget: leased while in use, loaded once for many callers, evicted by worth."""

import os
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from typing import Generic

from inference.engine.backends import Backend, LoadedSession
from inference.engine.errors import EngineStopped, LoadFailed, NotLoaded, OverBudget, StillLoading
from inference.engine.leases import Entry, Held, Lease, LoadOrder, T
from inference.engine.memory import resident_bytes
from inference.engine.probed import ProbeFact, check_probed, check_provider
from inference.engine.warmup import Profile, warm_up
from inference.tensors.errors import InferenceError

_MIB = 1 << 20


class _Load(Generic[T]):
    """One load under way and the callers that wait for it. `finished` is set once; the rest is under the pool's lock."""

    def __init__(self, order: LoadOrder) -> None:
        self.order = order
        self.finished = threading.Event()
        self.waiting = 0
        self.wanted_until = 0.0
        self.entry: Entry[T] | None = None
        self.error: InferenceError | None = None


class SessionPool(Generic[T]):
    """The sessions of one device in one process.

    1. A load runs in a thread of its own: it makes room, loads, runs the warm-up ladder, builds the item with
       `make(session, profile)`, and only then is published. A swap is the same under a key that exists; the
       old entry serves until that moment and is closed when its last lease ends.
    2. A caller of a missing version waits for that one load until its own time is over; the load goes on.
    3. Room is made by evicting the entry of least worth (GreedyDual-Size with frequency: level at last use
       + uses x reload seconds / bytes; the level rises to the worth of whatever was evicted, so that what was
       dear once and is not used grows cheap). Pinned and leased entries stay; where only leases stand in
       the way the load waits for them, as long as a caller waits for the load.
    4. A footprint is what the order expects, where that was measured in a process of its own. Otherwise it is the
       session's own figure plus the growth of `measure()` over the warm-up with its largest batch. Both are readings of
       the whole process or device, so one load runs at a time, and what other work allocates meanwhile is counted in;
       what it frees may hide some, hence the session's figure (at least the file's size) as lower bound, and the largest
       reading of the same file and batch is kept. Before such a first load the size is only a guess, so the device
       may hold one version more than the share for the time of the measurement; after it the size is known, even if
       it did not fit, and what does not fit is refused before it is loaded.
    5. `retire(item)` is called before the session is closed, when no lease is left; it must not raise.
    """

    def __init__(
        self,
        backend: Backend,
        make: Callable[[LoadedSession, Profile], T],
        *,
        budget_bytes: int,
        engines_on_device: int = 1,
        retire: Callable[[T], None] = lambda item: None,
        measure: Callable[[], int] = resident_bytes,
        budget_name: str = "the memory budget",
    ) -> None:
        self.share_bytes = budget_bytes // max(1, engines_on_device)
        self._backend, self._make, self._retire, self._measure = backend, make, retire, measure
        self._budget_name = budget_name  # as those know it who can raise it
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # bytes given back, a lease ended, a pin taken off
        self._one_at_a_time = threading.Lock()
        self._ready: dict[Hashable, Entry[T]] = {}
        self._loads: dict[Hashable, _Load[T]] = {}
        self._measured: dict[
            tuple[ProbeFact, int], int
        ] = {}  # the largest reading of these bytes and this batch
        self._pinned: set[Hashable] = set()
        self._used_bytes = 0
        self._seeking_room = 0
        self._open = 0  # entries and reservations not given back
        self._level = 0.0
        self._is_closed = False

    def acquire(self, key: Hashable, order: LoadOrder | None = None, *, timeout_s: float = 0.0) -> Lease[T]:
        """Lease what serves `key`; if nothing does, load by `order` and wait for it up to `timeout_s`.

        Raises NotLoaded without an order, StillLoading when the time is over first, and what the load raised.
        """
        with self._lock:
            entry = self._ready.get(key)
            if entry is not None:
                entry.leases += 1
                entry.hits += 1
                entry.level = self._level
                return Lease(entry, self._release)
            if self._is_closed:
                raise EngineStopped
            if order is None:
                raise NotLoaded
            load = self._join(key, order, timeout_s)
        return Lease(self._leased(load, timeout_s), self._release)

    def load(self, key: Hashable, order: LoadOrder, *, timeout_s: float) -> None:
        """Make `key` be served by exactly `order`: load it, or swap it in for what serves now."""
        ends_at = time.monotonic() + timeout_s
        while True:
            with self._lock:
                entry = self._ready.get(key)
                if entry is not None and entry.order == order:
                    return
                if self._is_closed:
                    raise EngineStopped
                load = self._join(key, order, ends_at - time.monotonic())
            entry = self._leased(load, ends_at - time.monotonic())
            self._release(entry)
            if entry.order == order:  # not so where we joined a load that another order had begun
                return

    def unload(self, key: Hashable, only: T | None = None) -> bool:
        """Take `key` out of service, or this item of it; it is closed when its last lease ends. False: it was not loaded."""
        with self._lock:
            entry = self._ready.get(key)
            if entry is not None and only is not None and entry.item is not only:
                entry = None
            if entry is not None:
                del self._ready[key]
            is_idle = entry is not None and self._retires_idle(entry)
        if entry is not None and is_idle:
            self._close(entry)
        return entry is not None

    def pin(self, key: Hashable) -> None:
        """Keep `key` from being evicted, from now or from its load on."""
        with self._lock:
            self._pinned.add(key)

    def unpin(self, key: Hashable) -> None:
        with self._changed:
            self._pinned.discard(key)
            self._changed.notify_all()

    def held(self) -> tuple[Held, ...]:
        """Report what is in service."""
        with self._lock:
            return tuple(
                Held(
                    entry.key, entry.session.provider, entry.footprint_bytes, entry.load_s, entry.profile,
                    entry.leases, entry.hits, entry.key in self._pinned,
                )
                for entry in self._ready.values()
            )  # fmt: skip

    @property
    def used_bytes(self) -> int:
        """What is held or reserved now, drained entries and loads under way included."""
        return self._used_bytes

    def close(self, *, timeout_s: float) -> bool:
        """Refuse new calls, wait for leases and loads to end, close everything. False: some did not end in time."""
        with self._lock:
            self._is_closed = True
            entries = list(self._ready.values())
            self._ready.clear()
            idle = [entry for entry in entries if self._retires_idle(entry)]
            self._changed.notify_all()
        for entry in idle:
            self._close(entry)
        with self._changed:
            return self._changed.wait_for(lambda: not self._open and not self._loads, timeout_s)

    def _release(self, entry: Entry[T]) -> None:
        with self._lock:
            entry.leases -= 1
            must_close = entry.is_retired and not entry.leases
            if self._seeking_room:  # asked first: a notification costs as much as the rest of the lease
                self._changed.notify_all()
        if must_close:
            self._close(entry)

    def _join(self, key: Hashable, order: LoadOrder, timeout_s: float) -> _Load[T]:
        """Join the load of `key`, or begin it. Call it under the lock that found nothing in service."""
        load = self._loads.get(key)
        if load is None:
            load = _Load(order)
            threading.Thread(target=self._run_load, args=(key, load), name="engine-load", daemon=True).start()
            self._loads[key] = load  # after the start, which can fail; the thread ends only with the lock
        load.waiting += 1
        load.wanted_until = max(load.wanted_until, time.monotonic() + timeout_s)
        return load

    def _leased(self, load: _Load[T], timeout_s: float) -> Entry[T]:
        """Wait for a joined load; the entry comes leased."""
        load.finished.wait(max(0.0, timeout_s))
        with self._lock:
            if load.entry is not None:  # its lease for us was counted when it was published
                return load.entry
            load.waiting -= 1
        if load.error is None:
            raise StillLoading
        # an error of each caller's own: raising adds to a traceback, and these are several threads
        raise type(load.error)(str(load.error)) from load.error

    def _run_load(self, key: Hashable, load: _Load[T]) -> None:
        _go_anywhere()
        entry = None
        try:
            entry = self._loaded(key, load)
        except InferenceError as error:
            load.error = error
        except BaseException as error:  # noqa: BLE001  a thread that died silently would leave its callers waiting
            load.error = LoadFailed(f"The version could not be loaded ({type(error).__name__}); see the log.")
            load.error.__cause__ = error
        replaced = None
        with self._changed:
            del self._loads[key]
            if entry is not None and self._is_closed:
                load.error = EngineStopped()
                replaced = entry
            elif entry is not None:
                old = self._ready.get(key)
                if old is not None and self._retires_idle(old):
                    replaced = old
                # leased for its waiters before anybody can see it: it cannot be evicted between load and use
                entry.leases = entry.hits = load.waiting
                entry.level = self._level
                load.entry = self._ready[key] = entry
            self._changed.notify_all()
        load.finished.set()
        if replaced is not None:
            self._close(replaced)

    def _loaded(self, key: Hashable, load: _Load[T]) -> Entry[T]:
        order = load.order
        check_probed(order.probed, order.options, self._backend.runtime_version())
        reserved = max(self._expected(order), _file_bytes(order))
        self._reserve(key, load, reserved, already=None)
        session = None
        try:
            with self._one_at_a_time:
                started = time.monotonic()
                options = replace(order.options, expected_sha256=order.probed.sha256)
                session = self._backend.load(order.path, options)
                check_provider(order.probed, session.provider)
                before = self._measure()
                profile = warm_up(
                    session, max_batch=order.max_batch, sample=order.sample, soft_limit_s=order.run_limit_s
                )
                measured = session.footprint_bytes() + max(0, self._measure() - before)
                load_s = time.monotonic() - started
            footprint = order.expected_bytes or max(measured, self._expected(order))
            self._measured[order.probed, order.max_batch] = footprint
            if footprint > reserved:
                self._reserve(key, load, footprint - reserved, already=reserved)
            else:
                self._give_back(reserved - footprint)
            reserved = footprint
            item = self._make(session, profile)
        except BaseException:
            if session is not None:
                session.close()
            self._give_back(reserved, is_last=True)
            raise
        return Entry(key, order, session, item, profile, footprint, load_s)

    def _expected(self, order: LoadOrder) -> int:
        return order.expected_bytes or self._measured.get((order.probed, order.max_batch), 0)

    def _reserve(self, key: Hashable, load: _Load[T], needed: int, *, already: int | None) -> None:
        """Take `needed` bytes of the share, evicting what may go; raise OverBudget where that cannot be."""
        while True:
            with self._changed:
                if self._is_closed:
                    raise EngineStopped
                if self._used_bytes + needed <= self.share_bytes:
                    self._used_bytes += needed
                    self._open += already is None
                    return
                victim = self._least_worth(key)
                if victim is None:
                    self._wait_for_room(key, load, needed, already or 0)
                    continue
                del self._ready[victim.key]
                self._level = max(self._level, victim.worth)
                victim.is_retired = True
            self._close(victim)

    def _least_worth(self, loading: Hashable) -> Entry[T] | None:
        free = [
            e for e in self._ready.values() if not e.leases and e.key not in self._pinned and e.key != loading
        ]
        return min(free, key=lambda entry: entry.worth, default=None)

    def _wait_for_room(self, key: Hashable, load: _Load[T], needed: int, already: int) -> None:
        staying = [entry for entry in self._ready.values() if entry.key in self._pinned or entry.key == key]
        staying_bytes = sum(entry.footprint_bytes for entry in staying)
        if staying_bytes + already + needed <= self.share_bytes and time.monotonic() < load.wanted_until:
            self._seeking_room += 1
            self._changed.wait(load.wanted_until - time.monotonic())
            self._seeking_room -= 1
            return
        in_use_bytes = self._used_bytes - already - staying_bytes
        rows = load.order.max_batch
        batches = f" with batches of {rows:,}" if rows > 1 else ""
        fewer = " lower its max_batch_rows," if rows > 1 else ""
        raise OverBudget(
            f"This version takes {_mib(already + needed)}{batches}. Of {_mib(self.share_bytes)} that this process may use,"
            f" {_mib(staying_bytes)} are held by {len(staying)} that must stay and {_mib(in_use_bytes)} are in use:"
            f"{fewer} give another version no share, or raise {self._budget_name}."
        )

    def _retires_idle(self, entry: Entry[T]) -> bool:
        """Mark as out of service; True: no call is inside, so the caller closes it (otherwise the last lease does)."""
        entry.is_retired = True
        return not entry.leases

    def _close(self, entry: Entry[T]) -> None:
        try:
            self._retire(entry.item)
            entry.session.close()
        finally:
            self._give_back(entry.footprint_bytes, is_last=True)

    def _give_back(self, freed_bytes: int, *, is_last: bool = False) -> None:
        with self._changed:
            self._used_bytes -= freed_bytes
            self._open -= is_last
            self._changed.notify_all()


def _file_bytes(order: LoadOrder) -> int:
    try:
        return order.path.stat().st_size
    except OSError:  # the backend says it better
        return 0


def _mib(count: int) -> str:
    return f"{count / _MIB:,.1f} MiB"


def _go_anywhere() -> None:
    """Let this thread, and those of the session it makes, run where the process may, though its starter stays on one core."""
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, os.sched_getaffinity(os.getpid()))
