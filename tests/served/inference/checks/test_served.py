"""A file on its way through the running product: uploaded, checked by the worker, asked, measured against."""

import json
import urllib.request

from registry.intake.checklist.models import STEPS
from tests.support import fruit
from tests.support.model_files import looks_like_a_model
from tests.support.processes import get, post, wait_until


class Client:
    def __init__(self, served):
        self.url = f"{served.url}/api/v1"
        self.headers = {"Authorization": f"Bearer {served.credentials['api_key']}"}

    def post(self, path, body):
        status, answer = post(
            f"{self.url}/{path}", body, **self.headers, **{"Content-Type": "application/json"}
        )
        assert status in {200, 201, 202}, answer
        return answer

    def put(self, path, content, kind="application/octet-stream"):
        headers = {**self.headers, "Content-Type": kind}
        request = urllib.request.Request(f"{self.url}/{path}", data=content, headers=headers, method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def upload(self, path, **complete):
        content = path.read_bytes()
        upload = self.post("uploads", {"size_bytes": len(content)})["id"]
        self.put(f"uploads/{upload}?offset=0", content)
        version = self.post(f"uploads/{upload}/complete", complete)
        return f"models/{version['model']}/versions/{version['number']}/checks"

    def checks(self, path):
        status, body = get(f"{self.url}/{path}", **self.headers)
        return json.loads(body) if status == 200 else None

    def ended(self, path):
        def look():
            run = self.checks(path)
            return run if run is not None and run["state"] != "running" else None

        return wait_until(look, within_s=30, what="the check's end")


LABELLED = {"labels": fruit.LABELS, "scores": "logits"}
NEW = {"title": "Fruit", "task": "classification"}


def test_a_file_that_comes_in_is_checked_by_the_worker(embedded, tmp_path):
    client = Client(embedded)
    path = fruit.write(tmp_path / "m.onnx")

    run = client.ended(client.upload(path, model="fruit", new_model=NEW, task_config=LABELLED))

    assert run["state"] == "passed"
    assert [line["step"] for line in run["lines"]] == list(STEPS)
    assert [line["state"] for line in run["lines"]] == ["passed"] * 5 + ["skipped"] * 3
    assert all(line["ended_at"] for line in run["lines"])


def test_a_file_that_its_check_finds_to_be_none_is_refused_with_the_reason(embedded, tmp_path):
    (tmp_path / "m.onnx").write_bytes(looks_like_a_model(b"no model"))
    client = Client(embedded)

    run = client.ended(client.upload(tmp_path / "m.onnx", model="paper", new_model=NEW, task_config=LABELLED))

    assert run["state"] == "failed" and "file scan" in run["reason"]
    assert run["lines"][0]["code"] == "unsupported_version" and run["lines"][0]["advice"]
    assert get(f"{embedded.url}/readyz")[0] == 200


def test_many_files_at_once_are_all_checked(embedded, tmp_path):
    """More than the worker checks at a time: the others come back."""
    client = Client(embedded)
    path = fruit.write(tmp_path / "m.onnx")
    checks = [
        client.upload(path, model=f"fruit-{number}", new_model=NEW, task_config=LABELLED)
        for number in range(6)
    ]

    assert [client.ended(check)["state"] for check in checks] == ["passed"] * 6
