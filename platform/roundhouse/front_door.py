"""Predictions before Django: the ordinary case of the two hottest routes, by the same functions as the views'.

Whatever is not ordinary falls through to Django, and nothing is read before that is known. Tests send every
case both ways and compare the answers byte for byte.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError, close_old_connections

from inference.doors import hot
from inference.doors.hot import Hot
from registry.access.key_ring import Admitted
from registry.access.keys import admit
from registry.access.policies import Right, rights_of_scopes
from registry.errors import NotAuthenticated
from roundhouse import problems
from roundhouse.request_ids import id_for
from roundhouse.short_way import closing_headers
from roundhouse.unread import Body, saying_so

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_SCHEME = "Bearer "


class FrontDoor:
    """A WSGI application around Django's."""

    def __init__(self, django: Application) -> None:
        self._django = django

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = _ordinary(environ)
        admitted = found and _admitted(environ["HTTP_AUTHORIZATION"])
        if not found or not admitted:
            return self._django(environ, start_response)
        body = Body(environ)
        try:
            status, headers, text = _answer(found, admitted, environ, body)
        finally:
            close_old_connections()  # what a version that was loaded on demand has opened
        headers = [*headers, *closing_headers(len(text), admitted.stale_s)]
        saying_so(start_response, body)(status, headers)
        return [text]  # a list: granian sends it in one piece with the headers


class _Request:
    """What an error's answer needs to know of a request."""

    def __init__(self, environ: Environ) -> None:
        self.META, self.path = environ, environ["PATH_INFO"]


def _ordinary(environ: Environ) -> Hot | None:
    if environ["REQUEST_METHOD"] != "POST" or environ.get("QUERY_STRING") or environ.get("SCRIPT_NAME"):
        return None
    if not environ.get("HTTP_AUTHORIZATION", "").startswith(_SCHEME):
        return None
    path = environ["PATH_INFO"]
    return hot.resolve(path) if path.isascii() else None


def _admitted(authorization: str) -> Admitted | None:
    try:
        admitted = admit(authorization[len(_SCHEME) :].strip())
    except (NotAuthenticated, DatabaseError):
        return None
    return admitted if Right.PREDICT in rights_of_scopes(admitted.principal.scopes) else None


def _answer(
    found: Hot, admitted: Admitted, environ: Environ, body: Body
) -> tuple[str, list[tuple[str, str]], bytes]:
    try:
        reply = found.answer(environ, body.read, by=admitted.principal, **found.kwargs)
    except Exception as error:  # noqa: BLE001 (whatever it is, the caller is owed an answer)
        request: Any = _Request(environ)
        problem = found.say(problems.answer_to(error, request))
        status = f"{problem.status_code} {HTTPStatus(problem.status_code).phrase}"
        return status, [*problem.items(), ("X-Request-ID", id_for(request))], problem.content
    return "200 OK", reply.headers, reply.body
