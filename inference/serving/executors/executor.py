"""What serving asks of whatever runs versions."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from inference.engine.loop import EngineLoop
from inference.engine.meters import Meters
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.errors import CannotLoad, Loading
from inference.serving.routes import Target
from inference.tensors.signature import Signature


@dataclass(frozen=True, slots=True)
class Holding:
    """One version in memory here, on its way there, or refused."""

    target: Target
    state: str  # loading | warm | failed
    use: str  # held | kept | on_demand
    provider_asked: str = ""
    provider_got: str = ""
    footprint_bytes: int = 0
    merged_rows: int = 1  # of several requests in one run
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    used_bytes: int
    budget_bytes: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a version that should be held cannot answer, and whether that may pass by itself."""

    reason: str
    may_pass: bool

    def error(self) -> Loading | CannotLoad:
        return Loading(self.reason) if self.may_pass else CannotLoad(self.reason)


class Executor(Protocol):
    """Runs versions. Several threads call it at once, but `hold`, `keep` and `let_go_of_all_but` only one at a time."""

    loop: EngineLoop  # its queues live there

    def hold(self, wanted: frozenset[Target]) -> None:
        """Make these able to answer; what cannot be is remembered and said by `why_not`, and raises nothing."""

    def let_go_of_all_but(self, wanted: frozenset[Target], kept: Sequence[Target] = ()) -> None:
        """Stop holding the others: they are asked for by nobody any more, or by number only.

        Those of `kept` that are in memory stay there until something needs the room.
        """

    def keep(self, wanted: Sequence[Target]) -> None:
        """Have these in memory as well, where there is room; the first matter most."""

    def holdings(self) -> list[Holding]:
        """What is in memory in this process, and what should be and is not."""

    def memory(self) -> Memory: ...

    async def infer(self, target: Target, request: EngineRequest) -> EngineAnswer:
        """Answer a request; a version that is not held is loaded on demand. In a thread, `complete` runs this."""

    def at_hand(self, target: Target) -> Signature | None:
        """What a version takes and gives, where asking it needs no load and no query now."""

    async def signature(self, target: Target, *, timeout_s: float) -> Signature:
        """What a version takes and gives; it may be loaded for that, within the time. In a thread, as `infer`."""

    def why_not(self, target: Target) -> Obstacle | None:
        """Why a version that should be held cannot answer; None while nothing is known against it."""

    def lacking(self, wanted: Collection[Target]) -> frozenset[Target]:
        """Those of these that could not answer now."""

    def is_warm(self, target: Target) -> bool: ...

    def warm_versions(self) -> int:
        """How many versions of those that should be held can answer."""

    def unload(self, target: Target) -> None:
        """Let a version go that is only in memory because somebody asked for it by number or alias."""

    def merged_rows(self, target: Target) -> int:
        """How many rows of several requests share a run of this version; 1: each request runs by itself."""

    def allows_non_finite(self, target: Target) -> bool:
        """Whether this version's inputs may hold NaN and infinities, by its serving settings."""

    def audit_merging(self, *, timeout_s: float) -> Iterable[tuple[int, str]]:
        """Run some merged requests again by themselves; give the versions that must not merge any more, and why."""

    @property
    def has_samples(self) -> bool:
        """Whether there is something to audit."""

    def meters(self) -> dict[Hashable, Meters]: ...

    def look_after(self) -> None:
        """What is to be done about once a second, even where nobody calls."""

    def drain(self, *, timeout_s: float) -> bool: ...

    def close(self, *, timeout_s: float) -> bool: ...
