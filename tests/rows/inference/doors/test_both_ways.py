"""The two ways of a prediction, on the event loop and through Django's views: every case is sent both ways, and the answers are
equal bytes.
"""

import asyncio
import gzip
import io
import itertools
import json
import threading
import uuid
import zlib
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import uvloop
from django.db import DatabaseError

from inference.doors import entry
from inference.doors.entry import LOOP_BYTES
from inference.doors.limits.admission import Admission
from inference.doors.limits.rates import Minutes
from inference.engine.loop import EngineLoop
from inference.measure.counts import NO_VERSION, Counts
from inference.serving import off_loop as off_loop_module
from inference.serving import request_id, runtime
from inference.serving.executors.executor import Obstacle
from registry.access.key_ring import Principal
from registry.access.keys import ring
from registry.access.limits import CallerLimits
from registry.access.models import ApiKey
from registry.access.services import revoke_key
from registry.catalogue.models import Model, Version
from registry.errors import NotAuthenticated
from registry.traffic.services import stop_model
from roundhouse import middleware
from roundhouse.django_threads import DjangoHandler, DjangoThreads, environ_of
from roundhouse.rsgi import Visit, Visits
from roundhouse.spool import Spool
from roundhouse.web_loop import WebLoop
from tests.support.callers import MemoryStore, OneEach, enter, leave
from tests.support.factories import a_key, a_model, an_actor
from tests.support.live_models import put_live
from tests.support.picture_models import a_picture, in_base64, put_colours
from tests.support.processes import ROOT
from tests.support.rsgi import CUT, Proto, a_scope
from tests.support.text_models import put_names, put_tone
from tests.support.user_models import MISSING, put_foods, put_offers, put_people
from tests.support.wire import in_binary

pytestmark = pytest.mark.django_db
WAIT_S = 60
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
ROOMY, ROOMY_INFER = (json.dumps(body).encode() + b" " * LOOP_BYTES for body in (SAMPLE, {"inputs": [ENTRY]}))
MANY_ROWS = {"inputs": [{**ENTRY, "shape": [200, 3], "data": ROWS * 100}]}


