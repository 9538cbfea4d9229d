"""Errors over HTTP: one table from error class to status, and RFC 9457 problems under /api."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions as drf

from inference import errors as serving
from inference.doors import errors as doors
from inference.doors.wire import pointer_to
from inference.engine import errors as engine
from inference.jobs import errors as jobs
from inference.pipelines import errors as pipelines
from inference.tensors import errors
from moderation import errors as moderation
from registry import errors as registry
from registry.catalogue import errors as catalogue
from registry.intake import errors as intake
from registry.intake.parts import lacks_room
from roundhouse import error_pages
from roundhouse.middleware import id_for

log = structlog.get_logger("roundhouse.problems")

# The nearest base class in an error's MRO decides.
STATUS: dict[type[Exception], int] = {
    registry.NotFound: 404,
    registry.NoLiveVersion: 503,
    registry.NotAuthenticated: 401,
    registry.NotAllowed: 403,
    registry.Conflict: 409,
    registry.Stopped: 503,
    registry.StalePrecondition: 412,
    registry.Invalid: 422,
    registry.BodyTooLarge: 413,
    registry.BadPageSize: 400,
    registry.BadIdempotencyKey: 400,
    registry.FetchFailed: 424,
    catalogue.ArtifactDamaged: 500,
    catalogue.RangeNotSatisfiable: 416,
    intake.InsufficientStorage: 507,
    intake.LengthMissing: 411,
    serving.Loading: 503,
    # 500, not 503: proxies and libraries retry a 503, and retrying does not help here.
    serving.CannotLoad: 500,
    serving.RoutesTooOld: 503,
    serving.Stopping: 503,
    serving.TooManyRequests: 429,
    serving.LimitsUnavailable: 503,
    serving.BadBody: 400,
    serving.LengthRequired: 411,
    serving.BodyTooSlow: 408,
    doors.NotServed: 501,
    doors.NotAPrediction: 422,
    doors.UnsupportedBody: 415,
    jobs.UnsupportedInput: 415,
    jobs.StoreUnavailable: 503,
    moderation.WritesBehind: 503,
    moderation.PolicyUnreadable: 503,
    moderation.AttributeNotScored: 503,
    errors.InvalidInput: 422,
    pipelines.ItemNotFetched: 400,
    pipelines.UnknownUser: 404,
    pipelines.UnusableOutput: 422,
    # The version can answer nobody, whatever is sent.
    pipelines.BadTaskConfig: 500,
    engine.Overloaded: 503,
    engine.DeadlineExceeded: 503,
    engine.Cancelled: 503,
    engine.RunFailed: 422,
    engine.RunTimedOut: 503,
    engine.SlotLost: 503,
    engine.EngineStopped: 503,
    engine.RunStuck: 503,
    engine.VersionBroken: 503,
    engine.NotLoaded: 503,
    engine.StillLoading: 503,
    engine.LoadFailed: 503,
}
RETRY_AFTER_S = {503: 1, 429: 1, 409: 1}

# Errors that Django and DRF raise themselves: status to (code, sentence).
FRAMEWORK = {
    400: ("bad_request", "The request could not be parsed."),
    401: ("not_authenticated", "Send a valid API key: `Authorization: Bearer <key>`."),
    403: ("not_allowed", "You do not have permission to do this."),
    404: ("not_found", "Nothing exists at this address."),
    405: ("method_not_allowed", "This address does not support that method."),
    415: ("unsupported_media_type", "This address does not accept that media type."),
    429: ("too_many_requests", "Too many requests; slow down."),
    500: ("internal_error", "Something went wrong on the server. Search its log for the request id."),
    503: ("database_unavailable", "The database is not responding. Nothing was changed; try again."),
}

Problem = dict[str, Any]


def status_of(error: Exception) -> int | None:
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)


def known_errors() -> Iterator[tuple[type[Exception], int]]:
    """All our error classes that can reach a client, with their status."""
    seen: set[type[Exception]] = set()
    todo: list[type[Exception]] = [registry.RoundhouseError, errors.InferenceError]
    while todo:
        kind = todo.pop(0)
        todo += [child for child in kind.__subclasses__() if child not in seen]
        if kind in seen:
            continue
        seen.add(kind)
        status = next((STATUS[parent] for parent in kind.__mro__ if parent in STATUS), None)
        if status is not None:
            yield kind, status


def problem_response(
    request: HttpRequest,
    *,
    status: int,
    code: str,
    detail: str,
    retryable: bool,
    retry_after_s: int | None = None,
    **more: Any,
) -> HttpResponse:
    """Build the response for an error under /api."""
    body: Problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
        "request_id": id_for(request),
        **more,
    }
    response = JsonResponse(body, status=status, content_type="application/problem+json")
    if status in RETRY_AFTER_S and retryable:
        response["Retry-After"] = str(retry_after_s or RETRY_AFTER_S[status])
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler."""
    if isinstance(error, drf.MethodNotAllowed):
        *others, last = sorted({*context["view"].allowed_methods} - {"OPTIONS"}) or ["nothing"]
        methods = f"{', '.join(others)} and {last}" if others else last
        error = drf.MethodNotAllowed("", detail=f"This address accepts {methods}.")
    return error_response(error, context["request"]._request)


