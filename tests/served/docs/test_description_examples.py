"""Every example request of the API's description is sent, and accepted."""

import gzip
import json
import re
from http.client import HTTPConnection

import pytest

from tests.support.processes import get, wait_until

IN_PATHS = {"{model}": "ripeness", "{version}": "1", "{alias}": "champion"}
METHODS = ("get", "post", "put", "patch", "delete")
HARVEST = b"fruit,orchard,weight,firmness,hue\napple,north,0.21,0.79,0.31\nplum,south,0.8,0.2,0.9\n"
UPLOAD = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Sender:
    def __init__(self, served):
        self._served = served

    def __call__(self, method, path, body, kind="application/json"):
        connection = HTTPConnection("127.0.0.1", self._served.port, timeout=30)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(
                method.upper(), path, data, {**self._served.authorization, "Content-Type": kind}
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def upload(self, data):
        """A whole upload; an id is given by the server, so the description's cannot be had."""
        _, told = self("POST", "/api/v1/uploads", {"size_bytes": len(data)})
        status, _ = self("PUT", f"/api/v1/uploads/{told['id']}?offset=0", data, "application/octet-stream")
        assert status == 200
        return told["id"]

    def job_ended(self, job):
        def ended():
            told = json.loads(
                get(f"{self._served.url}{job['links']['self']}", **self._served.authorization)[1]
            )
            return told if told["status"] not in {"queued", "running"} else None

        return wait_until(ended, within_s=60, what=f"the end of job {job['id']}")


@pytest.fixture
def send(embedded):
    return Sender(embedded)


def request_examples(description):
    """Method, path, media type, name and value of each."""
    return [
        (method, path, kind, name, example["value"])
        for path, operations in description["paths"].items()
        for method in METHODS
        for kind, content in operations.get(method, {}).get("requestBody", {}).get("content", {}).items()
        for name, example in content.get("examples", {}).items()
    ]


@pytest.mark.parametrize("version", ["schema", "schema-3.0"])
def test_every_example_is_accepted(embedded, send, version):
    status, text = get(f"{embedded.url}/api/{version}", Accept="application/vnd.oai.openapi+json")
    assert status == 200
    examples = request_examples(json.loads(text))
    assert {"RowsInTheRequest", "FileUploadedInParts"} <= {name for _, _, _, name, _ in examples}

    blocked = {"text": "You are an idiot, get lost.", "content_id": f"{version}-1"}
    assert (
        send("POST", "/api/v1/moderate", blocked)[1]["decision"] == "block"
    )  # or there is nothing to appeal

    for method, path, kind, name, value in examples:
        body = UPLOAD.sub(lambda _: send.upload(gzip.compress(HARVEST)), json.dumps(value))
        body = body.replace('"c-1"', f'"{version}-1"').replace('"c-2"', f'"{version}-2"')
        is_text = path.startswith("/hf/") or (isinstance(value, dict) and "text" in value)
        of_texts = {"{model}": "tone"} if is_text else {}
        for name_in_path, value_in_path in (IN_PATHS | of_texts).items():
            path = path.replace(name_in_path, value_in_path)
        status, told = send(method, path, body.encode(), kind)

        assert 200 <= status < 300, (name, told)
        if path == "/api/v1/jobs":  # what is accepted may still not fit the file
            ended = send.job_ended(told)
            assert (ended["status"], ended["progress"]["rows_done"]) == ("done", 2), (name, ended["failure"])


def test_an_unknown_field_is_refused(send):
    """Negative control: the contract as it was once published."""
    status, told = send(
        "POST", "/api/v1/jobs",
        {"model": "ripeness", "instances": [[0.21, 0.79, 0.31]], "contract": {"inputs": {}, "keep": []}},
    )  # fmt: skip

    assert (status, told["code"]) == (422, "bad_job")


def test_columns_that_match_nothing_fail_the_job_and_are_named(send):
    _, job = send(
        "POST",
        "/api/v1/jobs",
        {"model": "ripeness", "format": "csv", "input": {"upload": send.upload(HARVEST)}},
    )

    ended = send.job_ended(job)
    assert ended["status"] == "failed"
    assert "'features'" in ended["failure"] and "'weight', 'firmness', 'hue'" in ended["failure"]
