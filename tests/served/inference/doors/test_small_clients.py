"""Clients in Go that were written for a server with one model: they decode each answer into a struct of their own.

Beside the key, nothing of them was changed. Those that use gRPC are in test_other_stubs.py.
"""

import json
import urllib.error
import urllib.request

import pytest

ROW = [0.21, 0.79, 0.31]
CORNERS = {"x1": float, "y1": float, "x2": float, "y2": float}


class NotDecoded(Exception):
    """Where Go's `json.Unmarshal` returns an error."""


def decoded(value, kind):
    """What Go's encoding/json makes of a value: a struct is a dictionary of kinds, `[float]` is a slice.

    What is missing or null is zero, fields that the struct lacks are skipped, and any other type is an error.
    """
    match kind:
        case dict():
            fields = {name.lower(): inner for name, inner in _of_type(value, dict, {}).items()}
            return {name: decoded(fields.get(name), inner) for name, inner in kind.items()}
        case [inner]:
            return [decoded(item, inner) for item in _of_type(value, list, [])]
        case _ if kind is float:
            return float(_of_type(value, (int, float), 0.0))
        case _:
            return _of_type(value, kind, kind())


def _of_type(value, kinds, zero):
    if value is None:
        return zero
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise NotDecoded(f"cannot unmarshal {value!r}")
    return value


@pytest.mark.parametrize(
    "value",
    [{"prediction": [0.5]}, {"prediction": "0.5"}, {"prediction": True}, {"prediction": {}}, [0.5]],
    ids=str,
)
def test_the_decoder_is_as_strict_as_gos(value):
    """Negative control of all tests below."""
    with pytest.raises(NotDecoded):
        decoded(value, {"prediction": float})


def test_the_decoder_leaves_zero_where_nothing_is():
    kind = {"label": str, "scores": [float], "box": {"x1": float}}
    zero = {"label": "", "scores": [], "box": {"x1": 0.0}}

    assert decoded({}, kind) == decoded(dict.fromkeys(kind), kind) == decoded({"other": 1}, kind) == zero


@pytest.fixture
def ask(embedded):
    """Send a body, and give the status and what the answer holds."""

    def ask(path, body=None, **headers):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            embedded.url + path, data, {"Content-Type": "application/json", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return ask


@pytest.fixture
def client(ask, embedded):
    """Sends a key, and decodes what was answered with 200."""

    def client(path, body, kind):
        status, answer = ask(path, body, **embedded.authorization)
        assert status == 200, answer
        return decoded(answer, kind)

    return client


def test_features_are_answered_with_the_row(client):
    answer = client("/predict", {"features": ROW}, {"prediction": [float]})

    assert answer["prediction"] == pytest.approx([0.98188, 0.01812, 0.0], abs=1e-4)


@pytest.mark.parametrize("path", ["/predict", "/api/v1/models/ripeness/predict"])
def test_data_are_answered_with_two_numbers(client, path):
    answer = client(path, {"data": ROW}, {"prediction": float, "confidence": float})

    assert answer == {"prediction": 0.0, "confidence": pytest.approx(0.98188, abs=1e-4)}


def test_a_picture_gets_its_label(client, picture_host):
    answer = client(
        "/api/v1/classify",
        {"image_url": f"http://{picture_host}/picture.png"},
        {"label": str, "confidence": float},
    )

    assert answer == {"label": "square", "confidence": pytest.approx(1, abs=0.3)}


def test_a_picture_gets_its_best_object(client, picture_host):
    kind = {"label": str, "confidence": float, "box": CORNERS}
    body = {"image_url": f"http://{picture_host}/picture.png"}

    best = client("/api/v1/detect", body, kind)
    everything = client("/api/v1/detect", body, {"objects": [kind]})
    nothing = client("/api/v1/detect", {**body, "threshold": 1}, kind)

    assert best == everything["objects"][0]
    assert (best["label"], best["confidence"] > 0.5) == ("square", True)
    assert best["box"] == pytest.approx({"x1": 3, "y1": 3, "x2": 29, "y2": 28}, abs=1)
    assert nothing == {"label": "", "confidence": 0.0, "box": dict.fromkeys(CORNERS, 0.0)}


def test_health_needs_no_key(ask):
    status, answer = ask("/api/v1/health")

    assert (status, answer) == (200, {"status": "healthy"})


@pytest.mark.parametrize("path", ["/api/v1/classify", "/api/v1/detect"])
@pytest.mark.parametrize(
    "url", ["http://{}/gone.png", "http://nobody.invalid/a.png", "picture", "", 5], ids=str
)
def test_a_picture_that_cannot_be_fetched_is_a_bad_request(ask, embedded, picture_host, path, url):
    url = url.format(picture_host) if isinstance(url, str) else url

    status, _ = ask(path, {"image_url": url}, **embedded.authorization)

    assert status == 400


@pytest.mark.parametrize("path", ["/predict", "/api/v1/classify", "/api/v1/detect"])
@pytest.mark.parametrize("body", [b"", b"{", b"image_url=x", b'{"data": [NaN]}'], ids=str)
def test_a_body_that_is_not_json_is_a_bad_request(ask, embedded, path, body):
    status, _ = ask(path, body, **embedded.authorization)

    assert status == 400


@pytest.mark.parametrize("path", ["/predict", "/api/v1/classify", "/api/v1/detect"])
def test_a_key_is_needed(ask, path):
    status, problem = ask(path, {"data": ROW})

    assert (status, problem["code"]) == (401, "not_authenticated")
