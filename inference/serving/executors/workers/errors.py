"""Errors of the way to the workers, and how a worker's errors travel back.

Overloaded (inference.engine.errors)
└── WorkersUnreachable      Redis does not answer
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from inference.engine import errors as engine
from inference.errors import Loading, Stopping
from inference.tensors import errors
from registry.errors import RoundhouseError


class WorkersUnreachable(engine.Overloaded):
    """The workers cannot be reached at the moment; try again shortly."""

    code = "workers_unreachable"


def told(error: Exception) -> dict[str, Any]:
    """What a reply says of an error; of one that nobody foresaw, only that there was one."""
    if isinstance(error, errors.InvalidInput):
        more = {"field": error.field, "expected": error.expected, "got": error.got}
        return {"code": error.code, "message": str(error), "more": more}
    if isinstance(error, Loading):
        return {"code": engine.StillLoading.code, "message": str(error)}
    if isinstance(error, Stopping):
        return {"code": engine.EngineStopped.code, "message": str(error)}
    if isinstance(error, RoundhouseError):
        return {"code": engine.LoadFailed.code, "message": str(error)}
    if isinstance(error, errors.InferenceError):
        return {"code": error.code, "message": str(error)}
    return {"code": engine.RunFailed.code, "message": str(engine.RunFailed())}


def raised(told: Mapping[str, Any]) -> errors.InferenceError:
    """The error that `told` was made of, of the same class."""
    kind = _kinds().get(told["code"], engine.RunFailed)
    if issubclass(kind, errors.InvalidInput):
        return kind(told["message"], **told.get("more", {}))
    return kind(told["message"])


@cache
def _kinds() -> Mapping[str, type[errors.InferenceError]]:
    return {kind.code: kind for kind in _family(errors.InferenceError)}


def _family(kind: type[errors.InferenceError]) -> Iterator[type[errors.InferenceError]]:
    # Children first, so that of two classes with one code the older one is told.
    for child in kind.__subclasses__():
        yield from _family(child)
    yield kind
