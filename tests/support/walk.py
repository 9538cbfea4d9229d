"""What people do in the admin with the demo's Models: golden sets, uploads, comparisons, jobs, requests, rolling back."""

import json
import re
import urllib.request
from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.support.processes import ROOT

MODEL = "ripeness"
OF_TWO = "demand"  # asks for two people
VERSION_PAGE = re.compile(r"/admin/registry/version/\d+/change/")
NOW = "new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19)"
_OF_AN_HOUR = json.dumps({"inputs": {"hour": [[0.25]], "warmth": [[0.5]]}}).encode()
_LABELS = ["unripe", "ripe", "overripe"]
_CENTRES = np.array([[0.2, 0.8, 0.3], [0.5, 0.5, 0.6], [0.8, 0.2, 0.9]])


def write_worse_model(path):
    """The example with an average in place of the hue: well-formed, and wrong more often."""
    model = onnx.load(ROOT / "examples" / MODEL / "model.onnx")
    weight, bias = model.graph.initializer
    known = numpy_helper.to_array(weight)
    blind = known * np.array([[1], [1], [0]], np.float32)
    average = numpy_helper.to_array(bias) + known[2] * np.float32(_CENTRES[:, 2].mean())
    weight.CopyFrom(numpy_helper.from_array(blind, weight.name))
    bias.CopyFrom(numpy_helper.from_array(average, bias.name))
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def write_newer_model(path):
    """The other example, trained a little longer, so to say."""
    model = onnx.load(ROOT / "examples" / OF_TWO / "model.onnx")
    weight = model.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def write_foreign_model(path):
    """The example with an operator of somebody's own, which only its check finds."""
    model = onnx.load(ROOT / "examples" / MODEL / "model.onnx")
    model.graph.node[0].domain = "our.own"
    model.opset_import.append(helper.make_opsetid("our.own", 1))
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def write_golden_rows(path, rows=60):
    random = np.random.default_rng(5)
    labels = random.integers(0, 3, rows)
    features = np.round(_CENTRES[labels] + random.normal(0, 0.12, (rows, 3)), 3)
    lines = [
        json.dumps({"inputs": {"features": row.tolist()}, "label": _LABELS[label]})
        for row, label in zip(features, labels, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_harvest(path, rows=900_000):
    random = np.random.default_rng(7)
    features = np.round(random.random((rows, 3)), 3)
    lines = (f"f{number},{a},{b},{c}" for number, (a, b, c) in enumerate(features.tolist(), start=1))
    path.write_text("fruit,weight,firmness,hue\n" + "\n".join(lines) + "\n")
    return path


def order_job(page, url, file):
    """Order a job for the rows of a file; return on its page."""
    page.goto(f"{url}/admin/inference/job/add/?model={MODEL}")
    page.set_input_files("[name=file]", file)
    page.fill("[name=id_column]", "fruit")
    page.fill("[name=columns]", '{"features": ["weight", "firmness", "hue"]}')
    page.get_by_role("button", name="Start job").click()
    page.wait_for_selector("#rh-job")


def open_model(page, url, model=MODEL):
    page.goto(f"{url}/admin/registry/model/")
    page.get_by_role("link", name=model, exact=True).first.click()
    page.wait_for_selector(".rh-page-tabs")


def open_tab(page, title):
    page.locator(".rh-page-tabs").get_by_role("link", name=title, exact=True).click()
    page.wait_for_load_state("networkidle")


def put_golden_set(page, url, file, floor):
    open_model(page, url)
    open_tab(page, "Versions")
    page.locator("#rh-golden summary").click()
    page.set_input_files("#rh-golden-file", file)
    page.fill("#rh-golden-floor", str(floor))
    page.fill("#rh-golden-reason", "what callers rely on")
    page.get_by_role("button", name="Save golden set").click()
    page.wait_for_selector("#rh-golden dl")


def choose_file(page, url, file, notes="", model=MODEL):
    """Open the upload page with the file chosen, ready to be sent."""
    page.goto(f"{url}/admin/registry/upload/add/?model={model}")
    page.wait_for_load_state("networkidle")
    page.set_input_files("#rh-file", file)
    page.fill("#rh-notes", notes)


def send(page):
    """Upload what is chosen; return on the page of the version that it became."""
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url(VERSION_PAGE)


def wait_checked(page):
    """Let the page itself follow the check to its end, if it has not ended before the page was drawn."""
    page.wait_for_selector("#rh-checks[data-open=no], [data-stale]:not([hidden])", timeout=60_000)


def compare(page):
    open_tab(page, "Checks")
    page.get_by_role("link", name="Compare with…").click()
    page.wait_for_selector("#rh-compare-golden")


def challenge(page, reason):
    """From a version's page: 10 % of the traffic for it."""
    page.get_by_role("link", name="Ask for share").click()
    page.fill("[name=reason]", reason)


def confirm(page, verb):
    """Press the button of a verb's page, and be back where one came from."""
    page.get_by_role("button", name=verb, exact=True).click()
    page.wait_for_load_state("networkidle")


def open_request(page, url):
    """From home: the one of this Model that waits."""
    page.goto(f"{url}/admin/")
    request = page.locator("#rh-attention a", has_text=f"approval of {OF_TWO}").first
    request.wait_for(state="attached")
    folded = page.locator("#rh-attention details:not([open])").filter(has=page.locator("a", has_text=OF_TWO))
    while folded.count():  # where several wait, the list groups them
        folded.first.locator("summary").click()
    request.click()
    page.wait_for_selector("#rh-request-title")


def decide(page, verb, reason):
    page.fill("[name=reason]", reason)
    confirm(page, verb)


def roll_back(page, url, reason):
    """To the split before the current, which is what the page offers first."""
    open_model(page, url, OF_TWO)
    page.get_by_role("link", name="Roll back").click()
    page.fill("[name=reason]", reason)


def live_at(page, moment):
    """Ask on a Model's page; return what it says."""
    open_tab(page, "Traffic")
    page.fill("#rh-at", moment)
    page.get_by_role("button", name="Show", exact=True).click()
    return page.inner_text(".rh-then")


def moderate(served, **content):
    """Have a content decided; return the answer."""
    address, body = f"{served.url}/api/v1/moderate", json.dumps(content).encode()
    with urllib.request.urlopen(urllib.request.Request(address, body, served.authorization)) as answer:
        return json.load(answer)


def who_answers(demo, requests=200) -> Counter:
    """How many of so many routing keys each version answers."""
    found = Counter()
    for key in range(requests):
        asked = urllib.request.Request(
            f"{demo.url}/api/v1/models/{OF_TWO}/predict", _OF_AN_HOUR,
            {"Authorization": f"Bearer {demo.credentials['api_key']}", "X-Routing-Key": f"key-{key}"},
        )  # fmt: skip
        with urllib.request.urlopen(asked) as answer:
            found[json.load(answer)["version"]] += 1
    return found
