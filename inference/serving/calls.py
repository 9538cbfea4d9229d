"""What a door hands to serving, and what it gets back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy import generic
from numpy.typing import NDArray

from inference.engine.combiner import Priority
from inference.engine.requests import Cancellation
from inference.serving.routes import Route, Target
from inference.tensors.arrays import byte_size
from inference.tensors.signature import Signature
from registry.access.key_ring import Principal

DEADLINE_S = 5.0
LONGEST_DEADLINE_S = 60.0


Inputs = Mapping[str, Any]  # nested lists or arrays by tensor name


@dataclass(slots=True)
class Call:
    """One request for a prediction. Inputs that only the signature can name are a function of it."""

    by: Principal
    route: Route
    inputs: Inputs | Callable[[Signature], Inputs]
    version: int | None = None
    alias: str | None = None
    foregone: Target | None = None  # who answers, where that was found before the body was read
    outputs: Sequence[str] | None = None  # None: all
    routing_key: str | None = None  # as the caller's header says
    # Where the Model takes its routing key from a field of the request.
    fields: Mapping[str, Any] | None = None
    within_s: float = DEADLINE_S
    priority: Priority = Priority.LIVE
    cancellation: Cancellation | None = None


@dataclass(slots=True)
class Prediction:
    """An answer and who gave it."""

    request_id: str
    model: str
    version: int
    arm: str
    split: int
    outputs: Mapping[str, NDArray[generic]]
    signature: Signature
    labels: tuple[str, ...] | None
    scores: str | None  # what the outputs of a classification are: logits or probabilities
    non_finite: bool

    @property
    def nbytes(self) -> int:
        return byte_size(self.outputs)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a request would have been: who would have answered, and the tensors it would have taken."""

    model: str
    version: int
    arm: str
    split: int
    tensors: Mapping[str, NDArray[generic]]
    signature: Signature


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a version without asking it."""

    model: str
    versions: tuple[int, ...]  # ready to answer
    version: int
    sha256: str
    signature: Signature
    is_ready: bool
    platform: str
    merged_rows: int  # of several requests in one run; 1: each runs by itself
    labels: tuple[str, ...] | None
    scores: str | None
