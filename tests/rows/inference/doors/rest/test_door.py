"""The REST door, with a real model behind it."""

import json
from datetime import timedelta

import numpy as np
import orjson
import pytest
from django.utils import timezone

from inference.measure.counts import NO_VERSION
from inference.measure.selectors import arms_between
from inference.serving import request_id, runtime
from registry.access.keys import ring
from registry.catalogue.models import Model, Version
from registry.catalogue.services import edit_model
from registry.traffic.services import stop_model
from tests.support.factories import a_key, a_model, an_actor
from tests.support.processes import ROOT
from tests.support.wire import in_binary, received

pytestmark = pytest.mark.django_db
URL = "/api/v1/models/ripeness/predict"
SAMPLE = json.loads((ROOT / "examples" / "ripeness" / "sample.json").read_text())
ROWS = SAMPLE["inputs"]["features"]


@pytest.fixture
def key():
    ring.clear()
    return a_key()[1]


def _post(client, key, body, url=URL, content_type="application/json", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic(
        "POST", url, data, content_type, headers={"Authorization": f"Bearer {key}", **headers}
    )


def test_answers_with_model_and_version(client, key, live):
    response = _post(client, key, SAMPLE)

    body = orjson.loads(response.content)
    assert response.status_code == 200
    assert (body["model"], body["version"]) == ("ripeness", 1)
    assert [max(range(3), key=row.__getitem__) for row in body["outputs"]["probabilities"]] == [0, 2]
    assert (body["arm"], body["split"]) == ("a", 1)
    assert body["request_id"] == response["X-Request-ID"]
    said = request_id.read(body["request_id"])
    assert (said.version_id, said.split, said.arm, said.key_hash) == (Version.objects.get().pk, 1, "a", 0)


def test_second_call_makes_no_query(client, key, live, django_assert_num_queries):
    _post(client, key, SAMPLE)

    with django_assert_num_queries(0):
        assert _post(client, key, SAMPLE).status_code == 200


TENSOR = {"name": "features", "datatype": "FP32", "shape": [2, 3], "data": ROWS}
OCTETS = {"content_type": "application/octet-stream"}
NOBODYS = (
    "Field 'verison' is not read from the body: only `instances` is. Remove or rename it. Nothing was run."
)
# What is sent, and how; status and code; what the answer says.
REFUSED = {
    "not-json": (b"{", {}, 400, "bad_body", ""),
    "deep": (b'{"inputs": {"features": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", {}, 400, "bad_body", ""),
    "no-form": ({"lines": [1]}, {}, 422, "not_a_prediction", ""),
    "missing": ({"inputs": {}}, {}, 422, "missing_tensor", ""),
    "unknown": ({"inputs": {**SAMPLE["inputs"], "weight2": [[1]]}}, {}, 422, "unknown_tensor", ""),
    "rank": ({"inputs": {"features": [1, 2, 3]}}, {}, 422, "wrong_rank", ""),
    "words": ({"inputs": {"features": [["a", "b", "c"]]}}, {}, 422, "wrong_dtype", ""),
    "dimension-of-inputs": ({"inputs": {"features": [[1, 2]]}}, {}, 422, "wrong_dimension", "#/inputs/features"),
    "dimension-of-instances": ({"instances": [[1, 2]]}, {}, 422, "wrong_dimension", "#/instances"),
    "dimension-of-data": ({"data": [1, 2]}, {}, 422, "wrong_dimension", "#/data"),
    "dry-run": ({"features": [1, 2]}, {"url": f"{URL}?dry_run=true"}, 422, "wrong_dimension", "#/features"),
    "outputs": ({**SAMPLE, "outputs": ["probabilities"]}, {}, 422, "unknown_field", ""),
    **{f"field-of-nobody-{who}{query}": (
        {"instances": ROWS, "verison": 3}, {"url": f"/api/v1/models/{who}/predict{query}"}, 422, "unknown_field", NOBODYS,
    ) for who in ("ripeness", "ripeness/versions/1", "ripeness@champion") for query in ("", "?dry_run=1")},
    "pointer-to-a-field-of-nobody": ({**SAMPLE, "verison": 3}, {}, 422, "unknown_field", '"#/verison"'),
    **{f"{name}-elsewhere": ({**SAMPLE, name: value}, {}, 422, "unknown_field", where) for name, value, where in (
        ("version", 3, "/api/v1/models/ripeness/versions/NUMBER/predict"),
        ("alias", "champion", "/api/v1/models/ripeness@ALIAS/predict"),
        ("model", "ripeness", "the Model is named in the address"),
        ("routing_key", "anna", "X-Routing-Key"),
        ("within_s", 5, "X-Deadline-Ms"),
        ("dry_run", True, "?dry_run=1"),
    )},
    "elsewhere-in-octets": ({"inputs": [TENSOR], "version": 3}, OCTETS, 422, "unknown_field", "/versions/NUMBER/predict"),
    **{f"unknown-output{query}": (
        {"inputs": [TENSOR], "outputs": [{"name": "nobody"}]}, {"url": URL + query, **OCTETS}, 422, "unknown_output", said,
    ) for query, said in (("", "it has 'probabilities'"), ("?dry_run=1", "it has 'probabilities'"), ("?", "#/outputs"))},
    **{f"deadline-{given}": (SAMPLE, {"X-Deadline-Ms": given.encode().decode("latin-1")}, 422, "bad_deadline", "")
       for given in ("0", "-1", "60001", "soon", "1e3", "\u0663")},
    # The web server hands on a header that is not ASCII as an empty one.
    "empty-routing-key": (SAMPLE, {"X-Routing-Key": ""}, 422, "bad_routing_key", ""),
}  # fmt: skip


def test_what_does_not_fit_is_refused_with_its_reason(client, key, live):
    answers = {name: _post(client, key, body, **more) for name, (body, more, *_) in REFUSED.items()}

    told = {name: (answer.status_code, answer.json()["code"]) for name, answer in answers.items()}
    assert told == {name: (status, code) for name, (_, _, status, code, _) in REFUSED.items()}
    assert [name for name, answer in answers.items() if not answer.json()["detail"].endswith(".")] == []
    assert [name for name, (*_, said) in REFUSED.items() if said not in answers[name].content.decode()] == []


def test_the_field_that_holds_the_routing_key_is_read(client, key, live):
    edit_model(
        model=Model.objects.get(), changes={"key_source": "field", "key_field": "customer"}, by=an_actor()
    )
    runtime.started().refresh()

    answered = _post(client, key, {**SAMPLE, "customer": "anna"})
    refused = _post(client, key, {**SAMPLE, "costumer": "anna"})

    said = request_id.read(orjson.loads(answered.content)["request_id"])
    assert (answered.status_code, said.key_hash) == (200, request_id.hash_of("anna"))
    assert refused.json()["code"] == "unknown_field"
    assert "only `inputs` and `customer` are" in refused.json()["detail"]
    beside = _post(client, key, {"inputs": [TENSOR], "customer": "anna"}, **OCTETS)
    assert (beside.status_code, "put it into `parameters`" in beside.json()["detail"]) == (422, True)


def test_process_without_runtime_says_so(client, key):
    response = _post(client, key, SAMPLE)

    assert (response.status_code, response.json()["code"], response["Retry-After"]) == (503, "stopping", "1")


def test_version_asked_for_is_no_arm(client, key, live):
    for address in ("ripeness/versions/1", "ripeness@champion"):
        body = _post(client, key, SAMPLE, url=f"/api/v1/models/{address}/predict").json()

        assert (body["version"], body["arm"]) == (1, "")


def test_routing_key_is_in_the_request_id_as_a_hash(client, key, live):
    said = _post(client, key, SAMPLE, **{"X-Routing-Key": "anna"}).json()

    assert request_id.read(said["request_id"]).key_hash == request_id.hash_of("anna")
    assert request_id.hash_of("anna") != request_id.hash_of("bert")


@pytest.mark.both
def test_every_answer_is_counted_for_its_arm(client, key, live):
    for _ in range(3):
        _post(client, key, SAMPLE)
    _post(client, key, {"inputs": {"features": [[1, 2]]}})
    _post(client, key, SAMPLE, url="/api/v1/models/ripeness/versions/1/predict")
    runtime.stop()

    version = Version.objects.get()
    now = timezone.now()
    arms = arms_between(
        model_id=version.model_id, start=now - timedelta(minutes=5), end=now + timedelta(minutes=5)
    )

    assert [(arm.arm, arm.ok, arm.errors, arm.refused) for arm in arms] == [("", 1, 0, 0), ("a", 3, 0, 1)]
    assert 0 < arms[1].latency_s(0.5) < 5


class TestWithoutTheDatabase:
    """What a process cut off from the database still answers, and how it says so."""

    def _confirmed_ago(self, monkeypatch, seconds):
        here = runtime.started()
        here._watching.stop()  # a round under way could confirm the routes once more
        monkeypatch.setattr(here, "_confirmed_at", here._confirmed_at - seconds)

    def test_old_routes_answer_and_say_how_old(self, client, key, live, monkeypatch):
        assert "X-Roundhouse-Stale" not in _post(client, key, SAMPLE)
        self._confirmed_ago(monkeypatch, 120)

        response = _post(client, key, SAMPLE)

        assert response.status_code == 200
        assert 120 <= int(response["X-Roundhouse-Stale"]) < 130

    def test_too_old_routes_answer_nobody(self, client, key, live, monkeypatch):
        self._confirmed_ago(monkeypatch, 302)

        response = _post(client, key, SAMPLE)

        assert (response.status_code, response.json()["code"]) == (503, "routes_too_old")
        assert response["Retry-After"]


def test_instances(client, key, live):
    by_name = orjson.loads(_post(client, key, SAMPLE).content)["outputs"]["probabilities"]

    said = orjson.loads(_post(client, key, {"instances": ROWS}).content)

    assert said["predictions"] == by_name
    assert (said["model"], said["version"], said["arm"], said["split"]) == ("ripeness", 1, "a", 1)


def test_original_forms(client, key, live):
    (first, *_) = orjson.loads(_post(client, key, SAMPLE).content)["outputs"]["probabilities"]

    told = [orjson.loads(_post(client, key, {form: ROWS[0]}).content) for form in ("features", "data")]

    assert [said["prediction"] for said in told] == [pytest.approx(first)] * 2
    assert [said.get("confidence") for said in told] == [None, pytest.approx(max(first))]
    assert all(request_id.read(said["request_id"]) for said in told)


def test_binary_body_is_answered_in_binary(client, key, live):
    text, binary = in_binary({"features": ("FP32", np.array(ROWS, "<f4"))})
    head = orjson.dumps(text)

    length = {"Inference-Header-Content-Length": str(len(head))}
    response = _post(client, key, head + binary, content_type="application/octet-stream", **length)

    said, tensors = received(response.headers, response.content)
    assert response["Content-Type"] == "application/octet-stream"
    assert tensors["probabilities"].shape == (len(ROWS), 3)
    assert (said["model_name"], said["model_version"], said["parameters"]["arm"]) == ("ripeness", "1", "a")


def test_dry_run_checks_and_runs_nothing(client, key, live):
    response = _post(client, key, SAMPLE, url=f"{URL}?dry_run=1")

    inputs = {"features": {"datatype": "FP32", "shape": [len(ROWS), 3]}}
    who = {"model": "ripeness", "version": 1, "arm": "a", "split": 1}
    assert response.json() == {"valid": True, "inputs": inputs, **who, "runs": 1}
    assert not any(meters.batches for meters in runtime.started().executor.meters().values())


def test_a_missing_key_is_told_how_to_be_sent(client, live):
    response = client.generic("POST", URL, b"{}", "application/json")

    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer" in response.json()["detail"]


def test_schema_has_examples_that_are_answered(client, key, live):
    features = {"name": "features", "datatype": "FP32", "shape": [None, 3], "optional": False}
    for whose in ("ripeness", "ripeness/versions/1", "ripeness@champion"):
        url = f"/api/v1/models/{whose}"

        said = client.get(f"{url}/schema", headers={"Authorization": f"Bearer {key}"}).json()

        assert (said["model"], said["version"], said["inputs"]) == ("ripeness", 1, [features])
        for form in said["examples"].keys() - {"binary"}:
            assert _post(client, key, said["examples"][form], url=f"{url}/predict").status_code == 200


def test_stopped_model_is_refused_before_its_body_is_read(client, key, live, monkeypatch):
    monkeypatch.setattr(
        "inference.doors.entry.read_exactly", lambda read, length: pytest.fail("the body was read")
    )
    stop_model(model=Model.objects.get(), text="Wrong numbers since noon.", by=an_actor())
    runtime.started().refresh()

    response = _post(client, key, SAMPLE)

    assert (response.status_code, response.json()["code"]) == (503, "stopped")
    assert "Wrong numbers since noon." in response.json()["detail"]


def test_whom_a_stop_turns_away_is_counted_once_per_model_whatever_they_ask(client, key, live):
    model = Model.objects.get()
    stop_model(model=model, text="Wrong numbers.", by=an_actor())
    runtime.started().refresh()
    _, elsewhere = a_key(models=[a_model("other").pk])

    for url in (
        URL,
        "/api/v1/models/ripeness/versions/1/predict",
        "/api/v1/models/ripeness/versions/999/predict",
    ):
        assert _post(client, key, SAMPLE, url=url).json()["code"] == "stopped"
    assert _post(client, elsewhere, SAMPLE).status_code == 404  # outside its reach there is nothing to count
    counted = runtime.started().windows.take(all_of_it=True)

    assert [(key.model_id, key.version_id, key.arm, window.codes) for key, window in counted] == [
        (model.pk, NO_VERSION, "", {"stopped": 3})
    ]