def error_response(error: Exception, request: HttpRequest) -> HttpResponse:
    """Tell the client what went wrong, and log what is our fault. Uses only the request's path and id."""
    if isinstance(error, (registry.RoundhouseError, errors.InferenceError)):
        return _from_ours(request, error)
    if isinstance(error, drf.ValidationError):
        found = list(_field_errors(error.detail))
        return problem_response(
            request, status=422, code="invalid", detail=_in_one_sentence(found), retryable=False, errors=found
        )
    if isinstance(error, drf.APIException):
        # DRF's own message for a missing key does not say how to send one.
        detail = None if error.status_code == 401 else str(error.detail)
        return _from_framework(request, error.status_code, detail)
    if isinstance(error, Http404):
        return _from_framework(request, 404)
    if isinstance(error, PermissionDenied):
        return _from_framework(request, 403)
    if isinstance(error, SuspiciousOperation):  # such as a query string with thousands of fields
        return _from_framework(request, 400)
    if isinstance(error, DatabaseError):
        log.error("database unavailable", request_id=id_for(request), exc_info=error)
        return _from_framework(request, 503, retryable=True)
    if isinstance(error, OSError) and lacks_room(error):
        log.error("disk full", request_id=id_for(request), exc_info=error)
        return _from_ours(request, intake.InsufficientStorage("The disk is full; free some space."))
    log.error("unhandled error", path=request.path, request_id=id_for(request), exc_info=error)
    return _from_framework(request, 500)


def _from_ours(request: HttpRequest, error: registry.RoundhouseError | errors.InferenceError) -> HttpResponse:
    status = status_of(error)
    if status is None:
        log.error("error without a status", error=type(error).__name__, exc_info=error)
        return _from_framework(request, 500)
    more: Problem = {**getattr(error, "members", {})}
    if isinstance(error, errors.InvalidInput) and (error.pointer or error.field):
        more["errors"] = [
            {
                "pointer": error.pointer or pointer_to("inputs", error.field),
                "detail": str(error),
                "expected": error.expected,
                "got": error.got,
            }
        ]
    return problem_response(
        request,
        status=status,
        code=error.code,
        detail=str(error),
        retryable=error.retryable,
        retry_after_s=getattr(error, "retry_after_s", None),
        **more,
    )


def _from_framework(
    request: HttpRequest, status: int, detail: str | None = None, *, retryable: bool = False
) -> HttpResponse:
    code, sentence = FRAMEWORK.get(status, FRAMEWORK[400 if status < 500 else 500])
    return problem_response(request, status=status, code=code, detail=detail or sentence, retryable=retryable)


def _field_errors(detail: Any, pointer: str = "#") -> Iterator[dict[str, str]]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _field_errors(inner, pointer if name == "non_field_errors" else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for position, inner in enumerate(detail):
            yield from _field_errors(inner, f"{pointer}/{position}" if isinstance(inner, dict) else pointer)
    else:
        yield {"pointer": pointer, "detail": str(detail)}


def _in_one_sentence(found: list[dict[str, str]]) -> str:
    """The first field error, for readers who look only at `detail`."""
    if not found:
        return "Some fields need attention."
    field = found[0]["pointer"].removeprefix("#").removeprefix("/")
    text = f"Field `{field}`: {found[0]['detail']}" if field else found[0]["detail"]
    return text if len(found) == 1 else f"{text} {_more(len(found) - 1)}"


def _more(count: int) -> str:
    return "There is one more error, in `errors`." if count == 1 else f"There are {count} more, in `errors`."


def _handler(
    status: int, page: Callable[[HttpRequest, Exception | None], HttpResponse]
) -> Callable[..., HttpResponse]:
    """A problem under /api, a page elsewhere."""

    def handle(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
        if request.path.startswith("/api/"):
            return _from_framework(request, status)
        return page(request, exception)

    return handle


bad_request = _handler(400, lambda request, error: defaults.bad_request(request, error or Exception()))
forbidden = _handler(403, error_pages.forbidden)
not_found = _handler(404, error_pages.not_found)
server_error = _handler(500, lambda request, _: defaults.server_error(request))
