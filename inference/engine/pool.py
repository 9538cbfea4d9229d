"""Loaded versions within a byte budget: leased while in use, loaded once for many callers, evicted by worth."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from inference.engine.backends import (
    Backend,
    LoadedSession,
    ProbeFact,
    Session,
    SessionOptions,
    check_probed,
    check_provider,
)
from inference.engine.errors import EngineStopped, LoadFailed, NotLoaded, OverBudget, StillLoading
from inference.engine.memory import resident_bytes
from inference.engine.threads import unpin_thread
from inference.engine.warmup import Profile, warm_up
from inference.tensors.errors import InferenceError
from inference.tensors.samples import EMPTY_SAMPLE, Sample

T = TypeVar("T")

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """Which file to load, how, and the proof that a child process has survived loading it."""

    path: Path
    options: SessionOptions
    probed: ProbeFact
    max_batch: int = 1  # the largest batch of the warm-up
    sample: Sample = EMPTY_SAMPLE  # input of the warm-up
    expected_bytes: int = 0  # footprint, if it was measured in a separate process; then it is used as is
    run_limit_s: float | None = None  # soft limit of a warm-up run


@dataclass(slots=True, eq=False)
class PoolEntry(Generic[T]):
    """A loaded version. The pool's lock guards all counters."""

    key: Hashable
    order: LoadOrder
    session: Session
    item: T  # what `make` built on the session
    profile: Profile
    footprint_bytes: int
    load_s: float
    level: float = 0.0
    leases: int = 0
    hits: int = 0
    is_retired: bool = False

    @property
    def worth(self) -> float:
        """Greedy dual: the pool's level at the last use, plus uses x seconds to reload / bytes held."""
        return self.level + self.hits * self.load_s / max(1, self.footprint_bytes)


class SessionLease(Generic[T]):
    """Keeps an entry loaded during one call; a context manager that returns the item. Releasing twice is harmless."""

    __slots__ = ("_entry", "_release", "item")

    def __init__(self, entry: PoolEntry[T], release: Callable[[PoolEntry[T]], None]) -> None:
        self._entry: PoolEntry[T] | None = entry
        self._release = release
        self.item = entry.item

    def __enter__(self) -> T:
        return self.item

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            self._release(entry)


@dataclass(frozen=True, slots=True)
class PoolEntryInfo:
    """What the pool reports about an entry."""

    key: Hashable
    provider: str
    footprint_bytes: int
    load_s: float
    profile: Profile
    leases: int
    hits: int
    is_pinned: bool


class _Load(Generic[T]):
    """A load in progress, and how many callers wait for it. The pool's lock guards all but `finished`, set once."""

    def __init__(self, order: LoadOrder) -> None:
        self.order = order
        self.finished = threading.Event()
        self.waiting = 0
        self.wanted_until = 0.0
        self.entry: PoolEntry[T] | None = None
        self.error: InferenceError | None = None