# What Django's middleware adds for browsers, and the web server adds to what has no such header.
FOR_BROWSERS = {
    "Content-Security-Policy", "Cross-Origin-Opener-Policy", "Referrer-Policy", "X-Frame-Options", "Vary",
}  # fmt: skip
BY_SERVER = {"Content-Length"}
OF_CONNECTION = {"Connection"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        return json.loads(self.body).get("code")


class Sent(NamedTuple):
    """A request, before somebody sends it."""

    body: Any = SAMPLE
    path: str = PREDICT
    headers: dict[str, str] = {}
    method: str = "POST"
    query: str = ""
    length: str | None = "true"  # as Content-Length says; None: no such header
    key: str | None = None  # None: the usual one
    twice: tuple[tuple[str, str], ...] = ()  # lines beside those

    @property
    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def scope(self, key: str) -> Any:
        lines = {"Host": "localhost", "Authorization": f"Bearer {key}", "Content-Type": JSON}
        if self.length is not None:
            lines["Content-Length"] = str(len(self.bytes)) if self.length == "true" else self.length
        given = [(name, value) for name, value in (lines | self.headers).items() if value != "absent"]
        return a_scope(self.path, *given, *self.twice, method=self.method, query=self.query)


class BothWays:
    """The loop of a web process, and Django's views; who worked in threads for the loop is noted."""

    def __init__(self, engine_loop: EngineLoop, key: str) -> None:
        self.key = key
        self.clean_up = ExitStack()
        self._loop = engine_loop.asyncio
        self._underway = Visits(self._loop)
        spool = Spool(self._loop)
        self.clean_up.callback(spool.close)
        self._django = DjangoThreads(spool)
        self.clean_up.callback(self._django.close)
        probes: Any = SimpleNamespace(answer=lambda path, query: None)
        self.web_loop = WebLoop(self._underway, self._django, probes, spool)
        self._views = DjangoHandler()

    def ask(self, sent: Sent, *, before=lambda: None, lost: bytes | None = None) -> tuple[Answer, str]:
        """Send it both ways; return the one answer that both gave, and who worked for the loop.

        Where the caller is `lost`, this came of the body.
        """
        before()
        answer, by = self.by_loop(sent, lost)
        before()
        told = self.by_views(sent, lost)
        assert answer[::2] == told[::2]
        own = {name: value for name, value in answer.headers.items() if name not in OF_CONNECTION}
        common = {name: value for name, value in told.headers.items() if name in own}
        assert own == common
        assert told.headers.keys() - own.keys() <= FOR_BROWSERS | BY_SERVER
        assert told.headers.get("Content-Length", len(told.body)) in {len(told.body), str(len(told.body))}
        return answer, by

    def by_loop(self, sent: Sent, lost: bytes | None = None) -> tuple[Answer, str]:
        proto = Proto(sent.bytes[: _length(sent)]) if lost is None else Proto(lost, CUT, is_whole=False)
        with _noting_threads() as names:
            call = self.web_loop(sent.scope(self._key(sent)), proto)
            asyncio.run_coroutine_threadsafe(call, self._loop).result(WAIT_S)
        ((status, headers, body),) = proto.answers
        assert len(headers) == len(dict(headers))
        return Answer(status, dict(headers), body), "+".join(sorted(set(names))) or "loop"

    def by_views(self, sent: Sent, lost: bytes | None = None) -> Answer:
        """As if Django had no loop before it, and read the body itself."""
        scope = sent.scope(self._key(sent))
        visit = Visit(self._underway, scope, Proto())
        received: Any = io.BytesIO(sent.bytes) if lost is None else _Lost(lost)
        environ = environ_of(visit, received, 0)
        environ["CONTENT_LENGTH"] = visit.headers.get("CONTENT_LENGTH", "")
        told = []
        response = self._views(environ, lambda status, headers, *_: told.append((status, headers)))
        try:
            body = b"".join(response)
        finally:
            response.close()
        ((status, headers),) = told
        return Answer(int(status[:3]), dict(headers), body)

    def _key(self, sent: Sent) -> str:
        return self.key if sent.key is None else sent.key


def _length(sent: Sent) -> int | None:
    """The web server hands on no more than the length says."""
    return int(sent.length) if sent.length and sent.length.isdecimal() and len(sent.length) < 9 else None


class _Lost(io.BytesIO):
    """The input of a caller that hangs up, where something comes before."""

    def read(self, *arguments):
        return super().read(*arguments) or self._lose()

    def _lose(self):
        raise ConnectionResetError("gone")


@contextmanager
def _noting_threads():
    """Note which threads did something for the loop."""
    names, work_there = [], off_loop_module._in_thread

    def noting(work, takes_turns):
        assert asyncio._get_running_loop() is None
        names.append(threading.current_thread().name.partition("_")[0])
        return work_there(work, takes_turns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(off_loop_module, "_in_thread", noting)
        yield names


@pytest.fixture(autouse=True)
def held_still(monkeypatch):
    """Clock, nonces and random ids: two answers to one request differ in nothing else. No minute ends, either."""
    for module in ("measure.counts", "serving.runtime"):
        monkeypatch.setattr(f"inference.{module}.minute_now", lambda: 28_333_333)
    monkeypatch.setattr(request_id, "time", SimpleNamespace(time=lambda: 1_700_000_000.0))
    monkeypatch.setattr(request_id, "_nonces", itertools.repeat(7))
    monkeypatch.setattr(middleware, "uuid", SimpleNamespace(uuid4=lambda: uuid.UUID(int=7)))


@pytest.fixture
def live(transactional_db, settings):
    """A process that holds a version, and whose engine lives on the loop that answers."""
    settings.PREDICT_BINARY_BYTES = 64 << 20
    put_live("ripeness", EXAMPLE / "model.onnx")
    put_live("ripeness", EXAMPLE / "model.onnx")  # ready, and not live
    loop = EngineLoop.in_thread(uvloop.new_event_loop)
    runtime.start(loop=loop)
    yield loop
    runtime.stop()


@pytest.fixture
def doors(live, monkeypatch):
    monkeypatch.setattr(entry, "admission", Admission(room=4, processes=1, costs=OneEach()))
    ring.clear()
    doors = BothWays(live, a_key()[1])
    ring.admit(doors.key)
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
    "as-large-as-may-be-here": (Sent(b" " * (LOOP_BYTES - 2) + b"{}"), 422),
    "more-than-its-length": (Sent(json.dumps(SAMPLE).encode() + b"}}", length=str(len(json.dumps(SAMPLE)))), 200),
    "length-with-zeros": (Sent(length=f"000{len(json.dumps(SAMPLE))}"), 200),
    "cookie": (Sent(headers={"Cookie": f"sessionid={'x' * 32}; csrftoken={'y' * 32}"}), 200),
    "forwarded": (Sent(headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "8.8.8.8"}), 200),
    "wants-pages": (Sent(headers={"Accept": "text/html"}), 200),
    "wants-gzip-of-rest": (Sent(headers={"Accept-Encoding": "gzip"}), 200),
    "other-method-wished": (Sent(headers={"X-HTTP-Method-Override": "DELETE"}), 200),
    "infer": (Sent({"inputs": [ENTRY]}, INFER), 200),
    "infer-with-slash": (Sent({"inputs": [ENTRY], "id": "mine"}, f"{INFER}/"), 200),
    "infer-version": (Sent({"inputs": [ENTRY]}, "/v2/models/ripeness/versions/1/infer"), 200),
    "infer-alias": (Sent({"inputs": [ENTRY]}, "/v2/models/ripeness@champion/infer"), 200),
    "infer-binary": (Sent(PACKED, INFER, {"Inference-Header-Content-Length": PACKED_AT}), 200),
    "infer-binary-back": (
        Sent(ASKING_BINARY, INFER, {"Inference-Header-Content-Length": ASKING_BINARY_AT}), 200,
    ),
    "infer-classes": (
        Sent({"inputs": [ENTRY], "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}]}, INFER), 200,
    ),
    "infer-unknown-field": (Sent({"inputs": [ENTRY], "version": 2}, INFER), 200),
    "infer-packed-answer": (Sent(MANY_ROWS, INFER, {"Accept-Encoding": "gzip, deflate, br"}), 200),
    "infer-answer-not-worth-packing": (Sent({"inputs": [ENTRY]}, INFER, {"Accept-Encoding": "gzip"}), 200),
    "not-json": (Sent(b"{"), 400),
    "empty": (Sent(b""), 400),
    "lone-surrogate": (Sent(b'{"inputs": {"\\ud800": [[1]]}}'), 400),
    "deep": (Sent(b"[" * 100_000), 400),
    "header-beyond-body": (
        Sent(PACKED, headers={"Content-Type": BINARY, "Inference-Header-Content-Length": "99999"}), 400,
    ),
    "unknown-model": (Sent(path="/api/v1/models/nobody/predict"), 404),
    "unknown-model-bad-id": (Sent(path="/api/v1/models/nobody/predict", headers={"X-Request-ID": "a b\r\nSet-Cookie: c"}), 404),
    "unknown-model-good-id": (Sent(path="/api/v1/models/nobody/predict", headers={"X-Request-ID": "mine-1"}), 404),
    "unknown-model-long-id": (Sent(path="/api/v1/models/nobody/predict", headers={"X-Request-ID": "a" * 65}), 404),
    "not-ascii": (Sent(path="/api/v1/models/r\u00efpeness/predict"), 404),
    "infer-not-ascii": (Sent(path="/v2/models/r\u00efpeness/infer"), 404),
    "no-utf-8": (Sent(path="/api/v1/models/r\ufffdpeness/predict"), 404),
    "model-in-odd-letters": (Sent(path="/api/v1/models/a'b\"<c>%\n/predict"), 404),
    "unknown-version": (Sent(path="/api/v1/models/ripeness/versions/9/predict"), 404),
    "unknown-alias": (Sent(path="/api/v1/models/ripeness@nobody/predict"), 404),
    "no-key": (Sent(headers={"Authorization": "absent"}), 401),
    "empty-key": (Sent(key=""), 401),
    "other-scheme": (Sent(headers={"Authorization": "Basic eDp5"}), 401),
    "two-keys": (Sent(twice=(("Authorization", "Bearer b"),)), 401),
    "infer-no-key": (Sent(path=INFER, headers={"Authorization": "absent"}), 401),
    "odd-key": (Sent(key="rh_\u00e9"), 401),
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
    "compressed": (Sent(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}), 415),
    "encoding-in-odd-signs": (Sent(headers={"Content-Encoding": "<gz\\'p>"}), 415),
    "no-form": (Sent({"lines": ROWS}), 422),
    "two-forms": (Sent({**SAMPLE, "data": [1]}), 422),
    "unknown-field": (Sent({**SAMPLE, "verison": 2}), 422),
    "version-in-the-body": (Sent({**SAMPLE, "version": 2}), 422),
    "alias-in-the-body": (Sent({**SAMPLE, "alias": "champion"}, "/api/v1/models/ripeness/versions/1/predict"), 422),
    "unknown-field-of-octets": (Sent({"inputs": [ENTRY], "version": 2}, headers={"Content-Type": BINARY}), 422),
    "wrong-dimension": (Sent({"inputs": {"features": [[1, 2]]}}), 422),
    "odd-name": (Sent({"inputs": {"a\0\u2028/~": 1}}), 422),
    "not-a-form-for-this": (Sent({"inputs": []}), 422),
    "bad-deadline": (Sent(headers={"X-Deadline-Ms": "soon"}), 422),
    "two-deadlines": (Sent(headers={"X-Deadline-Ms": "5000"}, twice=(("X-Deadline-Ms", "6000"),)), 422),
    "routing-key-in-odd-letters": (Sent(headers={"X-Routing-Key": "\u00e9"}), 422),
    "infer-routing-key-in-odd-letters": (Sent({"inputs": [ENTRY]}, INFER, {"X-Routing-Key": "\u00e9"}), 400),
    "infer-not-json": (Sent(b"{", INFER), 400),
    "infer-wrong-shape": (Sent({"inputs": [{**ENTRY, "shape": [3, 3]}]}, INFER), 400),
    "infer-unknown-output": (Sent({"inputs": [ENTRY], "outputs": [{"name": "z"}]}, INFER), 400),
    "infer-bad-deadline": (Sent({"inputs": [ENTRY]}, INFER, {"X-Deadline-Ms": ""}), 400),
    "infer-unknown-model": (Sent(path="/v2/models/nobody/infer", headers={"X-Request-ID": "mine-1"}), 404),
    "infer-version-in-words": (Sent(path="/v2/models/ripeness/versions/new/infer"), 404),
    "infer-nameless": (Sent(path="/v2/models/@champion/infer"), 404),
    "infer-chunked": (Sent(path=INFER, length=None), 411),
    "infer-too-large": (Sent(path=INFER, length=str(9 << 20)), 413),
}  # fmt: skip

# Dry runs, and what reaches no prediction.
NO_PREDICTIONS = {
    "dry-run", "dry-run-spelled-out", "dry-run-refused", "dry-run-unknown-field", "dry-run-in-no-text", "slash",
    "two-slashes", "version-in-words", "nowhere", "infer-nowhere", "method-OPTIONS",
    *(f"method-{method}" for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "BREW", "TRACE")), "infer-method-GET",
}  # fmt: skip

