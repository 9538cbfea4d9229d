"""A steady rate of requests from a process of its own: what a test does meanwhile must not look like a slow answer."""

import json
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

from tests.support.processes import ROOT, wait_until

FACTORS = {1: 2.0, 2: 3.0, 3: 5.0, 4: 7.0}  # version -> what it multiplies by; an answer tells who gave it
VALUES = [1.0, 7.0]
BODY = json.dumps({"inputs": {"x": [[value] for value in VALUES]}}).encode()


class Asked(NamedTuple):
    """One request and what came of it. `at` is when it was due, on the monotonic clock, which all processes share."""

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
        self._order = {
            "address": fleet.address, "headers": fleet.headers, "per_s": per_s, "connections": connections, "again": again,
        }  # fmt: skip
        self._told = fleet.folder / f"asked-{time.monotonic_ns()}.jsonl"
        self._asked: list[Asked] = []
        self._read = 0

    def __enter__(self):
        with self._told.open("wb") as told:
            self._sender = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(self._order)],
                stdin=subprocess.PIPE, stdout=told, cwd=ROOT,
            )  # fmt: skip
        return self

    def __exit__(self, *_):
        self._sender.stdin.close()
        self._sender.wait(60)

    @property
    def asked(self) -> list[Asked]:
        with self._told.open("rb") as told:
            told.seek(self._read)
            new = told.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._asked += [Asked(*json.loads(line)) for line in whole.splitlines()]
        return self._asked

    def wait_until(self, moment):
        wait_until(
            lambda: (asked := self.asked) and asked[-1].at >= moment,
            within_s=60 + max(0, moment - time.monotonic()),
            what="more answers",
        )

    def between(self, begin, end):
        return [one for one in self.asked if begin <= one.at < end]

    def failed(self):
        return [one for one in self.asked if one.status != 200 or not one.is_right]


class Sender:
    """The other process: tells each request in a line of its own."""

    def __init__(self, address, headers, per_s, connections, again):
        self._address, self._headers, self._again = address, headers, again
        self._every_s, self._stop = connections / per_s, threading.Event()
        begin = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, args=(begin + number / per_s,)) for number in range(connections)
        ]  # fmt: skip

    def send_until_told(self):
        for thread in self._threads:
            thread.start()
        sys.stdin.read()
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, due):
        connection = self._connection()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            found, connection = self._ask(connection)
            sys.stdout.write(f"{json.dumps([due, time.monotonic() - due, *found])}\n")
            sys.stdout.flush()
            due += self._every_s
        connection.close()

    def _connection(self):
        return HTTPConnection(self._address, timeout=20)

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
        connection.request("POST", "/api/v1/models/double/predict", BODY, self._headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        if response.status != 200:
            return (f"{response.status} {body['code']}",)
        expected = [[FACTORS[body["version"]] * value] for value in VALUES]
        return 200, body["version"], body["split"], body["outputs"]["y"] == expected


def p99_s(asked) -> float:
    took = sorted(one.took_s for one in asked)
    return took[int(len(took) * 0.99)]


if __name__ == "__main__":
    Sender(**json.loads(sys.argv[1])).send_until_told()
