"""Errors on the wire: one table from error class to status code."""

from typing import NamedTuple

import structlog
from django.db import DatabaseError
from grpc import StatusCode

from inference import errors as serving
from inference.doors import errors as oip
from inference.engine import errors as engine
from inference.jobs import errors as jobs
from inference.pipelines import errors as pipelines
from inference.tensors import errors
from registry import errors as registry
from registry.catalogue import errors as catalogue
from registry.intake import errors as intake

log = structlog.get_logger("roundhouse.grpc")

# The nearest class in an error's MRO decides. Clients retry UNAVAILABLE by themselves, so it is for our own temporary
# problems; RESOURCE_EXHAUSTED is for callers that send too much.
CODES: dict[type[Exception], StatusCode] = {
    registry.NotFound: StatusCode.NOT_FOUND,
    registry.NoLiveVersion: StatusCode.UNAVAILABLE,
    registry.NotAuthenticated: StatusCode.UNAUTHENTICATED,
    registry.NotAllowed: StatusCode.PERMISSION_DENIED,
    registry.Conflict: StatusCode.FAILED_PRECONDITION,
    registry.Stopped: StatusCode.UNAVAILABLE,
    registry.Invalid: StatusCode.INVALID_ARGUMENT,
    registry.FetchFailed: StatusCode.FAILED_PRECONDITION,
    catalogue.ArtifactDamaged: StatusCode.DATA_LOSS,
    intake.InsufficientStorage: StatusCode.RESOURCE_EXHAUSTED,
    serving.Loading: StatusCode.UNAVAILABLE,
    serving.CannotLoad: StatusCode.FAILED_PRECONDITION,
    serving.RoutesTooOld: StatusCode.UNAVAILABLE,
    serving.Stopping: StatusCode.UNAVAILABLE,
    serving.TooManyRequests: StatusCode.RESOURCE_EXHAUSTED,
    serving.LimitsUnavailable: StatusCode.UNAVAILABLE,
    oip.NotServed: StatusCode.UNIMPLEMENTED,
    jobs.StoreUnavailable: StatusCode.UNAVAILABLE,
    errors.InvalidInput: StatusCode.INVALID_ARGUMENT,
    pipelines.UnknownUser: StatusCode.NOT_FOUND,
    pipelines.UnusableOutput: StatusCode.INVALID_ARGUMENT,
    pipelines.BadTaskConfig: StatusCode.FAILED_PRECONDITION,
    engine.Overloaded: StatusCode.UNAVAILABLE,
    engine.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    engine.Cancelled: StatusCode.CANCELLED,
    engine.RunFailed: StatusCode.INVALID_ARGUMENT,
    engine.RunTimedOut: StatusCode.UNAVAILABLE,
    engine.SlotLost: StatusCode.UNAVAILABLE,
    engine.EngineStopped: StatusCode.UNAVAILABLE,
    engine.RunStuck: StatusCode.UNAVAILABLE,
    engine.VersionBroken: StatusCode.UNAVAILABLE,
    engine.NotLoaded: StatusCode.UNAVAILABLE,
    engine.StillLoading: StatusCode.UNAVAILABLE,
    engine.LoadFailed: StatusCode.UNAVAILABLE,
    DatabaseError: StatusCode.UNAVAILABLE,
}


class Refusal(NamedTuple):
    code: StatusCode
    text: str
    error_code: str  # the same stable code as over HTTP


def refusal_for(error: Exception) -> Refusal:
    """What the caller gets. Details of unexpected errors go to the log only."""
    code = code_of(type(error))
    if isinstance(error, DatabaseError):
        log.error("database unavailable", exc_info=error)
        return Refusal(
            StatusCode.UNAVAILABLE, "The database is not responding; try again.", "database_unavailable"
        )
    if code is None or not isinstance(error, registry.RoundhouseError | errors.InferenceError):
        log.error("unhandled error", exc_info=error)
        return Refusal(
            StatusCode.INTERNAL,
            "Something went wrong on the server; its log has the error.",
            "internal_error",
        )
    return Refusal(code, str(error), error.code)


def code_of(kind: type[Exception]) -> StatusCode | None:
    return next((CODES[parent] for parent in kind.__mro__ if parent in CODES), None)
