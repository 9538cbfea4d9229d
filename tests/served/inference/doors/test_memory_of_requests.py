"""Requests made to fill memory, against a web process: small ones that become large, in or out, and who else notices."""

import json
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import NamedTuple

import pytest

from tests.support.onnx_models import swelling
from tests.support.processes import (
    changed_web_process,
    family_of,
    growing_at_most,
    import_live,
    post,
    wait_until,
)

AT_ONCE, MOST_MIB = 40, 300
GUARDED_MB, UNGUARDED_MB = 256, 1_000_000
ORDINARY = b'{"data": [0.2, 0.8, 0.3]}'


class Process(NamedTuple):
    """A web process of its own, beside those of the served Roundhouse."""

    port: int
    pids: list[int]
    key: str
    neighbours_key: str

    def ask(self, model, body, key=None) -> tuple[int, bytes]:
        """The answer's status and its first bytes; the rest is read and forgotten."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
            connection.request("POST", f"/api/v1/models/{model}/predict", body, headers)
            response = connection.getresponse()
            beginning = response.read(2000)
            while response.read(1 << 20):
                pass
            return response.status, beginning
        finally:
            connection.close()


@pytest.fixture(scope="module")
def neighbours_key(embedded):
    issued = embedded.manage("issue_key", "beside-the-greedy")
    assert issued.returncode == 0, issued.stderr
    return issued.stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def swelling_model(embedded, tmp_path_factory):
    """A live Model that answers with as many numbers as it is asked for."""
    path = swelling(tmp_path_factory.mktemp("models") / "swelling.onnx")
    imported = import_live("swelling", path, **embedded.variables)
    assert imported.returncode == 0, imported.stderr
    address = f"{embedded.url}/api/v1/models/swelling/predict"
    headers = {**embedded.authorization, "Content-Type": "application/json"}
    wait_until(
        lambda: post(address, {"inputs": {"count": [3]}}, **headers)[0] == 200, within_s=60, what="an answer"
    )


@pytest.fixture
def a_process(embedded, neighbours_key, tmp_path):
    @contextmanager
    def start(memory_mb):
        with changed_web_process(
            tmp_path, embedded.data, "", threads=16, PREDICT_MEMORY_MB=memory_mb, PREDICT_BINARY_MB=16
        ) as port:
            process = Process(port, [], embedded.credentials["api_key"], neighbours_key)
            for model, body in (("ripeness", ORDINARY), ("swelling", b'{"inputs": {"count": [3]}}')):
                wait_until(lambda model=model, body=body: _status(process, model, body) == 200,
                           within_s=60, what=f"an answer of {model}")  # fmt: skip
            family = family_of(os.getpid())
            pids = [pid for pid, command in family.items() if f"--port {port} " in command]
            assert len(pids) >= 2  # the server, and its web process
            yield process._replace(pids=pids)

    return start


def _status(process, model, body, key=None):
    try:
        return process.ask(model, body, key)[0]
    except OSError:
        return 0


@contextmanager
def _small_requests_all_the_while(process):
    """Somebody else asks for little, again and again, until the end of the block; gives their statuses."""
    statuses, stop, has_asked = Counter(), threading.Event(), threading.Event()

    def ask():
        while not stop.is_set():
            statuses[_status(process, "ripeness", ORDINARY, process.neighbours_key)] += 1
            has_asked.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert has_asked.wait(20)
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def _send(process, model, body) -> Counter:
    """Send it so many times at once; how often which code was answered."""
    with ThreadPoolExecutor(AT_ONCE) as callers:
        answers = list(callers.map(lambda _: process.ask(model, body), range(AT_ONCE)))
    return Counter("answered" if status == 200 else json.loads(body)["code"] for status, body in answers)


def _objects(mebibytes, before=b"[", behind=b"]"):
    one = b'{"a":0},'
    return before + (one * ((mebibytes << 20) // len(one) - 4))[:-1] + behind


CASES = {
    "bodies-of-objects": ("ripeness", _objects(8), {"body_too_large"}),
    "bodies-let-in": ("ripeness", _objects(3, b'{"inputs": {"x": [', b"]}}"), {"missing_tensor", "overloaded"}),
    "answers": ("swelling", b'{"inputs": {"count": [4000000]}}', {"answered", "overloaded"}),
    "answers-above-the-limit": ("swelling", b'{"inputs": {"count": [17000000]}}', {"output_too_large", "overloaded"}),
}  # fmt: skip


@pytest.mark.parametrize(("model", "body", "codes"), CASES.values(), ids=CASES)
def test_what_swells_fills_no_memory_and_keeps_nobody_else_waiting(a_process, model, body, codes):
    with (
        a_process(GUARDED_MB) as process,
        growing_at_most(process.pids, MOST_MIB),
        _small_requests_all_the_while(process) as small,
    ):
        answers = _send(process, model, body)

    assert set(answers) <= codes
    assert answers[min(codes - {"overloaded"})] >= 1
    assert set(small) == {200}


@pytest.mark.long
@pytest.mark.parametrize("case", ["bodies-of-objects", "answers"])
def test_without_the_budget_memory_is_filled(a_process, case):
    """Negative control: the same, where requests may hold a terabyte."""
    model, body, _ = CASES[case]

    with (
        a_process(UNGUARDED_MB) as process,
        pytest.raises(AssertionError, match="they grew by"),
        growing_at_most(process.pids, MOST_MIB),
    ):
        _send(process, model, body)
