"""A Model is stopped while callers go on: figures, Model page and home say how many were turned away, and why."""

import http.client
import json

import pytest

from tests.support.processes import ROOT, get, import_live, post, wait_until

pytestmark = pytest.mark.browser
MODEL, REQUESTS = "halted", 600
EXAMPLE = ROOT / "examples" / "ripeness"
PREDICT = f"/api/v1/models/{MODEL}/predict"
A_MINUTE_S = 75  # figures show whole minutes


@pytest.fixture(scope="module")
def figures(embedded):
    """The Model's figures, after a stop and 600 requests."""
    body = (EXAMPLE / "sample.json").read_bytes()
    assert "live" in import_live(MODEL, EXAMPLE / "model.onnx", **embedded.variables).stdout
    wait_until(  # requests would be counted as turned away until then
        lambda: get(f"{embedded.url}/v2/models/{MODEL}/ready", **embedded.authorization)[0] == 200,
        within_s=30,
        what="the version is warm",
    )
    assert _ask(embedded, body, 1) == {"answered": 1}
    said, headers = {"text": "Wrong numbers since noon."}, {"Content-Type": "application/json"}
    stop = f"{embedded.url}/api/v1/models/{MODEL}/stop"
    assert post(stop, said, **embedded.authorization, **headers)[0] == 200
    wait_until(lambda: _ask(embedded, body, 1) == {"stopped": 1}, within_s=10, what="the stop is followed")

    assert _ask(embedded, body, REQUESTS - 1) == {"stopped": REQUESTS - 1}

    def counted():
        read = _read(embedded)
        return read if read["turned_away"]["requests"] >= REQUESTS else None

    return wait_until(counted, within_s=A_MINUTE_S, what="the figures of the minute")


def _ask(served, body, times):
    """How many got which code."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    headers = {**served.authorization, "Content-Type": "application/json"}
    codes = {}
    for _ in range(times):
        connection.request("POST", PREDICT, body, headers)
        code = json.loads(connection.getresponse().read()).get("code", "answered")
        codes[code] = codes.get(code, 0) + 1
    connection.close()
    return codes


def _read(served):
    return json.loads(get(f"{served.url}/api/v1/models/{MODEL}/figures", **served.authorization)[1])


def test_the_figures_say_so(figures):
    away = figures["turned_away"]

    assert (away["requests"], figures["server_errors"], figures["caller_errors"]) == (REQUESTS, REQUESTS, 0)
    assert [(code["code"], code["requests"]) for code in away["codes"]] == [("stopped", REQUESTS)]
    assert away["codes"][0]["meaning"] == "An operator had stopped the Model."


def test_the_pages_say_the_same(embedded, figures, page):
    page.goto(f"{embedded.url}/admin/")
    row = page.locator(".rh-models tr", has=page.get_by_role("link", name=MODEL, exact=True))
    assert f"{REQUESTS} turned away: stopped" in row.inner_text()

    row.get_by_role("link", name=MODEL, exact=True).click()
    assert f"{REQUESTS} requests were turned away" in page.content()
    assert f": {REQUESTS} stopped." in page.content()