# What would hold the loop up, or ask the database: the status, and the threads that did it.
IN_THREADS = {
    "version-on-demand": (Sent(path="/api/v1/models/ripeness/versions/2/predict"), 200, "work"),
    "infer-on-demand": (Sent({"inputs": [ENTRY]}, "/v2/models/ripeness/versions/2/infer"), 200, "work"),
    "infer-gzip": (
        Sent(gzip.compress(json.dumps({"inputs": [ENTRY]}).encode()), INFER, {"Content-Encoding": "gzip"}), 200, "work",
    ),
    "infer-deflate": (
        Sent(zlib.compress(ASKING_BINARY), INFER,
             {"Content-Encoding": "deflate", "Inference-Header-Content-Length": ASKING_BINARY_AT}), 200, "work",
    ),
    "form": (Sent(headers={"Content-Type": "multipart/form-data; boundary=x"}), 422, "work"),
    "infer-bad-encoding": (Sent({"inputs": [ENTRY]}, INFER, {"Content-Encoding": "br"}), 400, "work"),
    "infer-bad-gzip": (Sent(b"nothing packed", INFER, {"Content-Encoding": "gzip"}), 400, "work"),
    "guessed-key": (Sent(key=f"rh_abcdefgh_{'g' * 43}"), 401, "keys"),
    "guessed-key-offered-id": (Sent(key=f"rh_abcdefgh_{'h' * 43}", headers={"X-Request-ID": "mine-1"}), 401, "keys"),
    "large": (Sent(ROOMY), 200, "work"),
    "large-not-json": (Sent(b"{" * (LOOP_BYTES + 1)), 400, "work"),
    "infer-large": (Sent(ROOMY_INFER, INFER), 200, "work"),
    "infer-large-gzip": (Sent(gzip.compress(ROOMY_INFER), INFER, {"Content-Encoding": "gzip"}), 200, "work"),
}  # fmt: skip

