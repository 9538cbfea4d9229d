"""The API matches its description, tested by schemathesis: no answer is a server error, or has another form."""

import json
import re
import subprocess
from collections import Counter, defaultdict
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from tests.support.peers import schemathesis_python
from tests.support.processes import clean_environment, serving

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)  # fmt: skip
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path, "--demo", FETCH_ALLOWED_HOSTS="127.0.0.1:9") as served:
        served.wait_ready()
        yield served


def _sign_in(served) -> dict[str, str]:
    """A person's session, as a browser gets it."""
    jar = CookieJar()
    browser = build_opener(HTTPCookieProcessor(jar))
    login = f"{served.url}/admin/login/"
    page = browser.open(login, timeout=10).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    credentials = served.credentials
    form = {
        "username": credentials["operator_user"],
        "password": credentials["operator_password"],
        "csrfmiddlewaretoken": token,
    }
    browser.open(login, urlencode(form).encode(), timeout=10).close()
    cookies = {cookie.name: cookie.value for cookie in jar}
    return {"session": cookies["sessionid"], "token": cookies["csrftoken"], "key": credentials["api_key"]}


def _run(served, folder: Path, cases: int) -> tuple[subprocess.CompletedProcess, Path]:
    config, report = folder / "schemathesis.toml", folder / "report.har"
    config.write_text(CONFIG)
    environ = clean_environment(TEST_SCHEMATHESIS=json.dumps(_sign_in(served)))
    environ |= {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)}
    command = [
        schemathesis_python().with_name("schemathesis"), "--config-file", config, "run", f"{served.url}/api/schema",
        "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing", "--max-examples", str(cases), "--no-shrink",
        "--continue-on-failure", "--request-timeout", "20", "--seed", "1", "--warnings", "off",
        "--report", "har", "--report-har-path", report,
    ]  # fmt: skip
    return subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, timeout=1_800, check=False
    ), report


def _answered(report: Path) -> dict[str, Counter]:
    """By the door or the first name in the address: which statuses were answered, and how often."""
    answered = defaultdict(Counter)
    for entry in json.loads(report.read_text())["log"]["entries"]:
        path = urlsplit(entry["request"]["url"]).path
        is_asked = entry["request"]["method"] == "POST" and path.endswith("/predict")
        is_hugging_face = path.startswith("/hf/")
        name = "predict" if is_asked else "hf" if is_hugging_face else path.split("/")[1:4][-1]
        answered[name][entry["response"]["status"]] += 1
    return answered


@pytest.mark.parametrize("cases", [2, pytest.param(200, marks=pytest.mark.long)])
def test_answers_match_the_description(served, tmp_path, cases):
    made, report = _run(served, tmp_path, cases)

    assert made.returncode == 0, made.stdout[-20_000:] + made.stderr[-2_000:]
    answered = _answered(report)
    for name in (
        "predict",
        "hf",
        "models",
        "keys",
        "tenants",
        "subscriptions",
        "audit",
        "events",
        "artifacts",
        "live",
        "me",
        "decisions",
        "reports",
        "appeals",
    ):
        assert sum(answered[name][status] for status in (200, 201, 202, 204)) > 0, answered[name]
    assert "unhandled error" not in served.output
