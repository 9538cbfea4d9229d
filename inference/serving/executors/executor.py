"""The interface through which serving runs versions."""

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
class VersionHolding:
    """One version in this process: in memory, being loaded, or failed to load."""

    target: Target
    state: str  # loading | warm | failed
    use: str  # held | kept | on_demand
    provider_asked: str = ""
    provider_got: str = ""
    footprint_bytes: int = 0
    merged_rows: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EngineMemory:
    used_bytes: int
    budget_bytes: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a version that should be held cannot answer, and whether the reason may be temporary."""

    reason: str
    may_pass: bool

    def error(self) -> Loading | CannotLoad:
        return Loading(self.reason) if self.may_pass else CannotLoad(self.reason)


class Executor(Protocol):
    """Runs versions. Any thread may call it, but `hold`, `keep` and `retain_only` only one at a time."""

    loop: EngineLoop  # the queues live on this loop

    def hold(self, wanted: frozenset[Target]) -> None:
        """Load these. Does not raise if one cannot be loaded; `obstacle` returns the reason."""

    def retain_only(self, wanted: frozenset[Target], kept: Sequence[Target] = ()) -> None:
        """Stop holding all others. Those of `kept` that are in memory stay until their memory is needed."""

    def keep(self, wanted: Sequence[Target]) -> None:
        """Load these as well if there is room, the most important first."""

    def holdings(self) -> list[VersionHolding]:
        """What this process has in memory, and what it should have but does not."""

    def memory(self) -> EngineMemory: ...

    async def infer(self, target: Target, request: EngineRequest) -> EngineAnswer:
        """Answer a request; a version that is not held is loaded on demand. Threads run this with `complete`."""

    def known_signature(self, target: Target) -> Signature | None:
        """The version's signature if that needs no load and no query; None otherwise."""

    async def signature(self, target: Target, *, timeout_s: float) -> Signature:
        """The version's signature; loads the version if necessary, within the timeout."""

    def obstacle(self, target: Target) -> Obstacle | None:
        """Why a version that should be held cannot answer; None if no reason is known."""

    def unavailable(self, wanted: Collection[Target]) -> frozenset[Target]:
        """The ones among these versions that cannot answer now."""

    def is_warm(self, target: Target) -> bool: ...

    def warm_versions(self) -> int:
        """How many of the held versions can answer."""

    def unload(self, target: Target) -> None:
        """Unload a version that is in memory only because it was requested by number or alias."""

    def merged_rows(self, target: Target) -> int:
        """How many rows of different requests may share a run of this version; 1: each request runs alone."""

    def allows_non_finite(self, target: Target) -> bool:
        """Whether the version's serving settings allow NaN and infinity in inputs."""

    def audit_merging(self, *, timeout_s: float) -> Iterable[tuple[int, str]]:
        """Rerun some merged requests separately; yield the versions that must stop merging, and why."""

    @property
    def has_samples(self) -> bool:
        """Whether there are merged requests to audit."""

    def meters(self) -> dict[Hashable, Meters]: ...

    def look_after(self) -> None:
        """Periodic work; called about once a second."""

    def drain(self, *, timeout_s: float) -> bool: ...

    def close(self, *, timeout_s: float) -> bool: ...
