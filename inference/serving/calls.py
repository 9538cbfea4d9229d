"""What doors pass to serving, and what they get back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy import generic
from numpy.typing import NDArray

from inference.engine.combiner import Priority
from inference.engine.requests import Cancellation
from inference.measure.counts import ArmKey
from inference.pipelines.pipeline import Pipeline
from inference.serving.routes import Route, Target
from inference.tensors.arrays import byte_size
from inference.tensors.signature import Signature
from registry.access.key_ring import Principal

DEADLINE_S = 5.0
LONGEST_DEADLINE_S = 60.0


_OBJECTS = 5  # bytes of Python's objects for each byte of their JSON

Inputs = Mapping[str, Any]  # nested lists or arrays by tensor name


class Items(NamedTuple):
    """A request in words: the fields of its body that its task reads. For formats that do not name the task's fields, a
    function gives them."""

    body: Mapping[str, Any] | Callable[[Pipeline], Mapping[str, Any]]


@dataclass(slots=True)
class ModelRequest:
    """Who requests which version. `cancellation` withdraws the request when its caller hangs up.

    `predict` notes here how the request is to be counted; the door counts it when it sends the answer.
    """

    by: Principal
    model: str
    version: int | None = None
    alias: str | None = None
    cancellation: Cancellation | None = None
    fields: Any = None  # of the body, if it had to be read to find the Model
    arm_key: ArmKey | None = None  # None: no version was chosen yet
    took_s: float = 0.0


@dataclass(slots=True)
class Call:
    """One request for a prediction. Inputs may be a function of the signature, for formats that do not name tensors."""

    request: ModelRequest
    route: Route
    inputs: Inputs | Callable[[Signature], Inputs] | Items
    hold: Callable[[int], None]  # notes that the request holds so many more bytes; raises if there is no room
    fixed_target: Target | None = None  # the version, if it was known before the body was read
    outputs: Sequence[str] | None = None  # None: all
    routing_key: str | None = None  # from the caller's header
    # For Models that take their routing key from a field of the request.
    fields: Mapping[str, Any] | None = None
    within_s: float = DEADLINE_S
    priority: Priority = Priority.LIVE
    task: str | None = None  # which the Model must have; None: any


@dataclass(slots=True)
class Prediction:
    """An answer, and the version and arm that gave it."""

    request_id: str
    model: str
    version: int
    arm: str
    split: int
    outputs: Mapping[str, NDArray[generic]]
    signature: Signature  # of these outputs
    pipeline: Pipeline
    non_finite: bool = False
    answers: Sequence[Any] | None = None  # one for each item of a request in words
    answers_bytes: int = 0  # as JSON

    @property
    def nbytes(self) -> int:
        return byte_size(self.outputs) + _OBJECTS * self.answers_bytes


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A dry run's result: the version that would have answered, and the input tensors of its first run."""

    model: str
    version: int
    arm: str
    split: int
    tensors: Mapping[str, NDArray[generic]]
    signature: Signature
    runs: int


@dataclass(frozen=True, slots=True)
class Description:
    """What is known about a version without running it."""

    model: str
    versions: tuple[int, ...]  # ready to answer
    version: int
    sha256: str
    pipeline: Pipeline
    is_ready: bool
    platform: str
    merged_rows: int  # of different requests in one run; 1: each request runs alone

    @property
    def signature(self) -> Signature:
        """What callers send and receive as tensors."""
        return self.pipeline.callers_signature
