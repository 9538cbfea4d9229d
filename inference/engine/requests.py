"""One request as the engine takes it, its answer, and how it is withdrawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from inference.engine.backends import Tensors, type_ndarray
from inference.engine.combiner import Priority
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature


class Cancellation:
    """Lets another thread withdraw a request: give it to the engine, call `cancel` from anywhere, at any time."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self._withdraw: Callable[[], None] | None = None

    def cancel(self) -> None:
        self.is_cancelled = True
        if self._withdraw is not None:
            self._withdraw()

    def bind(self, withdraw: Callable[[], None]) -> None:
        # Each side writes its own fact before it reads the other's, so one of them always sees both.
        self._withdraw = withdraw
        if self.is_cancelled:
            withdraw()


@dataclass(slots=True)  # not frozen: that costs more than all else here, for each request
class EngineRequest:
    """What one caller wants of one version. `deadline`: a time of the monotonic clock."""

    inputs: Mapping[str, Any]
    deadline: float
    priority: Priority = Priority.LIVE
    outputs: Sequence[str] | None = None  # None: all
    cancellation: Cancellation | None = None
    # The caller has a rule of its own for NaN and infinities, so the version's setting is not asked.
    allow_non_finite: bool = False

    def tensors(self, signature: Signature, *, allow_non_finite: bool) -> Tensors:
        """The inputs as the version takes them. `allow_non_finite`: its own setting."""
        allows = self.allow_non_finite or allow_non_finite
        return prepare(signature, self.inputs, allow_non_finite=allows, online=True)


class Answer(NamedTuple):
    """A request's result. The arrays are the caller's own: no later batch writes to them."""

    outputs: dict[str, type_ndarray]
    batch_rows: int
    queue_s: float
    compute_s: float
    non_finite: bool
