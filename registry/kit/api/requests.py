"""What is checked before an action runs: the caller's right, the row's state, and the body."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import IO, Any

import orjson
from django.db.models import Model as Row
from django.http import HttpRequest
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from registry.errors import BodyTooLarge, StalePrecondition
from registry.kit.actors import Actor

MAX_BODY_BYTES = 2**20
_TAG = re.compile(r'(?:W/)?"[^"]*"')
_REVISION_FIELDS = ("revision", "changed_at")


def actor_of(request: Request) -> Actor:
    """Return the key's or the session's actor, set by authentication."""
    by: Actor = request._request.actor  # type: ignore[attr-defined]
    return by


def holds(request: Request, right: str) -> bool:
    """Whether the caller holds the right for at least one Model; services check it for the Model in question."""
    # Unless this view's authenticator succeeded, the session behind `request.actor` has not passed a CSRF check.
    return request.successful_authenticator is not None and right in actor_of(request).rights


def HasRight(right: str) -> type[BasePermission]:
    """Make the permission for views with one right: `permission_classes = [HasRight("read_registry")]`."""

    class Permission(BasePermission):
        def has_permission(self, request: Request, view: Any) -> bool:
            return holds(request, right)

    return Permission


# One right, or several of which one is enough. A function is asked at each request: apps register rights later.
NeededRights = str | tuple[str, ...] | Callable[[], tuple[str, ...]]


class RightsOfActions(BasePermission):
    """Look the action up in the view set's `rights`; if it lists several, one is enough."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if view.action is None:  # the route does not support the method: DRF answers 405
            return request.successful_authenticator is not None
        needed = view.rights.get(view.action, ())
        if callable(needed):
            needed = needed()
        rights = (needed,) if isinstance(needed, str) else needed
        return any(holds(request, right) for right in rights)


def etag_of(row: Row) -> str:
    """Make a row's ETag from its `revision`, else its `changed_at`, else all of its columns."""
    field = next((name for name in _REVISION_FIELDS if hasattr(row, name)), None)
    columns = [getattr(row, f.attname) for f in row._meta.concrete_fields]
    state = repr(getattr(row, field) if field else columns)
    digest = hashlib.sha256(f"{row._meta.label}:{row.pk}:{state}".encode()).hexdigest()
    return f'"{digest[:20]}"'


def check_if_match(request: Request, tag: str) -> None:
    """Raise StalePrecondition if the caller's If-Match names an older state."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return
    if tag not in _TAG.findall(header):
        raise StalePrecondition(
            f"This has changed since you read it (its ETag is now {tag}); read it again, then repeat your change."
        )


def is_unchanged(request: Request, tag: str) -> bool:
    """Whether the caller's copy (If-None-Match) is up to date."""
    header = request.headers.get("If-None-Match", "")
    return header.strip() == "*" or tag in [known.removeprefix("W/") for known in _TAG.findall(header)]


class StrictJSONParser(JSONParser):
    """Standard JSON of at most 1 MiB: no NaN, no lone surrogates, no nesting that crashes the interpreter."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        if parser_context is not None:
            check_length(parser_context["request"]._request)
        try:
            return orjson.loads(stream.read(MAX_BODY_BYTES + 1))
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from None


def check_length(request: HttpRequest) -> None:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body has {length} bytes; at most {MAX_BODY_BYTES:,} are accepted here.")
