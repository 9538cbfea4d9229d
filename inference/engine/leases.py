"""What the pool holds of one loaded version, and the lease that keeps it there while a call is inside."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from inference.engine.backends import Session, SessionOptions
from inference.engine.probed import ProbeFact
from inference.engine.samples import NOTHING_SAID, Sample
from inference.engine.warmup import Profile

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """Which file to load, how, and the proof that a child has survived it."""

    path: Path
    options: SessionOptions
    probed: ProbeFact
    max_batch: int = 1  # the warm-up's highest rung
    sample: Sample = NOTHING_SAID  # what the warm-up runs
    expected_bytes: int = 0  # what it takes, where that was measured by itself: it is counted as that
    run_limit_s: float | None = None  # soft limit of a warm-up run


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """A loaded version. All counters are guarded by the pool's lock."""

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


class Lease(Generic[T]):
    """Holds an entry for one call; a context manager that gives the item. Releasing twice is harmless."""

    __slots__ = ("_entry", "_release", "item")

    def __init__(self, entry: Entry[T], release: Callable[[Entry[T]], None]) -> None:
        self._entry: Entry[T] | None = entry
        self._release = release
        self.item = entry.item

    def __enter__(self) -> T:
        return self.item

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            self._release(entry)


@dataclass(frozen=True, slots=True)
class Held:
    """One line of the pool's report."""

    key: Hashable
    provider: str
    footprint_bytes: int
    load_s: float
    profile: Profile
    leases: int
    hits: int
    is_pinned: bool
