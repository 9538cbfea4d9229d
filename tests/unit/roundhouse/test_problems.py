import json

import pytest
from django.test import RequestFactory

from inference.engine.errors import NotLoaded, RunStuck, StillLoading
from inference.errors import CannotLoad
from inference.tensors.errors import WrongRank
from registry.errors import StaleState
from roundhouse import problems
from tests.support.errors import ROOTS, told_errors

ALWAYS = {"type", "title", "status", "detail", "code", "retryable", "request_id"}


def _handled(error):
    request = RequestFactory().post("/api/v1/x")
    request.request_id = "r-1"
    holder = type("Holder", (), {"_request": request})()
    response = problems.exception_handler(error, {"request": holder})
    return response, json.loads(response.content)


def test_our_error_becomes_a_problem():
    response, body = _handled(StaleState())

    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert body.keys() >= ALWAYS
    assert (body["code"], body["request_id"], body["title"]) == ("stale_state", "r-1", "Conflict")


def test_wrong_tensor_names_the_field():
    response, body = _handled(WrongRank("x has 3 axes, 2 are expected.", field="x", expected="2", got="3"))

    assert response.status_code == 422
    assert body["errors"] == [
        {"pointer": "#/inputs/x", "detail": "x has 3 axes, 2 are expected.", "expected": "2", "got": "3"}
    ]


@pytest.mark.parametrize(
    ("kind", "status"), list(problems.known_errors()), ids=lambda value: getattr(value, "code", value)
)
def test_every_error_has_a_sentence_and_a_stable_code(kind, status):
    assert kind.__doc__.endswith(".")
    assert kind.code == kind.code.lower().replace(" ", "_")
    assert 400 <= status < 600


def test_every_error_has_a_status_and_a_code_of_its_own():
    """Without a status it is told as an error of ours, 500; without a code as every other one."""
    assert [kind for kind in told_errors() if problems.status_of(kind()) is None] == []
    assert [kind for kind in told_errors() if kind.code in {root.code for root in ROOTS}] == []


def test_permanent_errors_are_not_retryable():
    response, body = _handled(CannotLoad())

    assert (response.status_code, body["code"], body["retryable"]) == (500, "cannot_load", False)
    assert "Retry-After" not in response


@pytest.mark.parametrize("kind", [NotLoaded, StillLoading, RunStuck])
def test_temporary_errors_are_retryable(kind):
    response, body = _handled(kind())

    assert (response.status_code, body["code"], body["retryable"]) == (503, kind.code, True)
    assert response["Retry-After"] == "1"


def test_every_retryable_error_has_retry_after():
    for kind in told_errors():
        response, body = _handled(kind())
        if response.status_code in {429, 503}:
            assert body["retryable"] == ("Retry-After" in response), kind


def test_unknown_error_reveals_nothing(caplog):
    response, body = _handled(RuntimeError("secret path /etc/x"))

    assert response.status_code == 500
    assert "secret" not in response.content.decode()
    assert body["code"] == "internal_error"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "/api/v1/nothing", 404, "not_found"),
        ("get", "/api/v1/models/x/predict", 401, "not_authenticated"),
        ("post", "/api/v1/models/x/predict", 401, "not_authenticated"),
    ],
    ids=["no-route", "wrong-method-anonymous", "no-key"],
)
def test_framework_errors_under_api_are_problems(client, method, path, status, code):
    response = getattr(client, method)(path)

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == code


def test_unknown_host_under_api_is_a_problem(client):
    response = client.get("/api/v1/models", headers={"host": "evil.example"})

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("offered", ["", "x" * 65, "a b", "a\nb", "<script>"], ids=ascii)
def test_unusable_request_id_is_replaced(client, offered):
    response = client.get("/api/v1/models", headers={"x-request-id": offered})

    assert response["X-Request-ID"] != offered
    assert len(response["X-Request-ID"]) == 32


def test_usable_request_id_is_kept(client):
    assert client.get("/api/v1/models", headers={"x-request-id": "job-7"})["X-Request-ID"] == "job-7"
