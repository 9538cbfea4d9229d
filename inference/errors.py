"""What can go wrong while serving, beyond the engine's own errors (inference.engine.errors).

RoundhouseError
├── NotFound
│   └── UnknownModel
├── NotAllowed
│   └── NotApproved         a request for an unapproved version
├── Loading                 the version is not in memory yet
├── RoutesTooOld            the database has been unreachable for too long
├── Stopping                this process is shutting down
├── TooManyRequests         the caller exceeds its limit or its fair share
├── LimitsUnavailable       an exact limit cannot be enforced
├── Conflict
│   └── Pinned              a live version cannot be unloaded
└── Invalid
    ├── ProbeFailed         a file could not be loaded and run
    ├── BadDeadline
    ├── BadRoutingKey
    ├── WrongTask           the request is for another task than the Model's
    ├── InvalidOutput       the model's answer contains NaN or infinity
    └── BadBody             the body cannot be read
        ├── LengthRequired
        └── BodyTooSlow

Of inference.engine.errors:
LoadFailed
└── CannotLoad              a version that should be in memory cannot be loaded
Overloaded
└── WorkersUnreachable      Redis is not responding
"""

from inference.engine.errors import LoadFailed, Overloaded
from registry.errors import Conflict, Invalid, NotAllowed, NotFound, RoundhouseError


class UnknownModel(NotFound):
    """There is no such Model."""

    code = "unknown_model"


class WrongTask(Invalid):
    """This Model has another task; send the request to the Model's own address."""

    code = "wrong_task"


class NotApproved(NotAllowed):
    """This version is not approved; have it approved, or use a key with the scope `predict.unapproved`."""

    code = "not_approved"


class Loading(RoundhouseError):
    """The version is being loaded; try again in a moment."""

    code = "loading"
    retryable = True


class CannotLoad(LoadFailed):
    """The version cannot be loaded; trying again will not help until an operator fixes it."""

    code = "cannot_load"


class RoutesTooOld(RoundhouseError):
    """The database has not responded for five minutes, so it is unknown which version should answer."""

    code = "routes_too_old"
    retryable = True


class Stopping(RoundhouseError):
    """This process is shutting down; try again."""

    code = "stopping"
    retryable = True


class TooManyRequests(RoundhouseError):
    """Too many requests; slow down."""

    code = "too_many_requests"
    retryable = True

    def __init__(self, message: str | None = None, *, retry_after_s: int = 1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class LimitsUnavailable(RoundhouseError):
    """The request counter is not responding, and a strict limit rejects requests that cannot be counted; try again."""

    code = "limits_unavailable"
    retryable = True


class WorkersUnreachable(Overloaded):
    """The workers cannot be reached at the moment; try again shortly."""

    code = "workers_unreachable"


class ProbeFailed(Invalid):
    """The file could not be loaded and run in the probe."""

    code = "probe_failed"


class Pinned(Conflict):
    """The version is live and stays in memory."""

    code = "pinned"


class BadBody(Invalid):
    """The body is not valid JSON."""

    code = "bad_body"


class LengthRequired(BadBody):
    """Send a Content-Length header; chunked bodies are not accepted here."""

    code = "length_required"


class BodyTooSlow(BadBody):
    """The body arrived too slowly, so the connection was closed; send at least 32 KiB a second."""

    code = "body_too_slow"
    retryable = True


class BadRoutingKey(Invalid):
    """X-Routing-Key is empty or not ASCII; percent-encode other characters, or leave the header out."""

    code = "bad_routing_key"


class BadDeadline(Invalid):
    """The deadline is not valid."""

    code = "bad_deadline"


class InvalidOutput(Invalid):
    """The model answered with numbers that are not finite, which JSON cannot represent."""

    code = "invalid_output"