# Of texts: long ones are read in a thread.
CLASSIFY, ENTITIES = "/api/v1/classify", "/api/v1/entities"
TEXTS = {
    "text": (Sent({"text": "good"}, "/api/v1/models/tone/predict"), 200, "loop"),
    "texts": (Sent({"texts": ["good", "bad " * 20], "top_k": 1}, "/api/v1/models/tone/predict"), 200, "loop"),
    "classify": (Sent({"text": "good"}, CLASSIFY), 200, "loop"),
    "classify-named": (Sent({"text": "good", "model": "tone"}, CLASSIFY), 200, "loop"),
    "classify-alias": (Sent({"texts": ["good"], "model": "tone@champion"}, CLASSIFY), 200, "loop"),
    # Its patterns may take long, so it decodes in a thread.
    "entities": (Sent({"text": "ann lee", "model": "names"}, ENTITIES), 200, "work"),
    "routing-key": (Sent({"text": "good"}, CLASSIFY, {"X-Routing-Key": "anna"}), 200, "loop"),
    "long-text": (Sent({"text": "good " * 1_000}, CLASSIFY), 200, "work"),
    "long-text-of-a-model": (Sent({"text": "good " * 1_000}, "/api/v1/models/tone/predict"), 200, "work"),
    "long-text-in-tensors": (
        Sent({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good " * 1_000]}]},
             "/v2/models/tone/infer"), 200, "work",
    ),
    "large-body": (Sent({"text": "good " * (LOOP_BYTES // 4)}, CLASSIFY), 200, "work"),
    "large-body-not-json": (Sent(b"{" * (LOOP_BYTES + 1), CLASSIFY), 400, "work"),
    "not-json": (Sent(b"{", CLASSIFY), 400, "loop"),
    "a-list": (Sent([], CLASSIFY), 422, "loop"),
    "binary": (Sent({"text": "good"}, CLASSIFY, {"Content-Type": BINARY}), 415, "loop"),
    "tensors": (Sent({"inputs": {"text": ["good"]}}, CLASSIFY), 422, "loop"),
    "field-of-another-task": (Sent({"text": "good", "offset_unit": "byte"}, CLASSIFY), 422, "loop"),
    "no-default": (Sent({"text": "ann"}, ENTITIES), 404, "loop"),
    "unknown-model": (Sent({"text": "good", "model": "nobody"}, CLASSIFY), 404, "loop"),
    "model-is-no-text": (Sent({"text": "good", "model": 5}, CLASSIFY), 400, "loop"),
    "another-task": (Sent({"text": "good", "model": "names"}, CLASSIFY), 422, "loop"),
    "no-key": (Sent({"text": "good"}, CLASSIFY, {"Authorization": "absent"}), 401, "loop"),
    "too-large": (Sent(path=CLASSIFY, length=str(9 << 20)), 413, "loop"),
    "dry-run": (Sent({"text": "good"}, CLASSIFY, query="dry_run=1"), 200, "django"),
    "dry-run-of-another-task": (Sent({"text": "good", "model": "names"}, CLASSIFY, query="dry_run=1"), 422, "django"),
    "slash": (Sent({"text": "good"}, f"{CLASSIFY}/"), 404, "django"),
    "method-GET": (Sent(path=CLASSIFY, method="GET"), 405, "django"),
}  # fmt: skip

# One row, for the default Model.
AT_ROOT = {
    "features": (Sent({"features": ROWS[0]}, "/predict"), 200, "loop"),
    "data": (Sent({"data": ROWS[0]}, "/predict"), 200, "loop"),
    "named": (Sent({"data": ROWS[0], "model": "ripeness@champion"}, "/predict"), 200, "loop"),
    "curls-content-type": (
        Sent({"data": ROWS[0]}, "/predict", {"Content-Type": "application/x-www-form-urlencoded"}), 200, "loop",
    ),
    "not-json": (Sent(b"{", "/predict"), 400, "loop"),
    "another-form": (Sent(SAMPLE, "/predict"), 422, "loop"),
    "unknown-model": (Sent({"data": ROWS[0], "model": "nobody"}, "/predict"), 404, "loop"),
    "binary": (Sent(PACKED, "/predict", {"Content-Type": BINARY}), 415, "loop"),
    "no-key": (Sent({"data": ROWS[0]}, "/predict", {"Authorization": "absent"}), 401, "loop"),
    "large-body": (Sent(json.dumps({"data": ROWS[0]}).encode() + b" " * LOOP_BYTES, "/predict"), 200, "work"),
    "dry-run": (Sent({"data": ROWS[0]}, "/predict", query="dry_run=1"), 200, "django"),
    "query-of-many": (Sent({"data": ROWS[0]}, "/predict", query="a&" * 2_000), 400, "django"),
    "method-GET": (Sent(path="/predict", method="GET"), 405, "django"),
    "slash": (Sent({"data": ROWS[0]}, "/predict/"), 404, "django"),
}  # fmt: skip
# Of users, candidates and rows.
RECOMMEND, RANK = "/api/v1/recommend", "/api/v1/rank"
OFFERS = [{"topic": "art", "price": 3}, {"topic": "sport", "price": 5}]
ART = {"user": {"likes": "art"}}
SCORES = {
    "recommend": (Sent({"user": "ann"}, RECOMMEND), 200, "loop"),
    "recommend-of-a-model": (Sent({"users": ["ann", 5], "top_k": 1}, "/api/v1/models/foods/predict"), 200, "loop"),
    "many-users": (Sent({"users": ["ann"] * 9}, RECOMMEND), 200, "work"),
    "many-excluded": (Sent({"user": "ann", "exclude": ["jam"] * 700}, RECOMMEND), 200, "work"),
    "many-excluded-of-each": (Sent({"users": ["ann"], "exclude": [["jam"] * 700]}, RECOMMEND), 200, "work"),
    "unknown-user": (Sent({"user": "zoe"}, RECOMMEND), 404, "loop"),
    "unknown-user-of-several": (Sent({"users": ["ann", "zoe"]}, RECOMMEND), 404, "loop"),
    "unknown-user-in-tensors": (
        Sent({"inputs": [{"name": "user", "datatype": "BYTES", "shape": [1], "data": ["zoe"]}]}, "/v2/models/foods/infer"),
        404, "loop",
    ),
    "recommend-dry": (Sent({"user": "ann"}, RECOMMEND, query="dry_run=1"), 200, "django"),
    "rank": (Sent({**ART, "candidates": OFFERS}, RANK), 200, "loop"),
    "rank-of-a-model": (Sent({**ART, "candidates": OFFERS}, "/api/v1/models/offers/predict"), 200, "loop"),
    "many-candidates": (Sent({**ART, "candidates": OFFERS * 30}, RANK), 200, "work"),
    "no-candidates": (Sent(ART, RANK), 422, "loop"),
    "ranking-of-a-recommender": (Sent({**ART, "candidates": OFFERS, "model": "foods"}, RANK), 422, "loop"),
    "rank-dry": (Sent({**ART, "candidates": OFFERS}, RANK, query="dry_run=1"), 200, "django"),
    "row": (Sent({"row": {"age": 25, "city": ""}}, "/api/v1/models/people/predict"), 200, "loop"),
    "missing-value": (Sent({"row": {"age": None}}, "/api/v1/models/people/predict"), 200, "loop"),
    "many-rows": (Sent({"rows": [{}] * 9}, "/api/v1/models/people/predict"), 200, "work"),
    "unknown-column": (Sent({"row": {"town": ""}}, "/api/v1/models/people/predict"), 422, "loop"),
}  # fmt: skip

# What is no prediction in its plainest form.
DJANGOS = {
    "dry-run": (Sent(query="dry_run=1"), 200),
    "dry-run-spelled-out": (Sent(query="x=1&dry_run=true"), 200),
    "dry-run-refused": (Sent({"inputs": {"features": [[1]]}}, query="dry_run=1"), 422),
    "dry-run-unknown-field": (Sent({**SAMPLE, "verison": 2}, query="dry_run=1"), 422),
    "dry-run-in-no-text": (Sent(query="dry_run=%31", headers={"Content-Type": f"{JSON}; charset=hex"}), 200),
    "no-dry-run": (Sent(query="dry_run=0"), 200),
    "query-in-odd-letters": (Sent(query="\u00ff%ff=%00&&==;"), 200),
    "query-of-many": (Sent(query="a&" * 2_000), 400),
    "infer-with-query": (Sent({"inputs": [ENTRY]}, INFER, query="x=1"), 200),
    "slash": (Sent(path=f"{PREDICT}/"), 404),
    "two-slashes": (Sent(path=f"/{PREDICT}"), 404),
    "version-beyond-numbers": (Sent(path=f"/api/v1/models/ripeness/versions/{'9' * 40}/predict"), 404),
    "version-in-words": (Sent(path="/api/v1/models/ripeness/versions/new/predict"), 404),
    "nowhere": (Sent(path="/api/v1/models/ripeness/explain"), 404),
    "infer-nowhere": (Sent(path="/v2/models/ripeness/explain"), 404),
    **{f"method-{method}": (Sent(method=method), 405) for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "BREW", "TRACE")},
    "method-OPTIONS": (Sent(method="OPTIONS"), 200),
    "method-post": (Sent(method="post"), 200),
    "infer-method-GET": (Sent(path=INFER, method="GET"), 405),
}  # fmt: skip


def test_ordinary_requests_are_answered_on_the_loop(doors):
    answered = {name: doors.ask(sent) for name, (sent, _) in ORDINARY.items()}

    assert _told(answered) == {name: (status, "loop") for name, (_, status) in ORDINARY.items()}


def test_predictions_need_no_known_host_and_whatever_is_djangos_does(doors):
    """Nothing of a prediction's answer depends on it; pages have links."""
    elsewhere = {"Host": "10.1.2.3:8000"}

    assert doors.by_loop(Sent(headers=elsewhere)) == doors.by_loop(Sent())
    answer, by = doors.ask(Sent(headers=elsewhere, query="dry_run=1"))
    assert (answer.status, by) == (400, "django")


def test_what_would_hold_the_loop_up_is_done_in_threads(doors):
    on_demand = runtime.started().find("ripeness", None).choose(version=2)

    def as_before():
        runtime.started().executor.unload(on_demand)
        ring._refused.clear()

    answered = {name: doors.ask(sent, before=as_before) for name, (sent, *_) in IN_THREADS.items()}

    assert _told(answered) == {name: (status, by) for name, (_, status, by) in IN_THREADS.items()}


def test_a_key_that_is_not_remembered_is_looked_for_in_a_thread(doors):
    answered = {name: doors.ask(make("ripeness"), before=ring.clear) for name, make in DOORS.items()}

    assert _told(answered) == {"rest": (200, "keys"), "oip": (200, "keys"), "hf": (422, "keys")}


RED = a_picture((255, 0, 0))
FORM = (
    b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    + RED
    + b"\r\n--edge--\r\n"
)
OF_FORM = {"Content-Type": "multipart/form-data; boundary=edge"}
LARGE = a_picture((255, 0, 0), size=(400, 400), kind="WEBP") + b"\0" * LOOP_BYTES
PICTURES = {
    "base64": (Sent({"image": in_base64(RED)}, CLASSIFY), 200, "decoding"),
    "of-a-model": (Sent({"image": in_base64(RED)}, "/api/v1/models/colours/predict"), 200, "decoding"),
    "body": (Sent(RED, CLASSIFY, {"Content-Type": "image/png"}), 200, "decoding"),
    "large-body": (Sent(LARGE, CLASSIFY, {"Content-Type": "image/webp"}), 200, "decoding"),
    "form": (Sent(FORM, CLASSIFY, OF_FORM), 200, "work"),
    "large-base64": (Sent({"image": in_base64(LARGE)}, CLASSIFY), 200, "work"),
    "url": (Sent({"image_url": "http://public.example/a.png"}, CLASSIFY), 400, "loop"),
    "no-picture": (Sent(b"hello", CLASSIFY, {"Content-Type": "image/png"}), 422, "decoding"),
    "broken-form": (Sent(FORM[:60], CLASSIFY, OF_FORM), 422, "work"),
    "text": (Sent(b"hello", CLASSIFY, {"Content-Type": "text/plain"}), 415, "loop"),
    "infer": (
        Sent({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [in_base64(RED)]}]},
             "/v2/models/colours/infer"), 200, "decoding",
    ),
}  # fmt: skip


def test_pictures_are_answered_both_ways_and_decoded_in_threads_of_their_own(doors, tmp_path, settings):
    settings.DEFAULT_MODELS = {"classify-images": "colours"}
    put_colours(tmp_path)
    runtime.started().refresh()

    answered = {name: doors.ask(sent) for name, (sent, *_) in PICTURES.items()}

    assert _told(answered) == {name: (status, by) for name, (_, status, by) in PICTURES.items()}


# Of Hugging Face's clients, which often send no type.
HF, UNTYPED = "/hf/models/tone", {"Content-Type": "absent"}
HUGGING_FACE = {
    "text": (Sent({"inputs": "good", "parameters": {}}, HF), 200, "loop"),
    "texts": (Sent({"inputs": ["good", "bad " * 20], "parameters": {"top_k": 1}}, HF), 200, "loop"),
    "text-without-type": (Sent({"inputs": "good"}, HF, UNTYPED), 200, "loop"),
    "version": (Sent({"inputs": "good"}, f"{HF}/versions/1"), 200, "loop"),
    "alias": (Sent({"inputs": "good"}, f"{HF}@champion"), 200, "loop"),
    "routing-key": (Sent({"inputs": "good"}, HF, {"X-Routing-Key": "anna"}), 200, "loop"),
    # Its patterns may take long, so it decodes in a thread.
    "entities": (Sent({"inputs": "ann lee"}, "/hf/models/names"), 200, "work"),
    "long-text": (Sent({"inputs": "good " * 1_000}, HF), 200, "work"),
    "large-body": (Sent({"inputs": "good " * (LOOP_BYTES // 4)}, HF), 200, "work"),
    "large-body-without-type": (Sent({"inputs": "good " * (LOOP_BYTES // 4)}, HF, UNTYPED), 200, "work"),
    "picture": (Sent(RED, "/hf/models/colours", UNTYPED), 200, "decoding"),
    "large-picture": (Sent(LARGE, "/hf/models/colours", {"Content-Type": "image/webp"}), 200, "decoding"),
    "base64": (Sent({"inputs": in_base64(RED)}, "/hf/models/colours", UNTYPED), 200, "decoding"),
    "large-base64": (Sent({"inputs": in_base64(LARGE)}, "/hf/models/colours"), 200, "work"),
    "no-picture": (Sent(b"hello", "/hf/models/colours", UNTYPED), 422, "decoding"),
    "picture-for-texts": (Sent(RED, HF, UNTYPED), 422, "loop"),
    "parameter-of-nobody": (Sent({"inputs": "good", "parameters": {"stride": 1}}, HF), 422, "loop"),
    "unknown-field": (Sent({"inputs": "good", "top_k": 1}, HF), 422, "loop"),
    "no-inputs": (Sent({"text": "good"}, HF), 422, "loop"),
    "not-json": (Sent(b"{", HF), 400, "loop"),
    "large-not-json": (Sent(b"{" * (LOOP_BYTES + 1), HF, UNTYPED), 400, "work"),
    "bad-deadline": (Sent({"inputs": "good"}, HF, {"X-Deadline-Ms": "soon"}), 422, "loop"),
    "compressed": (Sent({"inputs": "good"}, HF, {"Content-Encoding": "gzip"}), 415, "loop"),
    "unknown-version": (Sent({"inputs": "good"}, f"{HF}/versions/9"), 404, "loop"),
    "unknown-alias": (Sent({"inputs": "good"}, f"{HF}@nobody"), 404, "loop"),
    "unknown-model": (Sent({"inputs": "good"}, "/hf/models/nobody"), 404, "loop"),
    "no-key": (Sent({"inputs": "good"}, HF, {"Authorization": "absent"}), 401, "loop"),
    "chunked": (Sent(path=HF, headers={"Transfer-Encoding": "chunked"}, length=None), 411, "loop"),
    "too-large": (Sent(path=HF, length=str(9 << 20)), 413, "loop"),
    "too-large-without-type": (Sent(path=HF, headers=UNTYPED, length=str(65 << 20)), 413, "loop"),
    "query": (Sent({"inputs": "good"}, HF, query="top_k=1"), 422, "django"),
    "slash": (Sent({"inputs": "good"}, f"{HF}/"), 404, "django"),
    "nowhere": (Sent({"inputs": "good"}, "/hf/tone"), 404, "django"),
    "method-GET": (Sent(path=HF, method="GET"), 405, "django"),
}  # fmt: skip


def test_hugging_face_clients_are_answered_both_ways_and_counted(texts, tmp_path):
    put_colours(tmp_path)
    runtime.started().refresh()
    uncounted = {"not_authenticated", "unknown_model", "not_found", "method_not_allowed"}
    answered, counted, expected = {}, {}, {}

    for name, (sent, *_) in HUGGING_FACE.items():
        answered[name] = answer, _ = texts.ask(sent)
        counted[name] = _counted()
        if answer.status == 200:
            expected[name] = (2, {})
        else:
            code = json.loads(answer.body)["code"]
            is_counted = code not in uncounted or name in {"unknown-version", "unknown-alias"}
            expected[name] = (0, {code: 2} if is_counted else {})

    assert _told(answered) == {name: (status, by) for name, (_, status, by) in HUGGING_FACE.items()}
    assert counted == expected
    refused = [json.loads(answer.body).keys() for answer, _ in answered.values() if answer.status != 200]
    assert all(keys == {"error", "code", "retryable"} for keys in refused)


@pytest.fixture
def texts(doors, tmp_path, settings):
    settings.DEFAULT_MODELS = {"classify": "tone"}
    put_tone(tmp_path)
    put_names(tmp_path)
    runtime.started().refresh()
    _counted()
    return doors


def test_texts_are_answered_both_ways_and_long_ones_in_a_thread(texts):
    answered = {name: texts.ask(sent) for name, (sent, *_) in TEXTS.items()}

    assert _told(answered) == {name: (status, by) for name, (_, status, by) in TEXTS.items()}


def test_one_row_is_answered_both_ways_at_the_root(doors, settings):
    settings.DEFAULT_MODELS = {"predict": "ripeness"}

    answered = {name: doors.ask(sent) for name, (sent, *_) in AT_ROOT.items()}

    assert _told(answered) == {name: (status, by) for name, (_, status, by) in AT_ROOT.items()}
    settings.DEFAULT_MODELS = {}
    answer, by = doors.ask(Sent({"data": ROWS[0]}, "/predict"))
    assert (answer.status, answer.code, by) == (404, "no_default_model", "loop")


def test_users_candidates_and_rows_are_answered_both_ways_and_many_in_a_thread(doors, tmp_path, settings):
    settings.DEFAULT_MODELS = {"recommend": "foods", "rank": "offers"}
    put_foods(tmp_path)
    put_offers(tmp_path)
    put_people(tmp_path, **MISSING)
    runtime.started().refresh()

    answered = {name: doors.ask(sent) for name, (sent, *_) in SCORES.items()}

    assert _told(answered) == {name: (status, by) for name, (_, status, by) in SCORES.items()}


def test_requests_of_a_task_are_counted_under_the_model_that_was_found(texts):
    tone = Model.objects.get(slug="tone")

    texts.by_loop(Sent({"text": "good"}, CLASSIFY))
    texts.by_loop(Sent({"text": 5}, CLASSIFY))
    texts.by_loop(Sent({"text": "ann"}, ENTITIES))

    counted = runtime.started().windows.take(all_of_it=True)
    assert {(key.model_id, key.arm, counts.ok, *counts.codes.items()) for key, counts in counted} == {
        (tone.pk, "a", 1, ("invalid_text", 1))
    }


def test_other_requests_are_djangos(doors):
    answered = {name: doors.ask(sent) for name, (sent, _) in DJANGOS.items()}

    assert _told(answered) == {name: (status, "django") for name, (_, status) in DJANGOS.items()}


def test_each_request_is_counted_once(doors):
    """Each is sent both ways, so there are two of it."""
    counted, expected = {}, {}
    for name, (sent, _) in {**ORDINARY, **DJANGOS}.items():
        answer, _ = doors.ask(sent)
        counted[name] = _counted()
        if name in NO_PREDICTIONS:
            expected[name] = (0, {})
        elif answer.status == 200:
            expected[name] = (2, {})
        else:
            is_counted = answer.code not in {"not_authenticated", "unknown_model"}
            expected[name] = (0, {answer.code: 2} if is_counted else {})

    assert counted == expected


def test_an_error_is_counted_under_the_arm_that_was_chosen(doors):
    doors.by_loop(Sent({"inputs": {"features": [[1, 2]]}}))
    doors.by_loop(Sent({"inputs": {"features": [[1, 2]]}}, "/api/v1/models/ripeness/versions/2/predict"))
    doors.by_loop(Sent(b"{"))

    versions = dict(Version.objects.values_list("number", "pk"))
    counted = runtime.started().windows.take(all_of_it=True)
    assert {(key.arm, key.version_id): (counts.refused, counts.codes) for key, counts in counted} == {
        ("a", versions[1]): (1, {"wrong_dimension": 1}),
        ("", versions[2]): (1, {"wrong_dimension": 1}),
        ("", NO_VERSION): (1, {"bad_body": 1}),
    }


def _counted():
    """Answers, and requests that got an error by code, since the last call."""
    total = Counts()
    for _, counts in runtime.started().windows.take(all_of_it=True):
        total.add_all(counts)
    assert total.turned_away == sum(total.codes.values())
    return total.ok, total.codes


def _told(answered):
    return {name: (answer.status, by) for name, (answer, by) in answered.items()}


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
        patch.setitem(runtime.started().executor._failed, target.version_id, (target, obstacle))

    return situation


def _both_stale(patch, doors):
    patch.setattr(runtime, "stale_s", lambda: 120)
    _stale_key(patch, doors)


def _stale_key(patch, doors):
    recall = ring.recall
    patch.setattr(ring, "recall", lambda text: recall(text)._replace(stale_s=77))


def _database_away(patch, doors):
    ring.clear()
    patch.setattr("registry.access.keys.KeyTable.find", _gone)


def _gone(*_):
    raise DatabaseError("gone")


def _revoked(patch, doors):
    revoke_key(key=ApiKey.objects.get(), reason="test", by=an_actor())
    ring._entries.clear()
    with suppress(NotAuthenticated):
        ring.admit(doors.key)


def _another_key(*scopes, is_inside=False, **more):
    def change(patch, doors):
        doors.key = a_key(*scopes, **more)[1]
        by = ring.admit(doors.key).principal
        if is_inside:
            _enter(doors, by)

    return change


def _for_another_model(patch, doors):
    doors.key = a_key(models=[a_model().pk])[1]
    ring.admit(doors.key)


def _rate_spent(patch, doors):
    patch.setattr(Minutes, "left_s", lambda self: 30)
    patch.setattr(Minutes, "now", lambda self: 1)
    _another_key(is_inside=True, limits=CallerLimits(rate_per_minute=1))(patch, doors)


def _exactly(*, used=0, is_down=False):
    """The key's rate is counted by a counter that may be slow."""

    def change(patch, doors):
        patch.setattr(Minutes, "left_s", lambda self: 30)
        patch.setattr(Minutes, "now", lambda self: 1)
        _another_key(limits=CallerLimits(rate_per_minute=100, is_exact=True))(patch, doors)
        store = MemoryStore()
        store.used[f"key:{ring.admit(doors.key).principal.key_id}", 1] = used
        store.is_down = is_down
        entry.admission.start(store)
        doors.clean_up.callback(entry.admission.stop)

    return change


def _crowded(patch, doors):
    by = ring.admit(doors.key).principal
    for _ in range(4):
        _enter(doors, by)


def _enter(doors, by: Principal):
    route = runtime.started().find("ripeness", None)
    enter(entry.admission, by, route)
    doors.clean_up.callback(leave, entry.admission, by, route)


def _not_finite(patch, doors):
    for module in ("inference.engine.batcher", "inference.doors.oip.codec"):
        patch.setattr(f"{module}.is_finite", lambda array: False)
    patch.setattr("inference.engine.batch_runs.non_finite_outputs", lambda outputs: tuple(outputs))


def _patched(*arguments):
    """What is found by a call, or named by its path, is another meanwhile."""
    return lambda patch, doors: patch.setattr(
        *(one() if callable(one) else one for one in arguments[:-1]), arguments[-1]
    )


# What happens, what is asked; the answer, and who gives it.
SITUATIONS = {
    "stopped": (_stopped, {}, 503, "stopped", "loop"),
    "never-live": (_never_live, {"model": "nobody"}, 503, "no_live_version", "loop"),
    "no-room": (_not_loaded(may_pass=True), {}, 503, "loading", "loop"),
    "damaged": (_not_loaded(may_pass=False), {}, 500, "cannot_load", "loop"),
    "leaving": (_patched(runtime.started, "_state", "draining"), {}, 503, "stopping", "loop"),
    "without-runtime": (_patched("inference.serving.runtime._runtime", None), {}, 503, "stopping", "loop"),
    "routes-too-old": (_patched(runtime.started, "stale_s", lambda: 301), {}, 503, "routes_too_old", "loop"),
    "stale-routes": (_patched("inference.serving.runtime.stale_s", lambda: 120), {}, 200, None, "loop"),
    "stale-key": (_stale_key, {}, 200, None, "loop"),
    "both-stale": (_both_stale, {}, 200, None, "loop"),
    "stale-and-refused": (_both_stale, {"model": "nobody"}, 404, "unknown_model", "loop"),
    "database-away": (_database_away, {}, 503, "database_unavailable", "keys"),
    "database-away-on-demand": (
        _patched("inference.serving.executors.inprocess.current_serving", _gone),
        {"model": "ripeness/versions/2"}, 503, "database_unavailable", "work",
    ),
    "revoked": (_revoked, {}, 401, "not_authenticated", "loop"),
    "for-reading": (_another_key("registry.read"), {}, 403, "not_allowed", "loop"),
    "for-another-model": (_for_another_model, {}, 404, "unknown_model", "loop"),
    "rate-spent": (_rate_spent, {}, 429, "too_many_requests", "loop"),
    "exact-rate": (_exactly(), {}, 200, None, "work"),
    "exact-rate-spent": (_exactly(used=100), {}, 429, "too_many_requests", "work"),
    "exact-rate-without-its-counter": (_exactly(is_down=True), {}, 503, "limits_unavailable", "work"),
    "one-at-once": (_another_key(is_inside=True, limits=CallerLimits(concurrency=1)), {}, 429, "too_many_requests", "loop"),
    "crowded": (_crowded, {}, 503, "overloaded", "loop"),
    "broken": (_patched("inference.serving.services.predict", lambda call: 1 / 0), {}, 500, "internal_error", "loop"),
    "not-finite": (_not_finite, {}, 422, "invalid_output", "loop"),
}  # fmt: skip
# The caller is not known, or the Model is unknown to it, or no runtime counts.
UNCOUNTED = {
    "stale-and-refused", "database-away", "revoked", "for-reading", "for-another-model", "without-runtime",
}  # fmt: skip
DOORS = {
    "rest": lambda model: Sent(path=f"/api/v1/models/{model}/predict"),
    "oip": lambda model: Sent({"inputs": [ENTRY]}, f"/v2/models/{model}/infer"),
    "hf": lambda model: Sent({"inputs": "good"}, f"/hf/models/{model}"),
}


@pytest.mark.parametrize(
    ("happen", "asked", "status", "code", "by"), SITUATIONS.values(), ids=SITUATIONS.keys()
)
def test_what_happens_meanwhile_is_said_and_counted_alike(
    doors, request, monkeypatch, happen, asked, status, code, by
):
    # This Model's task is none of Hugging Face's: what happens only if it runs does not happen there.
    names = DOORS.keys() - ({"hf"} if code in {None, "invalid_output"} else set())
    sent = {name: DOORS[name](**{"model": "ripeness", **asked}) for name in names}
    doors.ask(Sent())  # the key is known
    _counted()

    with monkeypatch.context() as patch:
        happen(patch, doors)
        answered = {name: doors.ask(one) for name, one in sent.items()}

    assert _told(answered) == {
        name: (400 if status == 422 and name == "oip" else status, by) for name in names
    }
    assert {answer.code for answer, _ in answered.values()} == {code}
    is_counted = request.node.callspec.id not in UNCOUNTED
    times = 2 * len(names)
    assert _counted() == ((times, {}) if code is None else (0, {code: times} if is_counted else {}))


@pytest.mark.parametrize("path", [PREDICT, INFER, "/hf/models/ripeness"], ids=["rest", "oip", "hf"])
@pytest.mark.parametrize("came", [b"", b'{"inp'], ids=["nothing", "some"])
def test_caller_that_hangs_up_is_no_error_of_ours(doors, caplog, path, came):
    answer, by = doors.by_loop(Sent(path=path), lost=came)

    assert (answer.status, answer.code, by) == (400, "bad_body", "loop")
    assert answer.headers["Connection"] == "close"
    assert caplog.records == []
    assert doors.ask(Sent(path=path), lost=came) == (answer, by)
    assert entry.admission.flights.count == 0


@pytest.mark.parametrize("path", [PREDICT, INFER, "/hf/models/ripeness"], ids=["rest", "oip", "hf"])
def test_a_large_body_that_was_cut_says_how_much_is_missing(doors, path):
    answer, _ = doors.by_loop(Sent(ROOMY, path), lost=b"{")

    missing = len(Sent(ROOMY).bytes) - 1
    assert (answer.status, answer.code) == (400, "bad_body")
    assert f"ended {missing} bytes before its Content-Length" in answer.body.decode()


def test_before_a_body_is_received_everything_else_is_said(doors):
    """Negative control: where nothing else is wrong, it is asked for."""
    for sent in (Sent(path="/api/v1/models/nobody/predict", length=str(70_000)), Sent(length=str(9 << 20))):
        proto = Proto(b"{")
        call = doors.web_loop(sent.scope(doors.key), proto)
        asyncio.run_coroutine_threadsafe(call, doors._loop).result(WAIT_S)
        assert (proto.taken, proto.answers[0][0] in {404, 413}) == (0, True)

    proto = Proto(Sent().bytes)
    asyncio.run_coroutine_threadsafe(doors.web_loop(Sent().scope(doors.key), proto), doors._loop).result(
        WAIT_S
    )
    assert (proto.taken, proto.answers[0][0]) == (len(Sent().bytes), 200)


@pytest.mark.parametrize("leaves", [True, False], ids=["leaving", "staying"])
@pytest.mark.parametrize(
    "sent", [Sent(), Sent(b"{"), Sent(path="/nowhere")], ids=["answer", "refusal", "django"]
)
def test_answers_of_a_process_that_leaves_are_the_last_of_their_connections(doors, sent, leaves):
    doors.web_loop.is_leaving = leaves

    answer, _ = doors.ask(sent)

    assert (answer.headers.get("Connection") == "close") is leaves


@pytest.mark.parametrize("sent", [Sent(), Sent(b"{"), Sent(path=INFER)], ids=["answer", "refusal", "oip"])
def test_one_header_more_would_be_seen(doors, monkeypatch, sent):
    """Negative control: the comparison above is not blind."""
    answer = doors.web_loop._answer

    async def with_a_header(visit):
        made = await answer(visit)
        made.headers.append(("X-A", "1"))
        return made

    monkeypatch.setattr(doors.web_loop, "_answer", with_a_header)
    with pytest.raises(AssertionError, match="X-A"):
        doors.ask(sent)


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Content-Type-Options"])
def test_one_header_that_differs_or_is_missing_would_be_seen(doors, monkeypatch, name):
    views = doors.by_views

    def with_another(sent, lost):
        answer = views(sent, lost)
        return answer._replace(headers=answer.headers | {name: "another"})

    monkeypatch.setattr(doors, "by_views", with_another)
    with pytest.raises(AssertionError, match=name):
        doors.ask(Sent())
