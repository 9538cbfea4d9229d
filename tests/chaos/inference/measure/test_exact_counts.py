"""What the product counts is what its callers count: exactly after a clean stop, and nearly so after kill -9."""

import http.client
import http.cookiejar
import json
import os
import re
import signal
import sqlite3
import urllib.parse
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Barrier

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support import walk
from tests.support.processes import changed_web_process, manage, serving, wait_until

CALLERS, THREADS = 8, 32  # nobody is turned away before an arm is chosen
LABELS = ("--labels", "unripe,ripe,overripe", "--scores", "logits")
ROW = json.dumps({"inputs": {"features": [[0.2, 0.8, 0.3]]}})
WRONG = json.dumps({"inputs": {"features": [[0.2, 0.8]]}})
MANY = json.dumps({"inputs": {"features": [[0.2, 0.8, 0.3]] * 64}})
NO_FLUSH = "from inference.serving import runtime\nruntime.flush = lambda *_, **__: None"

Counts = Counter[tuple[int, str, str]]  # by version, arm and outcome


@contextmanager
def ab_test(folder):
    """A served Roundhouse with two web processes and two versions of a Model live."""
    with serving(folder, "--demo", WEB_PROCESSES=2, WEB_THREADS=THREADS) as served:
        served.wait_ready()
        _manage(served, "import_model", walk.MODEL, str(_write_slow_model(folder / "slow.onnx")), *LABELS)
        _manage(served, "set_split", walk.MODEL, "1=80", "2=20", "--reason", "an A/B test")
        yield served


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with ab_test(tmp_path_factory.mktemp("running")) as served:
        yield served


def _write_slow_model(path):
    """Fits the example's Model, and takes milliseconds for many rows."""
    filled = helper.make_tensor("filled", TensorProto.FLOAT, [1], [0.001])
    shapes = {"first": [3, 1024], "second": [1024, 1024], "third": [1024, 3]}
    nodes = [
        helper.make_node("ConstantOfShape", [name], [f"{name}_weights"], value=filled) for name in shapes
    ]
    steps = ["features", "after_first", "after_second", "scores"]
    nodes += [
        helper.make_node("MatMul", [given, f"{name}_weights"], [made])
        for name, given, made in zip(shapes, steps, steps[1:], strict=False)
    ]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in shapes.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _manage(served, *arguments):
    done = manage(*arguments, DATA=served.data)
    assert done.returncode == 0, done.stderr


