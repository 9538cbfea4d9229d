"""Two web processes and two workers as in production, over a PostgreSQL database and a Redis of their own."""

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

from tests.inference.jobs.installation import Installation, a_database
from tests.private import PrivateRedis
from tests.processes import post, serving, wait_until
from tests.settings import DATABASE_URL

UNASKED = Path(__file__).with_name("unasked_child.py")
FACTORS = {1: 2.0, 2: 3.0, 3: 5.0, 4: 7.0}  # version -> what it multiplies by; an answer tells who gave it
VALUES = [1.0, 7.0]
BODY = json.dumps({"inputs": {"x": [[value] for value in VALUES]}}).encode()


class Fleet(Installation):
    """`served` runs the web processes and one worker; the other is `worker`. Only version 1 of `double` is live."""

    def prepare(self):
        self.make_database(FACTORS.values())
        self.headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    @contextmanager
    def running(self):
        with serving(self.folder, **self.variables) as self.served:
            self.address = self.served.url.removeprefix("http://")
            self.worker = self.start_worker()
            self.wait_for_engines()
            yield self

    def renew(self, kind, pid):
        """SIGTERM a process, and wait for its successor; the worker beside `serve` has none but ours."""
        os.kill(pid, signal.SIGTERM)
        if pid == self.worker.pid:
            self.worker.wait(60)
            self.replace_worker()
            return
        self._wait_for_the_end_of(kind, pid)
        self.wait_for_engines()

    def replace_worker(self):
        """Start another one for the worker beside `serve`, which has ended."""
        ended, self.worker = self.worker, self.start_worker()
        self._wait_for_the_end_of("worker", ended.pid)
        self.wait_for_engines()

    def _wait_for_the_end_of(self, kind, pid):
        wait_until(
            lambda: pid not in self.engines(kind),
            within_s=60,
            what=f"the end of {kind} {pid}; they said: {self.output()}",
        )

    def logs(self):
        return [*super().logs(), *sorted(self.folder.glob("serve-*.log"))]

    def output(self) -> str:
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in self.logs())

    def engines(self, kind):
        found = "SELECT pid FROM inference_enginereport WHERE kind = '{}' AND state = 'ready' AND lost_at IS NULL ORDER BY pid"
        return [pid for (pid,) in self._query(found.format(kind))]

    def wait_for_engines(self):
        wait_until(
            lambda: (len(self.engines("web")), len(self.engines("worker"))) == (2, 2),
            within_s=120,
            what=f"two web processes and two workers; they said: {self.output()}",
        )

    def post(self, path, body):
        status, answer = post(f"{self.served.url}/api/v1/{path}", body, **self.headers)
        assert status < 300, answer
        return answer

    def set_split_unasked(self, version) -> int:
        """Give a version all traffic, and ask no engine whether it is warm; the split's number."""
        return int(self._said_by(str(UNASKED), str(version)))

    def current_split(self) -> int:
        return self._query(
            "SELECT number FROM registry_split JOIN registry_model ON registry_model.id = model_id "
            "WHERE slug = 'double' AND status = 'current'"
        )[0][0]

    def all_follow(self) -> bool:
        """Whether each of the four has said that it follows the newest routes, and holds what they need."""
        (newest,) = self._query("SELECT route_revision FROM registry_model WHERE slug = 'double'")[0]
        found = self._query("SELECT followed FROM inference_enginereport WHERE lost_at IS NULL")
        return len(found) == 4 and all(followed >= newest for (followed,) in found)

    def flipped_at(self, number) -> float:
        """When a split became current, in seconds since 1970."""
        (at,) = self._query(f"SELECT from_at FROM registry_split WHERE number = {number}")[0]
        return at.timestamp()

    def loads(self) -> list[float]:
        """When a process had loaded a version, in seconds since 1970."""
        lines = [
            line
            for log in self.logs()
            for line in log.read_bytes().splitlines()
            if b'"version loaded"' in line
        ]
        return [datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() for line in lines]


@contextmanager
def a_fleet(folder):
    redis = PrivateRedis().start()
    try:
        with a_database(DATABASE_URL) as url:
            fleet = Fleet(
                folder, DATABASE_URL=url, REDIS_URL=redis.url, EXECUTOR="workers", WEB_PROCESSES=2, WEB_THREADS=32,
                LOG_LEVEL="info",
            )  # fmt: skip
            fleet.redis = redis
            try:
                fleet.prepare()
                with fleet.running():
                    yield fleet
            finally:
                fleet.end()
    finally:
        redis.stop()


class Asked(NamedTuple):
    """One request and what came of it. `at` is when it was due, on the monotonic clock."""

    at: float
    took_s: float
    status: object  # 200, or the name of what went wrong
    version: int = 0
    split: int = 0
    is_right: bool = False


class SteadyRate:
    """So many requests a second over connections that stay open, due whether or not others are answered.

    With `again`, a request whose connection ends before its answer is made once more, as proxies do.
    """

    def __init__(self, fleet, per_s=200, connections=16, again=False):
        self._fleet, self._again = fleet, again
        self._every_s, self._stop = connections / per_s, threading.Event()
        self.asked: list[Asked] = []
        begin = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, args=(begin + number / per_s,)) for number in range(connections)
        ]  # fmt: skip

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def wait_until(self, moment):
        wait_until(
            lambda: self.asked and self.asked[-1].at >= moment,
            within_s=60 + max(0, moment - time.monotonic()),
            what="more answers",
        )

    def between(self, begin, end):
        return [one for one in list(self.asked) if begin <= one.at < end]

    def failed(self):
        return [one for one in self.asked if one.status != 200 or not one.is_right]

    def _run(self, due):
        connection = self._connection()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            found, connection = self._ask(connection)
            self.asked.append(Asked(due, time.monotonic() - due, *found))
            due += self._every_s
        connection.close()

    def _connection(self):
        return HTTPConnection(self._fleet.address, timeout=20)

    def _ask(self, connection):
        for is_last in (False, True) if self._again else (True,):
            try:
                return self._answer(connection), connection
            except (OSError, HTTPException) as error:
                connection.close()
                connection = self._connection()
                if is_last:
                    return (type(error).__name__,), connection
        raise AssertionError("unreachable")

    def _answer(self, connection):
        connection.request("POST", "/api/v1/models/double/predict", BODY, self._fleet.headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        if response.status != 200:
            return (f"{response.status} {body['code']}",)
        expected = [[FACTORS[body["version"]] * value] for value in VALUES]
        return 200, body["version"], body["split"], body["outputs"]["y"] == expected


def p99_s(asked) -> float:
    took = sorted(one.took_s for one in asked)
    return took[int(len(took) * 0.99)]
