"""The protocol's routes with a real model behind them."""

import json
import time

import numpy as np
import pytest

from inference.serving import runtime
from registry.access.keys import ring
from tests.support.factories import a_key
from tests.support.processes import ROOT
from tests.support.wire import in_binary

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.support.routes")]
EXAMPLE = ROOT / "examples" / "ripeness"
SAMPLE = np.array(json.loads((EXAMPLE / "sample.json").read_text())["inputs"]["features"], np.float32)
MODEL = "/v2/models/ripeness"


@pytest.fixture(autouse=True)
def roomy(settings, live):
    settings.PREDICT_BINARY_BYTES = 64 << 20


@pytest.fixture
def ask(client):
    ring.clear()
    key = a_key()[1]

    def call(method, url, body=b"", **headers):
        return client.generic(method, url, body, headers={"Authorization": f"Bearer {key}", **headers})

    return call


def _binary(**more):
    text, binary = in_binary({"features": ("FP32", SAMPLE)}, **more)
    header = json.dumps(text).encode()
    return header + binary, {"Inference-Header-Content-Length": str(len(header))}


def test_second_call_makes_no_query(ask, django_assert_num_queries):
    body, length = _binary()
    ask("POST", f"{MODEL}/infer", body, **length)

    with django_assert_num_queries(0):
        assert ask("POST", f"{MODEL}/infer", body, **length).status_code == 200


def test_what_is_live_is_not_unloaded(ask):
    refused = ask("POST", "/v2/repository/models/ripeness/unload")

    assert (refused.status_code, refused.json()["code"]) == (409, "pinned")
    assert ask("GET", f"{MODEL}/ready").status_code == 200
    assert [(model["version"], model["state"]) for model in ask("POST", "/v2/repository/index").json()] == [
        ("1", "READY")
    ]


def test_statistics_count_what_was_asked(ask):
    body, length = _binary()
    ask("POST", f"{MODEL}/infer", body, **length)

    (stats,) = ask("GET", f"{MODEL}/stats").json()["model_stats"]

    success, inside = (stats["inference_stats"][name] for name in ("success", "compute_infer"))
    assert (stats["inference_count"], stats["execution_count"], success["count"]) == (2, 1, 1)
    assert success["ns"] >= inside["ns"] > 0


def test_the_time_of_the_last_inference_is_kept(ask):
    """In milliseconds since 1970, and after the version has left memory as well."""
    assert ask("GET", f"{MODEL}/stats").json()["model_stats"][0]["last_inference"] == 0
    body, length = _binary()
    before = int(time.time() * 1000)
    ask("POST", f"{MODEL}/infer", body, **length)
    after = int(time.time() * 1000)

    (stats,) = ask("GET", f"{MODEL}/stats").json()["model_stats"]
    here = runtime.started()
    here.executor._engine.unload(here.find("ripeness", None).choose().version_id, timeout_s=10)
    (kept,) = ask("GET", f"{MODEL}/stats").json()["model_stats"]

    assert before <= stats["last_inference"] == kept["last_inference"] <= after


def test_an_unknown_output_is_named_and_nothing_is_run(ask):
    body, length = _binary(outputs=[{"name": "probabilities"}, {"name": "nobody"}])

    refused = ask("POST", f"{MODEL}/infer", body, **length)

    assert (refused.status_code, refused.json()["code"]) == (400, "unknown_output")
    assert "no output 'nobody'; it has 'probabilities'" in refused.json()["error"]
    (stats,) = ask("GET", f"{MODEL}/stats").json()["model_stats"]
    assert (stats["execution_count"], stats["inference_stats"]["fail"]["count"]) == (0, 0)
