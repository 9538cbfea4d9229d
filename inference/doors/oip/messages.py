"""An inference request, independent of the protocol's transport, and its limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from numpy.typing import NDArray

from inference.doors.errors import BadParameter
from inference.engine.combiner import Priority
from inference.serving.calls import DEADLINE_S, LONGEST_DEADLINE_S

Array = NDArray[Any]
Parameters = Mapping[str, bool | int | float | str]


@dataclass(frozen=True, slots=True)
class RequestLimits:
    json_bytes: int = 8 << 20
    body_bytes: int = 64 << 20
    tensors: int = 256
    # A text becomes a Python object of at least 50 bytes, however short it is on the wire.
    texts: int = 1 << 20


def request_limits() -> RequestLimits:
    return RequestLimits(json_bytes=settings.PREDICT_JSON_BYTES, body_bytes=settings.PREDICT_BINARY_BYTES)


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    name: str
    is_binary: bool | None = None  # None: the request's default
    classes: int = 0  # 0: the tensor itself


@dataclass(slots=True)
class InferRequest:
    inputs: Mapping[str, Array]
    outputs: tuple[RequestedOutput, ...] | None = None  # None: all
    id: str | None = None
    parameters: Parameters = field(default_factory=dict)
    unread: tuple[str, ...] = ()  # unknown fields of the body, which the protocol says to ignore

    @property
    def output_names(self) -> list[str] | None:
        return None if self.outputs is None else [output.name for output in self.outputs]


@dataclass(frozen=True, slots=True)
class Terms:
    within_s: float
    priority: Priority


def terms_of(parameters: Parameters, *, within_s: float | None = None) -> Terms:
    """Read `timeout` and `priority`; `within_s` is the transport's own deadline. The shorter one counts."""
    for name in ("sequence_id", "sequence_start", "sequence_end"):
        if parameters.get(name):
            raise BadParameter(
                f"Parameter {name!r}: models here do not keep state between requests; leave it out."
            )
    timeout_us = _whole(parameters, "timeout")
    deadlines = [s for s in (within_s, timeout_us / 1e6 if timeout_us else None) if s is not None]
    # 1 is the protocol's highest priority and 0 means none; all others may wait.
    priority = Priority.LIVE if _whole(parameters, "priority") <= 1 else Priority.BULK
    return Terms(min([*deadlines, LONGEST_DEADLINE_S]) if deadlines else DEADLINE_S, priority)


def check_load(parameters: Iterable[str]) -> None:
    """Raise BadParameter if a load request contains a configuration or files, which would be ignored."""
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise BadParameter(
                f"Parameter {name[:80]!r} of a load request is not supported: a version is loaded from its own file. "
                "Upload another version, or change the version's serving settings."
            )


def _whole(parameters: Parameters, name: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise BadParameter(f"Parameter {name!r} is {value!r}; send a whole number, 0 or more.")
    return value
