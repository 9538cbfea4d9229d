"""One request: as a caller makes it, as it waits in the queue, and its answer."""

import threading
from abc import ABC, abstractmethod
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from inference.engine.combiner import WAITING, Priority, Ticket
from inference.engine.merge import RunResult
from inference.tensors.arrays import Array, Tensors
from inference.tensors.errors import InferenceError
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature


class Cancellation:
    """Lets another thread withdraw a request: pass it to the engine, then call `cancel` from any thread at any time."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self._withdraw: Callable[[], object] | None = None

    def cancel(self) -> None:
        self.is_cancelled = True
        if self._withdraw is not None:
            self._withdraw()

    def bind(self, withdraw: Callable[[], object]) -> None:
        # Each side writes its own field before it reads the other's, so at least one of them sees both.
        self._withdraw = withdraw
        if self.is_cancelled:
            withdraw()


@dataclass(slots=True)  # not frozen: freezing costs more per request than everything else here
class EngineRequest:
    """A caller's request to one version. `deadline` is a time on the monotonic clock."""

    inputs: Mapping[str, Any]
    deadline: float
    priority: Priority = Priority.LIVE
    outputs: Sequence[str] | None = None  # None: all
    cancellation: Cancellation | None = None
    allow_non_finite: bool = False  # the caller accepts NaN and infinities, whatever the version's setting

    def tensors(self, signature: Signature, *, allow_non_finite: bool) -> Tensors:
        """The inputs in the form that the version accepts. `allow_non_finite` is the version's own setting."""
        allows = self.allow_non_finite or allow_non_finite
        return prepare(signature, self.inputs, allow_non_finite=allows, online=True)


class EngineAnswer(NamedTuple):
    """A request's result. The arrays belong to the caller: no later batch writes to them."""

    outputs: dict[str, Array]
    batch_rows: int
    queue_s: float
    compute_s: float
    non_finite: bool


class QueuedCall(Ticket, ABC):
    """A request in the queue, and its result. `wake` is called once, on the loop, when the result is set."""

    __slots__ = ("is_audit", "outputs", "result", "start", "tensors")

    def __init__(
        self, shape: tuple[object, int, int], tensors: Tensors, request: EngineRequest, is_audit: bool
    ) -> None:
        self.key, self.rows, self.nbytes = shape  # all set here: a second __init__ is expensive on this path
        self.deadline, self.priority = request.deadline, request.priority
        self.offered_at, self.state = 0.0, WAITING
        self.tensors = tensors
        self.outputs = request.outputs
        self.is_audit = is_audit  # not a caller's request, so it is not counted
        self.start = 0  # of its rows in the batch
        self.result: RunResult | InferenceError | None = None  # written once

    @abstractmethod
    def wake(self) -> None: ...


class TaskCall(QueuedCall):
    """A call that a task on the loop waits for."""

    __slots__ = ("future",)
    future: "Future[None]"

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class ThreadCall(QueuedCall):
    """A call that a thread waits for.

    The threads of one batch wake each other one by one: if all woke at once, they would only queue for the
    interpreter's lock, and so would the loop.
    """

    __slots__ = ("next", "sleep")

    def __init__(
        self, shape: tuple[object, int, int], tensors: Tensors, request: EngineRequest, is_audit: bool
    ) -> None:
        super().__init__(shape, tensors, request, is_audit)
        self.sleep = threading.Lock()
        self.sleep.acquire()
        self.next: ThreadCall | None = None

    def wake(self) -> None:
        try:  # noqa: SIM105 - contextlib.suppress costs as much as the wake-up
            self.sleep.release()
        except RuntimeError:
            pass  # it was already woken and no longer waits
