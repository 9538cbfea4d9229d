"""Web processes and workers as people run them, over a Redis of their own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress

import numpy as np
import onnxruntime
import pytest

from tests.support.processes import (
    ROOT,
    changed_web_process,
    clean_environment,
    family_of,
    post,
    serving,
    wait_until,
)

pytestmark = [pytest.mark.service]
EXAMPLE = ROOT / "examples" / "ripeness" / "model.onnx"
ROW = {"inputs": {"features": [[0.2, 0.8, 0.3]]}}


@pytest.fixture(scope="module")
def settings(redis_server):
    return {"EXECUTOR": "workers", "REDIS_URL": redis_server.url, "WEB_PROCESSES": 2, "WEB_THREADS": 32}


@pytest.fixture(scope="module")
def served(tmp_path_factory, settings):
    """Two web processes and one worker."""
    with serving(tmp_path_factory.mktemp("lane"), "--demo", **settings) as served:
        served.wait_ready(60)
        asking = Asking(served)
        wait_until(lambda: asking.once()[0] == 200, within_s=30, what=f"an answer; it said:\n{served.output}")
        yield served


class Asking:
    def __init__(self, served, port=None):
        url = served.url if port is None else f"http://127.0.0.1:{port}"
        self.url = f"{url}/api/v1/models/ripeness/predict"
        self.headers = {"Authorization": f"Bearer {served.credentials['api_key']}"}

    def once(self, body=ROW):
        return post(self.url, body, **self.headers)


@contextmanager
def another_worker(served, settings, **more):
    """A worker beside the one that `serve` started; yields its process when it takes batches."""
    environ = clean_environment(DATA=served.data, GRPC_PORT=0, **{**settings, **more})
    log = served.data / f"worker-{time.monotonic_ns()}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "worker"],
            env=environ, cwd=served.data, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: " ready." in log.read_text(), within_s=40, what="the worker is ready")
        yield process
    finally:
        family = family_of(process.pid)
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class SteadyLoad:
    """Callers in threads, one request after the other, until the block ends."""

    def __init__(self, asking, callers=6):
        self.asking, self.statuses, self.slowest_s = asking, Counter(), 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(callers)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for(20)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                status, _ = self.asking.once()
            except OSError as error:
                status = type(error).__name__
            with self._lock:
                self.statuses[status] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def wait_for(self, more):
        goal = self.statuses.total() + more
        wait_until(lambda: self.statuses.total() >= goal, within_s=30, what=f"{more} more answers")


def lose_what_it_takes(process):
    """Stop a worker, let it be sent batches, and kill it with those in its sockets."""
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.long
def test_answers_are_those_of_the_runtime_itself(served):
    rows = np.random.default_rng(1).random((16, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(EXAMPLE.read_bytes(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"features": rows})[0]
    asking, answers = Asking(served), {}

    def ask(number):
        answers[number] = asking.once({"inputs": {"features": [rows[number].tolist()]}})

    callers = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert {status for status, _ in answers.values()} == {200}
    for number, (_, body) in answers.items():
        np.testing.assert_allclose(body["outputs"]["probabilities"][0], expected[number], rtol=1e-5)


@pytest.mark.long
def test_web_processes_load_no_runtime(served):
    """They hold no session; what runs is in the worker."""
    webs = served.find(r"granian")[1:]
    assert len(webs) == 2
    worker = served.find(r"-m celery .* worker")[0]
    assert "onnxruntime" in _mapped(worker)
    assert not any("onnxruntime" in _mapped(web) for web in webs)


def _mapped(pid):
    with open(f"/proc/{pid}/maps") as maps:
        return maps.read()


@pytest.mark.long
def test_worker_of_another_pool_does_not_answer(served, settings):
    """With the pool's own worker away, nobody answers, although another worker runs."""
    own = served.find(r"-m celery .* worker")[0]
    with another_worker(served, settings, POOL="gpu"):
        os.kill(own, signal.SIGSTOP)
        try:
            status, body = Asking(served).once()
        finally:
            os.kill(own, signal.SIGCONT)

    assert (status, body["retryable"]) == (503, True)
    wait_until(lambda: Asking(served).once()[0] == 200, within_s=20, what="answers again")


def test_killed_worker_fails_no_request(served, settings):
    with another_worker(served, settings) as worker, SteadyLoad(Asking(served)) as load:
        lose_what_it_takes(worker)
        load.wait_for(100)

    assert set(load.statuses) == {200}
    assert load.slowest_s < 5


@pytest.mark.long
def test_without_a_second_try_a_killed_worker_fails_requests(served, settings, tmp_path):
    """The control of the test above."""
    change = (
        "from inference.serving.executors.workers.session import ResendBudget\n"
        "ResendBudget.spend = lambda self: False"
    )
    more = {name: value for name, value in settings.items() if name != "WEB_THREADS"}
    with (
        changed_web_process(tmp_path, served.data, change, threads=32, **more) as port,
        another_worker(served, settings) as worker,
    ):
        asking = Asking(served, port)
        wait_until(lambda: _answers(asking), within_s=30, what="the changed process answers")
        with SteadyLoad(asking) as load:
            lose_what_it_takes(worker)
            load.wait_for(100)

    assert load.statuses[503] > 0


def _answers(asking):
    try:
        return asking.once()[0] == 200
    except OSError:
        return False


@pytest.mark.long
def test_redis_that_restarts_is_found_again(served, redis_server):
    asking = Asking(served)
    redis_server.kill()
    began = time.monotonic()
    status, body = asking.once()
    took_s = time.monotonic() - began

    redis_server.start()

    assert (status, body["retryable"]) == (503, True)
    assert took_s < 3
    wait_until(lambda: asking.once()[0] == 200, within_s=30, what="answers again")
