"""The two ways in, before Django and through it: every case is sent both ways, and the answers are equal bytes."""

import gzip
import io
import itertools
import json
import uuid
import zlib
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from django.db import DatabaseError

from inference.doors import asking
from inference.doors.limits.admission import Gate
from inference.doors.limits.minutes import Minutes
from inference.serving import request_id, runtime
from inference.serving.executors.executor import Obstacle
from registry.access.key_ring import Principal
from registry.access.keys import ring
from registry.access.limits import Limits
from registry.access.models import ApiKey
from registry.access.services import revoke_key
from registry.catalogue.models import Model
from registry.traffic.services import stop_model
from roundhouse import request_ids
from roundhouse.front_door import FrontDoor
from roundhouse.handler import Handler
from tests.support.factories import a_key, a_model, an_actor
from tests.support.live_models import put_live
from tests.support.processes import ROOT
from tests.support.wire import in_binary

pytestmark = pytest.mark.django_db
EXAMPLE = ROOT / "examples" / "ripeness"
SAMPLE = json.loads((EXAMPLE / "sample.json").read_text())
ROWS = SAMPLE["inputs"]["features"]
PREDICT = "/api/v1/models/ripeness/predict"
INFER = "/v2/models/ripeness/infer"
JSON, BINARY = "application/json", "application/octet-stream"
ENTRY = {"name": "features", "datatype": "FP32", "shape": [2, 3], "data": ROWS}


def _packed(**more):
    """The binary form of a request: its body, and the length of its JSON part."""
    text, binary = in_binary({"features": ("FP32", np.array(ROWS, np.float32))}, **more)
    header = json.dumps(text).encode()
    return header + binary, str(len(header))


PACKED, PACKED_AT = _packed()
ASKING_BINARY, ASKING_BINARY_AT = _packed(parameters={"binary_data_output": True})
MANY_ROWS = {"inputs": [{**ENTRY, "shape": [200, 3], "data": ROWS * 100}]}


class Answer(NamedTuple):
    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def code(self) -> str | None:
        return json.loads(self.body).get("code")


