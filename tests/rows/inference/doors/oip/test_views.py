"""The protocol's routes, over a serving that remembers what it was asked."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from inference.doors.oip.door import OIP
from inference.engine.combiner import Priority
from inference.serving import services
from registry.access.keys import ring
from roundhouse.problems import error_response
from tests.rows.inference.doors.fake_serving import SCORES, FakeServing
from tests.support.errors import told_errors
from tests.support.factories import a_key
from tests.support.pipelines import plain
from tests.support.wire import in_binary, received

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
INFER = "/v2/models/scores/infer"
ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}


@pytest.fixture(autouse=True)
def roomy(settings):
    settings.PREDICT_BINARY_BYTES = 64 << 20


@pytest.fixture(autouse=True)
def serving(monkeypatch):
    fake = FakeServing()
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def key():
    ring.clear()
    yield a_key()[1]
    ring.clear()


def _ask(client, key, method, url, body=b"", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    # application/octet-stream is what the asyncio client says of everything
    return client.generic(
        method, url, data, content_type="application/octet-stream",
        headers={**({"Authorization": f"Bearer {key}"} if key else {}), **headers},
    )  # fmt: skip


PAGES = {
    "live": ("GET", "/v2/health/live", {"live": True}),
    "ready": ("GET", "/v2/health/ready", {"ready": True}),
    "model-ready": ("GET", "/v2/models/scores/ready", {"name": "scores", "ready": True}),
    "version-ready": ("GET", "/v2/models/scores/versions/2/ready", {"name": "scores", "ready": True}),
    "alias-ready": ("GET", "/v2/models/scores@champion/ready", {"name": "scores", "ready": True}),
    "metadata": ("GET", "/v2/models/scores", {
        "name": "scores", "versions": ["1", "2"], "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }),
    "config": ("GET", "/v2/models/scores/config", {
        "name": "scores", "platform": "onnx_onnxv1", "backend": "onnx", "max_batch_size": 32,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [3]}],
    }),
    "index": ("POST", "/v2/repository/index", [
        {"name": "scores", "version": "1", "state": "READY", "reason": ""},
        {"name": "scores", "version": "2", "state": "UNAVAILABLE", "reason": "not loaded"},
    ]),
    "load": ("POST", "/v2/repository/models/scores/load", {}),
    "unload": ("POST", "/v2/repository/models/scores/unload", {}),
}  # fmt: skip


@pytest.mark.parametrize(("method", "url", "expected"), PAGES.values(), ids=PAGES.keys())
def test_calls_answer_200(client, key, method, url, expected):
    response = _ask(client, key, method, url)

    assert (response.status_code, response.json()) == (200, expected)


def test_server_names_what_it_serves(client, key):
    told = _ask(client, key, "GET", "/v2").json()

    assert told["name"] == "roundhouse"
    assert set(told["extensions"]) == {
        "binary_tensor_data", "classification", "model_configuration", "model_repository", "parameters", "statistics",
    }  # fmt: skip


@pytest.mark.parametrize(
    "url", ["/v2/models/stats", "/v2/models/scores/stats", "/v2/models/scores/versions/1/stats"]
)
def test_statistics(client, key, url):
    (told,) = _ask(client, key, "GET", url).json()["model_stats"]

    counts = told["inference_count"], told["execution_count"]
    assert (told["name"], told["version"], *counts) == ("scores", "1", 4, 1)
    assert told["inference_stats"]["success"] == {"count": 2, "ns": 23_000_000}
    assert told["inference_stats"]["queue"] == {"count": 2, "ns": 3_000_000}
    assert told["inference_stats"]["compute_infer"]["ns"] == 8_000_000
    assert told["inference_stats"]["fail"]["count"] == 3
    (batch,) = told["batch_stats"]
    assert (batch["batch_size"], batch["compute_infer"]["count"]) == (4, 1)


def test_index_of_what_is_ready(client, key):
    assert len(_ask(client, key, "POST", "/v2/repository/index", {"ready": True}).json()) == 1


def test_model_that_is_not_ready_is_no_success(client, key, serving):
    serving.is_ready = False

    assert _ask(client, key, "GET", "/v2/models/scores/ready").status_code == 503
    assert _ask(client, key, "GET", "/v2/health/ready").status_code == 503
    assert _ask(client, key, "GET", "/v2/health/live").status_code == 200


def test_infer_in_json(client, key):
    response = _ask(client, key, "POST", INFER, {**ROW, "id": "mine"})

    assert response.status_code == 200
    assert response["X-Request-ID"] == "rid-1"
    assert response.json() == {
        "model_name": "scores", "model_version": "1", "id": "mine",
        "parameters": {
            "request_id": "rid-1", "arm": "A", "split": 7,
            "preprocessing": plain(SCORES, labels="abc").digest,
        },
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]}],
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["", "gzip"], ids=["plain", "gzip"])
def test_infer_in_binary(client, key, encoding):
    x = np.arange(1200, dtype=np.float32).reshape(600, 2)
    text, binary = in_binary({"x": ("FP32", x)}, parameters={"binary_data_output": True})
    header = json.dumps(text).encode()
    body = header + binary
    length = {"Inference-Header-Content-Length": str(len(header))}
    packing = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip, deflate, br"} if encoding else {}

    response = _ask(
        client, key, "POST", INFER, gzip.compress(body) if encoding else body, **length, **packing
    )
    plain = gzip.decompress(response.content) if encoding else response.content
    _, tensors = received(response.headers, plain)

    assert response.headers.get("Content-Encoding", "") == encoding
    assert tensors["y"].tolist() == np.concatenate([x, x.sum(1, keepdims=True)], 1).tolist()


def test_what_the_caller_wants_reaches_serving(client, key, serving):
    body = {
        **ROW, "id": "mine", "outputs": [{"name": "y"}],
        "parameters": {"timeout": 2_000_000, "priority": 3, "country": "fr"},
    }  # fmt: skip

    url = "/v2/models/scores/versions/2/infer"
    _ask(client, key, "POST", url, body, **{"X-Routing-Key": "k", "X-Deadline-Ms": "1500"})
    _ask(client, key, "POST", "/v2/models/scores@canary/infer", ROW)
    first, second = serving.calls

    assert (first.request.version, first.request.alias, first.outputs, first.routing_key) == (
        2,
        None,
        ["y"],
        "k",
    )
    assert (first.within_s, first.priority) == (1.5, Priority.BULK)
    assert first.fields["country"] == "fr"
    assert first.request.by.name.startswith("key-")
    assert (second.request.version, second.request.alias, second.outputs, second.within_s) == (
        None,
        "canary",
        None,
        5.0,
    )


ERRORS = {
    "no-such-model": ({"url": "/v2/models/nobody/infer"}, 404, "unknown_model"),
    "no-such-address": ({"url": "/v2/models/scores/explain"}, 404, "not_found"),
    "version-in-words": ({"url": "/v2/models/scores/versions/new/infer"}, 404, "not_found"),
    "wrong-method": ({"method": "GET"}, 405, "method_not_allowed"),
    "not-json": ({"body": b"{"}, 400, "bad_body"),
    "unknown-output": ({"body": {**ROW, "outputs": [{"name": "z"}]}}, 400, "unknown_output"),
    "deadline-in-words": ({"X-Deadline-Ms": "soon"}, 400, "bad_deadline"),
    "ready-no-flag": ({"url": "/v2/repository/index", "body": {"ready": 1}}, 400, "bad_parameter"),
    "index-no-object": ({"url": "/v2/repository/index", "body": b"[]"}, 400, "bad_request"),
}


@pytest.mark.parametrize(("asked", "status", "code"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_are_json_with_one_sentence(client, key, asked, status, code):
    asked = {"method": "POST", "url": INFER, "body": ROW, **asked}

    response = _ask(client, key, **asked)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["error"].endswith(".")
    assert response["Content-Type"] == "application/json"


def test_extensions_that_are_not_served_say_so(client, key):
    response = _ask(client, key, "POST", "/v2/systemsharedmemory/region/a/register/")

    assert (response.status_code, response.json()["code"]) == (501, "not_served")
    assert response.json()["error"].endswith(".")
    assert response["Content-Type"] == "application/json"


def test_what_nobody_foresaw_is_not_told(client, key, serving):
    serving.error = RuntimeError("secret path /etc")

    response = _ask(client, key, "POST", INFER, ROW)

    assert response.status_code == 500
    assert "secret" not in response.json()["error"]


def test_every_error_is_said_in_the_protocols_form(rf):
    for kind in told_errors():
        problem = error_response(kind(), rf.post(INFER))
        said = OIP.render_problem(problem)
        body = json.loads(said.content)

        assert said.status_code == (400 if problem.status_code == 422 else problem.status_code) < 600, kind
        assert (body["code"], body["error"]) == (kind.code, str(kind())), kind
        assert said.headers.get("Retry-After") == problem.headers.get("Retry-After"), kind


@pytest.mark.parametrize("given", ["", "rh_abcdefgh_guess"], ids=["none", "guessed"])
def test_strangers_learn_nothing(client, serving, given):
    refused = _ask(client, given, "POST", INFER, b"{")

    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
    assert refused.json()["code"] == "not_authenticated"
    assert serving.calls == serving.control == []


def test_loading_and_unloading_reach_serving(client, key, serving):
    for verb in ("load", "unload"):
        assert _ask(client, key, "POST", f"/v2/repository/models/scores/{verb}").status_code == 200

    assert [(verb, model) for verb, model, _ in serving.control] == [("load", "scores"), ("unload", "scores")]


LOADS = {
    "config": ({"parameters": {"config": "{}"}}, 400, "bad_parameter"),
    "file": ({"parameters": {"file:1/model.onnx": "AAAA"}}, 400, "bad_parameter"),
    "large-file": ({"parameters": {"file:1/model.onnx": "A" * (1 << 20)}}, 400, "bad_parameter"),
    "parameters-no-object": ({"parameters": ["config"]}, 400, "bad_request"),
    "other": ({"parameters": {"unload_dependents": False}}, 200, None),
    "none": ({"parameters": None}, 200, None),
}


@pytest.mark.parametrize(("body", "status", "code"), LOADS.values(), ids=LOADS.keys())
def test_a_load_takes_nothing_from_its_caller(client, key, serving, body, status, code):
    response = _ask(client, key, "POST", "/v2/repository/models/scores/load", body)

    assert (response.status_code, response.json().get("code")) == (status, code)
    assert len(serving.control) == (status == 200)
    if code == "bad_parameter":
        assert "the version's serving settings" in response.json()["error"]


def test_bodies_beyond_djangos_own_limit_are_read(client, key):
    x = np.ones((400_000, 2), np.float32)
    text, binary = in_binary({"x": ("FP32", x)}, parameters={"binary_data_output": True})
    header = json.dumps(text).encode()

    response = _ask(
        client, key, "POST", INFER, header + binary, **{"Inference-Header-Content-Length": str(len(header))}
    )

    assert response.status_code == 200


def test_not_finite_passes_in_binary_only(client, key, serving):
    serving.non_finite = True

    refused = _ask(client, key, "POST", INFER, ROW)
    passed = _ask(client, key, "POST", INFER, {**ROW, "parameters": {"binary_data_output": True}})
    told, tensors = received(passed.headers, passed.content)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_output")
    assert np.isnan(tensors["y"]).all()
    assert told["parameters"]["non_finite"] is True


def test_where_requests_run_singly_the_configuration_says_so(client, key, serving, monkeypatch):
    described = serving.describe
    monkeypatch.setattr(services, "describe", lambda *asked: replace(described(*asked), merged_rows=1))

    told = _ask(client, key, "GET", "/v2/models/scores/config").json()

    assert told["max_batch_size"] == 0
    assert [tensor["dims"] for tensor in (*told["input"], *told["output"])] == [[-1, 2], [-1, 3]]