class SessionPool(Generic[T]):
    """The sessions of one device in one process.

    1. Each load runs in its own thread: it makes room, loads the file, runs the warm-up ladder, builds the item with
       `make(session, profile)` and then publishes it. Loading a key that is in use swaps it: the old entry serves until
       the new one is published, and is closed when its last lease ends.
    2. All callers of a missing version wait for the same load, each until its own time is up. The load continues.
    3. To make room, the pool evicts the entry of least worth (GreedyDual-Size with frequency: level at the last use
       + uses x reload seconds / bytes; the level rises to the worth of each evicted entry, so that an expensive entry
       that is no longer used can be evicted). It never evicts pinned or leased entries; if only leases are in the way, the
       load waits for them as long as a caller waits for the load.
    4. The footprint is `expected_bytes`, if that was measured in a separate process. Otherwise it is the session's own
       figure plus the growth of `measure()` during the warm-up with its largest batch. Both read the whole process or
       device and so include what other work allocates; therefore only one load runs at a time. What other work frees
       may hide some of it; therefore the session's figure (at least the file's size) is a lower bound, and the pool
       keeps the largest reading for the same file and batch. Before the first load of a file its size is a guess, so
       during that load the device may hold one version more than the share. After it the size is known, even if the
       version did not fit; the next load is refused before it begins.
    5. `retire(item)` is called before the session is closed, when no lease is left. It must not raise.
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
        """`budget_name`: how error messages refer to the budget."""
        self.share_bytes = budget_bytes // max(1, engines_on_device)
        self._backend, self._make, self._retire, self._measure = backend, make, retire, measure
        self._budget_name = budget_name
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # bytes freed, a lease ended, an entry unpinned
        self._load_lock = threading.Lock()
        self._ready: dict[Hashable, PoolEntry[T]] = {}
        self._loads: dict[Hashable, _Load[T]] = {}
        self._measured: dict[tuple[ProbeFact, int], int] = {}  # largest footprint by file and largest batch
        self._pinned: set[Hashable] = set()
        self._used_bytes = 0
        self._waiting_for_room = 0
        self._open = 0  # entries and reservations not freed yet
        self._level = 0.0
        self._is_closed = False

    def acquire(
        self, key: Hashable, order: LoadOrder | None = None, *, timeout_s: float = 0.0
    ) -> SessionLease[T]:
        """Lease the entry of `key`; if there is none, load `order` and wait up to `timeout_s`.

        Raises NotLoaded if there is no `order`, StillLoading when the time is up, and the load's own error if it failed.
        """
        with self._lock:
            entry = self._ready.get(key)
            if entry is not None:
                entry.leases += 1
                entry.hits += 1
                entry.level = self._level
                return SessionLease(entry, self._release)
            if self._is_closed:
                raise EngineStopped
            if order is None:
                raise NotLoaded
            load = self._join(key, order, timeout_s)
        return SessionLease(self._wait_for(load, timeout_s), self._release)

    def load(self, key: Hashable, order: LoadOrder, *, timeout_s: float) -> None:
        """Make `key` use exactly `order`: load it, replacing any current entry."""
        ends_at = time.monotonic() + timeout_s
        while True:
            with self._lock:
                entry = self._ready.get(key)
                if entry is not None and entry.order == order:
                    return
                if self._is_closed:
                    raise EngineStopped
                load = self._join(key, order, ends_at - time.monotonic())
            entry = self._wait_for(load, ends_at - time.monotonic())
            self._release(entry)
            if entry.order == order:  # not if we joined a load with a different `order`
                return

    def unload(self, key: Hashable, only: T | None = None) -> bool:
        """Take `key` out of service; with `only`, only if it still has that item. It is closed when its last lease ends.

        Returns False if it was not loaded.
        """
        with self._lock:
            entry = self._ready.get(key)
            if entry is not None and only is not None and entry.item is not only:
                entry = None
            if entry is not None:
                del self._ready[key]
            is_idle = entry is not None and self._mark_retired(entry)
        if entry is not None and is_idle:
            self._close(entry)
        return entry is not None

    def pin(self, key: Hashable) -> None:
        """Never evict `key`, whether it is loaded now or later."""
        with self._lock:
            self._pinned.add(key)

    def unpin(self, key: Hashable) -> None:
        with self._changed:
            self._pinned.discard(key)
            self._changed.notify_all()

    def held(self) -> tuple[PoolEntryInfo, ...]:
        with self._lock:
            return tuple(
                PoolEntryInfo(
                    entry.key, entry.session.provider, entry.footprint_bytes, entry.load_s, entry.profile,
                    entry.leases, entry.hits, entry.key in self._pinned,
                )
                for entry in self._ready.values()
            )  # fmt: skip

    @property
    def used_bytes(self) -> int:
        """Bytes held or reserved now, including draining entries and loads in progress."""
        return self._used_bytes

    def close(self, *, timeout_s: float) -> bool:
        """Refuse new calls, wait for leases and loads to end, close everything. False if any did not end in time."""
        with self._lock:
            self._is_closed = True
            entries = list(self._ready.values())
            self._ready.clear()
            idle = [entry for entry in entries if self._mark_retired(entry)]
            self._changed.notify_all()
        for entry in idle:
            self._close(entry)
        with self._changed:
            return self._changed.wait_for(lambda: not self._open and not self._loads, timeout_s)

    def _release(self, entry: PoolEntry[T]) -> None:
        with self._lock:
            entry.leases -= 1
            must_close = entry.is_retired and not entry.leases
            if self._waiting_for_room:  # notifying costs as much as the rest of the lease
                self._changed.notify_all()
        if must_close:
            self._close(entry)

    def _join(self, key: Hashable, order: LoadOrder, timeout_s: float) -> _Load[T]:
        """Join the load of `key`, or start it. The lock must be held since the look-up that found no entry."""
        load = self._loads.get(key)
        if load is None:
            load = _Load(order)
            threading.Thread(target=self._run_load, args=(key, load), name="engine-load", daemon=True).start()
            self._loads[key] = load  # after the start, which can fail; the thread needs the lock to end
        load.waiting += 1
        load.wanted_until = max(load.wanted_until, time.monotonic() + timeout_s)
        return load

    def _wait_for(self, load: _Load[T], timeout_s: float) -> PoolEntry[T]:
        """Wait for a load after joining it. The entry it returns is leased."""
        load.finished.wait(max(0.0, timeout_s))
        with self._lock:
            if load.entry is not None:  # our lease was counted when it was published
                return load.entry
            load.waiting -= 1
        if load.error is None:
            raise StillLoading
        # A new error for each caller: raising extends the traceback, and several threads raise it.
        raise type(load.error)(str(load.error)) from load.error

    def _run_load(self, key: Hashable, load: _Load[T]) -> None:
        unpin_thread()
        entry = None
        try:
            entry = self._load_entry(key, load)
        except InferenceError as error:
            load.error = error
        except BaseException as error:  # noqa: BLE001  if the thread died silently, its callers would wait forever
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
                if old is not None and self._mark_retired(old):
                    replaced = old
                # Leased for its waiters before it is visible, so it cannot be evicted between load and use.
                entry.leases = entry.hits = load.waiting
                entry.level = self._level
                load.entry = self._ready[key] = entry
            self._changed.notify_all()
        load.finished.set()
        if replaced is not None:
            self._close(replaced)

    def _load_entry(self, key: Hashable, load: _Load[T]) -> PoolEntry[T]:
        order = load.order
        check_probed(order.probed, order.options, self._backend.runtime_version())
        reserved = max(self._expected_bytes(order), _file_bytes(order))
        self._reserve(key, load, reserved, already=None)
        session = None
        try:
            with self._load_lock:
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
            footprint = order.expected_bytes or max(measured, self._expected_bytes(order))
            self._measured[order.probed, order.max_batch] = footprint
            if footprint > reserved:
                self._reserve(key, load, footprint - reserved, already=reserved)
            else:
                self._free(reserved - footprint)
            reserved = footprint
            item = self._make(session, profile)
        except BaseException:
            if session is not None:
                session.close()
            self._free(reserved, is_last=True)
            raise
        return PoolEntry(key, order, session, item, profile, footprint, load_s)

    def _expected_bytes(self, order: LoadOrder) -> int:
        return order.expected_bytes or self._measured.get((order.probed, order.max_batch), 0)

    def _reserve(self, key: Hashable, load: _Load[T], needed: int, *, already: int | None) -> None:
        """Take `needed` bytes of the share, evicting entries if necessary; raise OverBudget if there is no room."""
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

    def _least_worth(self, loading: Hashable) -> PoolEntry[T] | None:
        free = [
            e for e in self._ready.values() if not e.leases and e.key not in self._pinned and e.key != loading
        ]
        return min(free, key=lambda entry: entry.worth, default=None)

    def _wait_for_room(self, key: Hashable, load: _Load[T], needed: int, already: int) -> None:
        staying = [entry for entry in self._ready.values() if entry.key in self._pinned or entry.key == key]
        staying_bytes = sum(entry.footprint_bytes for entry in staying)
        if staying_bytes + already + needed <= self.share_bytes and time.monotonic() < load.wanted_until:
            self._waiting_for_room += 1
            self._changed.wait(load.wanted_until - time.monotonic())
            self._waiting_for_room -= 1
            return
        in_use_bytes = self._used_bytes - already - staying_bytes
        rows = load.order.max_batch
        batches = f" with batches of {rows:,}" if rows > 1 else ""
        fewer = " lower its max_batch_rows," if rows > 1 else ""
        raise OverBudget(
            f"This version needs {_mib(already + needed)}{batches}. Of the {_mib(self.share_bytes)} that this process may use,"
            f" {_mib(staying_bytes)} must stay loaded (versions: {len(staying)}) and {_mib(in_use_bytes)} are in use:"
            f"{fewer} remove another version's share, or raise {self._budget_name}."
        )

    def _mark_retired(self, entry: PoolEntry[T]) -> bool:
        """Take it out of service. True if nothing leases it, so the caller must close it; otherwise its last lease does."""
        entry.is_retired = True
        return not entry.leases

    def _close(self, entry: PoolEntry[T]) -> None:
        try:
            self._retire(entry.item)
            entry.session.close()
        finally:
            self._free(entry.footprint_bytes, is_last=True)

    def _free(self, freed_bytes: int, *, is_last: bool = False) -> None:
        with self._changed:
            self._used_bytes -= freed_bytes
            self._open -= is_last
            self._changed.notify_all()


def _file_bytes(order: LoadOrder) -> int:
    try:
        return order.path.stat().st_size
    except OSError:  # the backend raises a better error
        return 0


def _mib(count: int) -> str:
    return f"{count / _MIB:,.1f} MiB"
