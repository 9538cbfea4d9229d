"""Who answers which request of a web process, and what all responses have in common."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from inference.engine.errors import Overloaded
from roundhouse.health import _ALIVE
from roundhouse.rsgi import REFUSED_BYTES, Visits, WebResponse
from roundhouse.web_loop import WebLoop
from tests.support.loops import run_hurried
from tests.support.rsgi import Proto, a_scope


class Django:
    """Answers everything, or raises."""

    def __init__(self, error=None):
        self.error, self.asked = error, []

    async def answer(self, visit):
        self.asked.append(f"{visit.scope.method} {visit.scope.path}")
        if self.error is not None:
            raise self.error
        return WebResponse(200, [], b"a page")


def answered(scope, *, django=None, is_leaving=False, body=b""):
    """The answer to one request, and what Django was asked."""
    django, proto = django or Django(), Proto(body)

    async def ask():
        probes = SimpleNamespace(answer=lambda path, query: _ALIVE if path == "/livez" else None)
        visits = Visits(asyncio.get_running_loop())
        web_loop = WebLoop(visits, django, probes, spool=None)
        web_loop.is_leaving = is_leaving
        await web_loop(scope, proto)
        assert not visits._open

    run_hurried(ask())
    ((status, headers, sent),) = proto.answers
    assert len(headers) == len(dict(headers))
    return status, dict(headers), sent, django.asked


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_probes_are_answered_on_the_loop(method):
    status, _, body, asked = answered(a_scope("/livez", method=method))

    assert (status, body, asked) == (200, _ALIVE.body, [])


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("POST", "/livez", ""),
        ("GET", "/admin/", ""),
        ("GET", "/api/v1/models/m/predict", ""),
        ("POST", "/api/v1/models/m/predict", "dry_run=1"),
        ("post", "/api/v1/models/m/predict", ""),
        ("POST", "/api/v1/models/m/predict/", ""),
        ("POST", "/v2/models/m", ""),
    ],
)
def test_django_gets_everything_but_probes_and_plain_predictions(method, path, query):
    status, _, body, asked = answered(a_scope(path, method=method, query=query))

    assert (status, body, asked) == (200, b"a page", [f"{method} {path}"])


@pytest.mark.parametrize(
    "path", ["/api/v1/models/m/predict", "/v2/models/m/infer", "/api/v1/classify", "/api/v1/entities"]
)
def test_django_gets_no_plain_predictions(path):
    status, headers, _, asked = answered(a_scope(path, method="POST"))

    assert (status, headers["WWW-Authenticate"], asked) == (401, "Bearer", [])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(Overloaded("All threads are busy."), 503, "overloaded"), (ArithmeticError(), 500, "internal_error")],
    ids=["no-thread", "a-fault"],
)
@pytest.mark.parametrize("path", ["/api/v1/models", "/v2/models/m", "/admin/"])
def test_the_loop_reports_if_django_cannot_answer(path, error, status, code):
    found, headers, body, _ = answered(a_scope(path, ("X-Request-ID", "mine")), django=Django(error))

    told = json.loads(body)
    assert (found, told["code"], headers["X-Request-ID"]) == (status, code, "mine")
    assert ("error" in told) is path.startswith("/v2/")
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("length", "closes"),
    [(0, False), (REFUSED_BYTES, False), (REFUSED_BYTES + 1, True)],
    ids=["none", "small", "large"],
)
def test_a_refused_body_is_read_or_ends_its_connection(length, closes):
    scope = a_scope("/api/v1/models/m/predict", ("Content-Length", str(length)), method="POST")

    status, headers, _, _ = answered(scope, body=b"x" * length)

    assert (status, headers.get("Connection") == "close") == (401, closes)


@pytest.mark.parametrize("is_leaving", [True, False], ids=["leaving", "staying"])
@pytest.mark.parametrize("path", ["/livez", "/admin/", "/api/v1/models/m/predict"])
def test_responses_of_a_stopping_process_close_their_connections(path, is_leaving):
    method = "POST" if path.endswith("predict") else "GET"

    _, headers, _, _ = answered(a_scope(path, method=method), is_leaving=is_leaving)

    assert (headers.get("Connection") == "close") is is_leaving


def test_a_probe_of_a_stopping_process_closes_no_later_connection():
    """They are made once, for all who ask."""
    before = list(_ALIVE.headers)

    async def ask(proto, is_leaving):
        probes = SimpleNamespace(answer=lambda path, query: _ALIVE)
        web_loop = WebLoop(Visits(asyncio.get_running_loop()), Django(), probes, spool=None)
        web_loop.is_leaving = is_leaving
        await web_loop(a_scope("/livez"), proto)

    for _ in range(3):
        run_hurried(ask(proto := Proto(), is_leaving=True))
        assert [name for name, _ in proto.answers[0][1]].count("Connection") == 1
    assert _ALIVE.headers == before


def test_a_refusal_that_closes_its_connection_says_so_once():
    scope = a_scope("/api/v1/models/m/predict", ("Content-Length", "999999"), method="POST")

    _, headers, _, _ = answered(scope, is_leaving=True)

    assert headers["Connection"] == "close"