def ask(port, key, requests) -> Counts:
    """Ask over `CALLERS` connections; count every answer as its caller sees it."""
    shares = [range(caller, requests, CALLERS) for caller in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        return sum(pool.map(lambda share: _ask(port, key, share), shares), Counter())


def _ask(port, key, numbers) -> Counts:
    counted: Counts = Counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for number in numbers:
            named, body, headers = _request(number)
            path = f"/api/v1/models/{walk.MODEL}{f'/versions/{named}' if named else ''}/predict"
            sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
            connection.request("POST", path, body, sent)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            if answer.status == 200:
                counted[told["version"], told["arm"], "ok"] += 1
            else:  # only what named its version fails here
                counted[named, "", "refused" if answer.status < 500 else "errors"] += 1
    return counted


def _request(number) -> tuple[int | None, str, dict[str, str]]:
    """Version that is named, body and headers of one request: most are dealt an arm, some fail in either way."""
    turn = number // CALLERS % 20  # all callers at once: who waits for another's batch is too late
    if turn == 1:
        return 1, WRONG, {}
    if turn == 2:
        return 2, MANY, {"X-Deadline-Ms": "1"}
    if turn == 3:
        return 2, ROW, {}
    return None, ROW, {"X-Routing-Key": f"caller-{number}"}


def counted_by(served) -> Counts:
    """What the database has, however many rows it is in."""
    with closing(sqlite3.connect(served.data / "roundhouse.sqlite3")) as database:
        rows = database.execute(
            "SELECT v.number, a.arm, SUM(a.ok), SUM(a.errors), SUM(a.refused) FROM inference_armminute a"
            " JOIN registry_version v ON v.id = a.version_id JOIN registry_model m ON m.id = v.model_id"
            " WHERE m.slug = ? GROUP BY v.number, a.arm",
            [walk.MODEL],
        )
        found: Counts = Counter()
        for version, arm, *numbers in rows:
            found.update(
                {
                    (version, arm, name): n
                    for name, n in zip(("ok", "errors", "refused"), numbers, strict=True)
                }
            )
        return +found


@pytest.mark.parametrize("requests", [5_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_counters_after_a_clean_stop_equal_the_callers_own_count(tmp_path, requests):
    with ab_test(tmp_path) as served:
        answered = ask(_port(served), served.credentials["api_key"], requests)
        served.stop()
        counted = counted_by(served)

    assert sum(answered.values()) == requests
    assert {outcome for *_, outcome in answered} == {"ok", "errors", "refused"}
    assert {(version, arm) for version, arm, _ in answered} == {(1, "a"), (2, "b"), (1, ""), (2, "")}
    assert counted == answered


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "is_lost"), [("", False), (NO_FLUSH, True)], ids=["as it is", "no last flush"]
)
def test_what_is_counted_last_is_written_by_the_stop(running, tmp_path, change, is_lost):
    before = counted_by(running)

    with changed_web_process(tmp_path, running.data, change, threads=THREADS) as port:
        wait_until(lambda: _is_ready(port), within_s=30, what="the web process beside the others")
        answered = ask(port, running.credentials["api_key"], 200)

    assert (counted_by(running) - before != answered) is is_lost


@pytest.mark.long
def test_a_stop_under_load_loses_no_count(running, tmp_path):
    before, busy = counted_by(running)[1, "a", "ok"], Barrier(CALLERS + 1)

    with (
        ThreadPoolExecutor(CALLERS) as pool,
        changed_web_process(tmp_path, running.data, "", threads=THREADS) as port,
    ):
        wait_until(lambda: _is_ready(port), within_s=30, what="the web process beside the others")
        key = running.credentials["api_key"]
        callers = [pool.submit(_ask_until_gone, port, key, busy) for _ in range(CALLERS)]
        busy.wait(30)
    answered = sum(caller.result() for caller in callers)

    counted = counted_by(running)[1, "a", "ok"] - before
    assert answered <= counted <= answered + CALLERS  # each may have lost the answer that was on its way


def _ask_until_gone(port, key, busy) -> int:
    """Ask over connections that are kept, until nobody answers; count the answers of the arm `a`."""
    answered, asked = 0, 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    while True:
        try:
            connection.request("POST", f"/api/v1/models/{walk.MODEL}/predict", ROW, sent)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            return answered
        answered += answer.status == 200 and told["arm"] == "a"
        asked += 1
        if asked == 50:
            busy.wait(30)


def _port(served) -> int:
    return int(served.url.rpartition(":")[2])


def _is_ready(port) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.long
def test_a_killed_process_loses_at_most_its_last_minute_and_the_page_says_so(running):
    port, key, before = _port(running), running.credentials["api_key"], counted_by(running)
    first = before + ask(port, key, 400)
    wait_until(lambda: counted_by(running) == first, within_s=70, what="the minute's end")

    last = ask(port, key, 400)
    victim = running.find("granian")[1]
    os.kill(victim, signal.SIGKILL)
    told = wait_until(lambda: _said_to_be_missing(running, victim), within_s=30, what="the page that says so")

    counted = counted_by(running)
    assert "in no figure" in told
    assert not first - counted  # what had been written stays; so what is missing is of the last minute
    assert not counted - (first + last)


def _said_to_be_missing(served, pid) -> str:
    """What the Model's page says is missing, to an operator who has just logged in."""
    try:
        read = _signed_in(served)
        lists = read(f"/admin/registry/model/?q={walk.MODEL}")
        page = read(re.search(r"/admin/registry/model/\d+/change/", lists)[0])
    except OSError:  # the process that is killed may be the one that we ask
        return ""
    return next((line for line in page.splitlines() if "Missing:" in line and f"process {pid} " in line), "")


def _signed_in(served):
    cookies = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))

    def read(path, data=None) -> str:
        with opener.open(served.url + path, data=data, timeout=20) as answer:
            return answer.read().decode()

    read("/admin/login/")
    token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
    form = {
        "username": served.credentials["operator_user"],
        "password": served.credentials["operator_password"],
        "csrfmiddlewaretoken": token,
        "next": "/admin/",
    }
    read("/admin/login/", urllib.parse.urlencode(form).encode())
    return read