class Sent(NamedTuple):
    """A request, before it is an environment."""

    body: Any = SAMPLE
    path: str = PREDICT
    headers: dict[str, str] = {}
    method: str = "POST"
    query: str = ""
    length: str | None = "true"  # as Content-Length says; None: no such header
    key: str | None = None  # None: the usual one

    def environ(self, key: str, wrong: io.BytesIO | None = None) -> dict[str, Any]:
        """As granian makes it: paths and headers in Latin-1, repeated headers joined by commas."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        environ = {
            "REQUEST_METHOD": self.method, "PATH_INFO": self.path.encode().decode("latin-1"), "SCRIPT_NAME": "",
            "QUERY_STRING": self.query, "SERVER_NAME": "localhost", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
            "wsgi.input": wrong or io.BytesIO(body), "wsgi.errors": io.StringIO(), "wsgi.multithread": True,
            "wsgi.multiprocess": False, "wsgi.run_once": False, "HTTP_AUTHORIZATION": f"Bearer {key}",
            "CONTENT_TYPE": JSON,
        }  # fmt: skip
        if self.length is not None:
            environ["CONTENT_LENGTH"] = str(len(body)) if self.length == "true" else self.length
        for name, value in self.headers.items():
            bare = name.upper().replace("-", "_")
            environ[bare if bare == "CONTENT_TYPE" else f"HTTP_{bare}"] = value
        return {name: value for name, value in environ.items() if value != "absent"}


def _answer(application, environ) -> Answer:
    told = []
    body = application(environ, lambda status, headers, *_: told.append((status, tuple(sorted(headers)))))
    try:
        text = b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()
    ((status, headers),) = told
    return Answer(status, headers, text)


class Doors:
    """Django alone, and the front door before it; what the front door leaves to Django is counted."""

    def __init__(self, key: str, wrap_front=lambda application: application) -> None:
        self.key, self.passed_on = key, 0
        self.clean_up = ExitStack()
        self._django = Handler()
        self._front = wrap_front(FrontDoor(self._watched))

    def _watched(self, environ, start_response):
        self.passed_on += 1
        return self._django(environ, start_response)

    def ask(self, sent: Sent, *, between=lambda: None, wrong=lambda: None) -> tuple[Answer, str]:
        """Send it both ways; return the one answer that both gave, and who gave it at the front."""
        key = self.key if sent.key is None else sent.key
        self.passed_on = 0
        front = _answer(self._front, sent.environ(key, wrong()))
        between()
        assert front == _answer(self._django, sent.environ(key, wrong()))
        return front, "django" if self.passed_on else "front"


@pytest.fixture(autouse=True)
def held_still(monkeypatch):
    """Clock, nonces and random ids: two answers to one request differ in nothing else."""
    monkeypatch.setattr(request_id, "time", SimpleNamespace(time=lambda: 1_700_000_000.0))
    monkeypatch.setattr(request_id, "_nonces", itertools.repeat(7))
    monkeypatch.setattr(request_ids, "uuid", SimpleNamespace(uuid4=lambda: uuid.UUID(int=7)))


@pytest.fixture
def live(transactional_db, settings):
    settings.PREDICT_BINARY_BYTES = 64 << 20
    version = put_live("ripeness", EXAMPLE / "model.onnx")
    put_live("ripeness", EXAMPLE / "model.onnx")  # ready, and not live
    runtime.start()
    yield version
    runtime.stop()


@pytest.fixture
def doors(live, monkeypatch):
    monkeypatch.setattr(asking, "gate", Gate(room=4, processes=1))
    ring.clear()
    doors = Doors(a_key()[1])
    with doors.clean_up:
        yield doors
    ring.clear()


# What is sent, and the status of the answer.
ORDINARY = {
    "inputs": (Sent(), 200),
    "instances": (Sent({"instances": ROWS}), 200),
    "instances-by-name": (Sent({"instances": [{"features": row} for row in ROWS]}), 200),
    "features": (Sent({"features": ROWS[0]}), 200),
    "data": (Sent({"data": ROWS[0]}), 200),
    "binary": (Sent(PACKED, headers={"Content-Type": BINARY, "Inference-Header-Content-Length": PACKED_AT}), 200),
    "json-in-octets": (Sent({"inputs": [ENTRY]}, headers={"Content-Type": BINARY}), 200),
    "version": (Sent(path="/api/v1/models/ripeness/versions/1/predict"), 200),
    "version-with-zeros": (Sent(path="/api/v1/models/ripeness/versions/0001/predict"), 200),
    "version-on-demand": (Sent(path="/api/v1/models/ripeness/versions/2/predict"), 200),
    "alias": (Sent(path="/api/v1/models/ripeness@champion/predict"), 200),
    "routing-key": (Sent(headers={"X-Routing-Key": "anna"}), 200),
    "deadline": (Sent(headers={"X-Deadline-Ms": "60000"}), 200),
    "offered-id": (Sent(headers={"X-Request-ID": "mine-1"}), 200),
    "no-content-type": (Sent(headers={"Content-Type": "absent"}), 200),
    "curls-content-type": (Sent(headers={"Content-Type": "application/x-www-form-urlencoded"}), 200),
    "charset": (Sent(headers={"Content-Type": "APPLICATION/JSON ; charset=utf-8"}), 200),
    "charset-of-nobody": (Sent(headers={"Content-Type": f"{JSON}; charset=klingon"}), 200),
    "charset-of-nobody-extended": (Sent(headers={"Content-Type": f"{JSON}; charset*=klingon''x"}), 200),
    "charset-that-is-no-text": (Sent(headers={"Content-Type": f"{JSON}; charset=hex"}), 200),
    "identity": (Sent(headers={"Content-Encoding": "Identity"}), 200),
    "more-than-its-length": (Sent(json.dumps(SAMPLE).encode() + b"}}", length=str(len(json.dumps(SAMPLE)))), 200),
    "length-with-zeros": (Sent(length=f"000{len(json.dumps(SAMPLE))}"), 200),
    "cookie": (Sent(headers={"Cookie": "sessionid=x; csrftoken=y"}), 200),
    "other-host": (Sent(headers={"Host": "evil.example"}), 200),
    "forwarded": (Sent(headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "8.8.8.8"}), 200),
    "wants-pages": (Sent(headers={"Accept": "text/html"}), 200),
    "wants-gzip-of-rest": (Sent(headers={"Accept-Encoding": "gzip"}), 200),
    "other-method-wished": (Sent(headers={"X-HTTP-Method-Override": "DELETE"}), 200),
    "infer": (Sent({"inputs": [ENTRY]}, INFER), 200),
    "infer-with-slash": (Sent({"inputs": [ENTRY], "id": "mine"}, f"{INFER}/"), 200),
    "infer-version": (Sent({"inputs": [ENTRY]}, "/v2/models/ripeness/versions/1/infer"), 200),
    "infer-on-demand": (Sent({"inputs": [ENTRY]}, "/v2/models/ripeness/versions/2/infer"), 200),
    "infer-alias": (Sent({"inputs": [ENTRY]}, "/v2/models/ripeness@champion/infer"), 200),
    "infer-binary": (Sent(PACKED, INFER, {"Inference-Header-Content-Length": PACKED_AT}), 200),
    "infer-binary-back": (
        Sent(ASKING_BINARY, INFER, {"Inference-Header-Content-Length": ASKING_BINARY_AT}), 200,
    ),
    "infer-classes": (
        Sent({"inputs": [ENTRY], "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}]}, INFER), 200,
    ),
    "infer-gzip": (Sent(gzip.compress(json.dumps({"inputs": [ENTRY]}).encode()), INFER, {"Content-Encoding": "gzip"}), 200),
    "infer-deflate": (
        Sent(zlib.compress(ASKING_BINARY), INFER,
             {"Content-Encoding": "deflate", "Inference-Header-Content-Length": ASKING_BINARY_AT}), 200,
    ),
    "infer-unknown-field": (Sent({"inputs": [ENTRY], "version": 2}, INFER), 200),
    "infer-packed-answer": (Sent(MANY_ROWS, INFER, {"Accept-Encoding": "gzip, deflate, br"}), 200),
    "infer-answer-not-worth-packing": (Sent({"inputs": [ENTRY]}, INFER, {"Accept-Encoding": "gzip"}), 200),
    "not-json": (Sent(b"{"), 400),
    "empty": (Sent(b""), 400),
    "lone-surrogate": (Sent(b'{"inputs": {"\\ud800": [[1]]}}'), 400),
    "deep": (Sent(b"[" * 100_000), 400),
    "fewer-than-its-length": (Sent(length="999"), 400),
    "header-beyond-body": (
        Sent(PACKED, headers={"Content-Type": BINARY, "Inference-Header-Content-Length": "99999"}), 400,
    ),
    "unknown-model": (Sent(path="/api/v1/models/nobody/predict"), 404),
    "unknown-model-bad-id": (Sent(path="/api/v1/models/nobody/predict", headers={"X-Request-ID": "a b\r\nSet-Cookie: c"}), 404),
    "unknown-model-good-id": (Sent(path="/api/v1/models/nobody/predict", headers={"X-Request-ID": "mine-1"}), 404),
    "unknown-model-long-id": (Sent(path="/api/v1/models/nobody/predict", headers={"X-Request-ID": "a" * 65}), 404),
    "model-in-odd-letters": (Sent(path="/api/v1/models/a'b\"<c>%\n/predict"), 404),
    "unknown-version": (Sent(path="/api/v1/models/ripeness/versions/9/predict"), 404),
    "unknown-alias": (Sent(path="/api/v1/models/ripeness@nobody/predict"), 404),
    "chunked": (Sent(headers={"Transfer-Encoding": "chunked"}, length=None), 411),
    **{f"length-{name}": (Sent(length=length), 411) for name, length in {
        "empty": "", "negative": "-1", "signed": "+5", "spaced": " 5", "word": "many", "grouped": "1_0", "two": "5,5",
        "superscript": "\u00b2", "endless": "9" * 5_000,
    }.items()},
    "too-large": (Sent(length=str(9 << 20)), 413),
    "too-large-binary": (
        Sent(length=str(65 << 20), headers={"Content-Type": BINARY, "Inference-Header-Content-Length": "5"}), 413,
    ),
    "media-type": (Sent(headers={"Content-Type": "text/xml"}), 415),
    "multipart": (Sent(headers={"Content-Type": "multipart/form-data; boundary=x"}), 415),
    "compressed": (Sent(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}), 415),
    "encoding-in-odd-letters": (Sent(headers={"Content-Encoding": "gz\u00ef'p"}), 415),
    "no-form": (Sent({"rows": ROWS}), 422),
    "two-forms": (Sent({**SAMPLE, "data": [1]}), 422),
    "unknown-field": (Sent({**SAMPLE, "verison": 2}), 422),
    "version-in-the-body": (Sent({**SAMPLE, "version": 2}), 422),
    "alias-in-the-body": (Sent({**SAMPLE, "alias": "champion"}, "/api/v1/models/ripeness/versions/1/predict"), 422),
    "unknown-field-of-octets": (Sent({"inputs": [ENTRY], "version": 2}, headers={"Content-Type": BINARY}), 422),
    "wrong-dimension": (Sent({"inputs": {"features": [[1, 2]]}}), 422),
    "odd-name": (Sent({"inputs": {"a\0\u2028/~": 1}}), 422),
    "not-a-form-for-this": (Sent({"inputs": []}), 422),
    "bad-deadline": (Sent(headers={"X-Deadline-Ms": "soon"}), 422),
    "two-deadlines": (Sent(headers={"X-Deadline-Ms": "5,6"}), 422),
    "infer-not-json": (Sent(b"{", INFER), 400),
    "infer-wrong-shape": (Sent({"inputs": [{**ENTRY, "shape": [3, 3]}]}, INFER), 400),
    "infer-unknown-output": (Sent({"inputs": [ENTRY], "outputs": [{"name": "z"}]}, INFER), 400),
    "infer-bad-encoding": (Sent({"inputs": [ENTRY]}, INFER, {"Content-Encoding": "br"}), 400),
    "infer-bad-gzip": (Sent(b"nothing packed", INFER, {"Content-Encoding": "gzip"}), 400),
    "infer-bad-deadline": (Sent({"inputs": [ENTRY]}, INFER, {"X-Deadline-Ms": ""}), 400),
    "infer-unknown-model": (Sent(path="/v2/models/nobody/infer", headers={"X-Request-ID": "mine-1"}), 404),
    "infer-version-in-words": (Sent(path="/v2/models/ripeness/versions/new/infer"), 404),
    "infer-nameless": (Sent(path="/v2/models/@champion/infer"), 404),
    "infer-chunked": (Sent(path=INFER, length=None), 411),
    "infer-too-large": (Sent(path=INFER, length=str(9 << 20)), 413),
}  # fmt: skip

EXTRAORDINARY = {
    "dry-run": (Sent(query="dry_run=1"), 200),
    "dry-run-spelled-out": (Sent(query="x=1&dry_run=true"), 200),
    "dry-run-refused": (Sent({"inputs": {"features": [[1]]}}, query="dry_run=1"), 422),
    "dry-run-unknown-field": (Sent({**SAMPLE, "verison": 2}, query="dry_run=1"), 422),
    "dry-run-in-no-text": (Sent(query="dry_run=%31", headers={"Content-Type": f"{JSON}; charset=hex"}), 200),
    "no-dry-run": (Sent(query="dry_run=0"), 200),
    "query-in-odd-letters": (Sent(query="\u00ff%ff=%00&&==;"), 200),
    "query-of-many": (Sent(query="a&" * 2_000), 400),
    "infer-with-query": (Sent({"inputs": [ENTRY]}, INFER, query="x=1"), 200),
    "no-key": (Sent(headers={"Authorization": "absent"}), 401),
    "empty-key": (Sent(key=""), 401),
    "guessed-key": (Sent(key=f"rh_abcdefgh_{'g' * 43}"), 401),
    "odd-key": (Sent(key="rh_\u00e9\0"), 401),
    "other-scheme": (Sent(headers={"Authorization": "Basic eDp5"}), 401),
    "two-keys": (Sent(headers={"Authorization": "Bearer a,Bearer b"}), 401),
    "guessed-key-offered-id": (Sent(key="rh_guess", headers={"X-Request-ID": "mine-1"}), 401),
    "infer-no-key": (Sent(path=INFER, headers={"Authorization": "absent"}), 401),
    "slash": (Sent(path=f"{PREDICT}/"), 404),
    "two-slashes": (Sent(path=f"/{PREDICT}"), 404),
    "not-ascii": (Sent(path="/api/v1/models/r\u00efpeness/predict"), 404),
    "infer-not-ascii": (Sent(path="/v2/models/r\u00efpeness/infer"), 404),
    "version-beyond-numbers": (Sent(path=f"/api/v1/models/ripeness/versions/{'9' * 40}/predict"), 404),
    "version-in-words": (Sent(path="/api/v1/models/ripeness/versions/new/predict"), 404),
    "nowhere": (Sent(path="/api/v1/models/ripeness/explain"), 404),
    "infer-nowhere": (Sent(path="/v2/models/ripeness/explain"), 404),
    **{f"method-{method}": (Sent(method=method), 405) for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "BREW", "TRACE")},
    "method-OPTIONS": (Sent(method="OPTIONS"), 200),
    "method-post": (Sent(method="post"), 200),
    "infer-method-GET": (Sent(path=INFER, method="GET"), 405),
}  # fmt: skip


def test_ordinary_requests_are_answered_alike_before_django(doors):
    on_demand = runtime.started().find("ripeness", None).choose(version=2)

    answered = {
        name: doors.ask(sent, between=lambda: runtime.started().let_go(on_demand))
        for name, (sent, _) in ORDINARY.items()
    }

    assert _told(answered) == {name: (status, "front") for name, (_, status) in ORDINARY.items()}


def test_other_requests_are_djangos(doors):
    answered = {name: doors.ask(sent) for name, (sent, _) in EXTRAORDINARY.items()}

    assert _told(answered) == {name: (status, "django") for name, (_, status) in EXTRAORDINARY.items()}


def _told(answered):
    return {name: (int(answer.status[:3]), by) for name, (answer, by) in answered.items()}


# What the process, the Model or the key is like meanwhile.
def _stopped(patch, doors):
    stop_model(model=Model.objects.get(slug="ripeness"), text="Wrong labels.", by=an_actor())
    runtime.started().refresh()


def _never_live(patch, doors):
    a_model("nobody")
    runtime.started().refresh()


def _not_loaded(*, may_pass):
    def situation(patch, doors):
        target = runtime.started().find("ripeness", None).choose()
        obstacle = Obstacle("Version 1 cannot be loaded.", may_pass=may_pass)
        patch.setitem(runtime.started()._executor._failed, target.version_id, (target, obstacle))

    return situation


def _both_stale(patch, doors):
    patch.setattr(runtime, "stale_s", lambda: 120)
    _stale_key(patch, doors)


def _stale_key(patch, doors):
    admit = ring.admit
    patch.setattr(ring, "admit", lambda text: admit(text)._replace(stale_s=77))


def _database_away(patch, doors):
    ring.clear()
    patch.setattr("registry.access.keys.KeyTable.find", _gone)


def _gone(*_):
    raise DatabaseError("gone")


def _revoked(patch, doors):
    revoke_key(key=ApiKey.objects.get(), reason="test", by=an_actor())
    ring.clear()


def _another_key(*scopes, is_inside=False, **more):
    def change(patch, doors):
        doors.key = a_key(*scopes, **more)[1]
        if is_inside:
            _enter(doors, ring.admit(doors.key).principal)

    return change


def _for_another_model(patch, doors):
    doors.key = a_key(models=[a_model().pk])[1]


def _rate_spent(patch, doors):
    patch.setattr(Minutes, "left_s", lambda self: 30)
    patch.setattr(Minutes, "now", lambda self: 1)
    _another_key(is_inside=True, limits=Limits(rate_per_minute=1))(patch, doors)


def _crowded(patch, doors):
    by = ring.admit(doors.key).principal
    for _ in range(3):
        _enter(doors, by)


def _enter(doors, by: Principal):
    route = runtime.started().find("ripeness", None)
    asking.gate.enter(by, route)
    doors.clean_up.callback(asking.gate.leave, by, route)


def _not_finite(patch, doors):
    for module in ("inference.engine.batcher", "inference.doors.oip.codec"):
        patch.setattr(f"{module}.is_finite", lambda array: False)
    patch.setattr("inference.engine.batcher.suspects", lambda outputs: tuple(outputs))


def _patched(*arguments):
    """What is found by a call, or named by its path, is another meanwhile."""
    return lambda patch, doors: patch.setattr(
        *(one() if callable(one) else one for one in arguments[:-1]), arguments[-1]
    )


# What happens, what is asked; the answer, and who gives it.
SITUATIONS = {
    "stopped": (_stopped, {}, 503, "stopped", "front"),
    "never-live": (_never_live, {"model": "nobody"}, 503, "no_live_version", "front"),
    "no-room": (_not_loaded(may_pass=True), {}, 503, "loading", "front"),
    "damaged": (_not_loaded(may_pass=False), {}, 500, "cannot_load", "front"),
    "leaving": (_patched(runtime.started, "_state", "draining"), {}, 503, "stopping", "front"),
    "without-runtime": (_patched("inference.serving.runtime._runtime", None), {}, 503, "stopping", "front"),
    "routes-too-old": (_patched(runtime.started, "stale_s", lambda: 301), {}, 503, "routes_too_old", "front"),
    "stale-routes": (_patched("inference.serving.runtime.stale_s", lambda: 120), {}, 200, None, "front"),
    "stale-key": (_stale_key, {}, 200, None, "front"),
    "both-stale": (_both_stale, {}, 200, None, "front"),
    "stale-and-refused": (_both_stale, {"model": "nobody"}, 404, "unknown_model", "front"),
    "database-away": (_database_away, {}, 503, "database_unavailable", "django"),
    "database-away-on-demand": (
        _patched("inference.serving.executors.inprocess.current_serving", _gone),
        {"model": "ripeness/versions/2"}, 503, "database_unavailable", "front",
    ),
    "revoked": (_revoked, {}, 401, "not_authenticated", "django"),
    "for-reading": (_another_key("registry.read"), {}, 403, "not_allowed", "django"),
    "for-another-model": (_for_another_model, {}, 404, "unknown_model", "front"),
    "rate-spent": (_rate_spent, {}, 429, "too_many_requests", "front"),
    "one-at-once": (_another_key(is_inside=True, limits=Limits(concurrency=1)), {}, 429, "too_many_requests", "front"),
    "crowded": (_crowded, {}, 503, "overloaded", "front"),
    "broken": (_patched("inference.serving.services.predict", lambda call: 1 / 0), {}, 500, "internal_error", "front"),
    "not-finite": (_not_finite, {}, 422, "invalid_output", "front"),
}  # fmt: skip
DOORS = {
    "rest": lambda model: Sent(path=f"/api/v1/models/{model}/predict"),
    "oip": lambda model: Sent({"inputs": [ENTRY]}, f"/v2/models/{model}/infer"),
}


@pytest.mark.parametrize(
    ("happen", "asked", "status", "code", "by"), SITUATIONS.values(), ids=SITUATIONS.keys()
)
def test_what_happens_meanwhile_is_said_alike(doors, monkeypatch, happen, asked, status, code, by):
    sent = {name: make(**{"model": "ripeness", **asked}) for name, make in DOORS.items()}
    doors.ask(Sent())  # the key is known

    with monkeypatch.context() as patch:
        happen(patch, doors)
        answered = {name: doors.ask(one) for name, one in sent.items()}

    expected = {"rest": (status, by), "oip": (400 if status == 422 else status, by)}
    assert _told(answered) == expected
    assert {answer.code for answer, _ in answered.values()} == {code}


class _Lost(io.BytesIO):
    """The input of a caller that hangs up, where the server tells so."""

    def read(self, *_):
        raise ConnectionResetError("gone")


@pytest.mark.parametrize("path", [PREDICT, INFER], ids=["rest", "oip"])
@pytest.mark.parametrize("wrong", [_Lost, lambda: io.BytesIO(b'{"inp')], ids=["reset", "cut"])
def test_caller_that_hangs_up_is_no_error_of_ours(doors, caplog, path, wrong):
    answer, by = doors.ask(Sent(path=path), wrong=wrong)

    assert (answer.status, answer.code, by) == ("400 Bad Request", "bad_body", "front")
    assert caplog.records == []
    assert asking.gate._flights._count == 0


@pytest.mark.parametrize("sent", [Sent(), Sent(b"{"), Sent(path=INFER)], ids=["answer", "refusal", "oip"])
def test_one_header_more_would_be_seen(doors, sent):
    """Negative control: the comparison above is not blind."""

    def with_a_header(application):
        return lambda environ, start: application(
            environ, lambda status, headers: start(status, [*headers, ("X-A", "1")])
        )

    with pytest.raises(AssertionError, match="X-A"):
        Doors(doors.key, wrap_front=with_a_header).ask(sent)
