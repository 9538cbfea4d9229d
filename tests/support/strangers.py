"""Strangers who keep a server waiting: some send a byte now and then, others never read; and a product that minds them."""

import re
import select
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from itertools import cycle, islice

from tests.support.connections import port_of, server_sides
from tests.support.processes import changed_web_process, get, post, wait_until

EVERY_S = 0.2
ANSWER_WITHIN_S = 10.0  # an answer that takes longer is none; alone they take milliseconds

# For a changed web process: as if Django, or whatever answers, were called before the body is there.
A_THREAD_EACH = """
import asyncio
from django.conf import settings
from inference.serving.off_loop import WorkThreads
from roundhouse.web_loop import WebLoop

answer, threads = WebLoop._answer, WorkThreads("each", settings.WEB_THREADS, most_waiting=256, wait_s=10)

async def in_a_thread(self, visit):
    answered = asyncio.run_coroutine_threadsafe(answer(self, visit), asyncio.get_running_loop())
    return await threads.run(answered.result)

WebLoop._answer = in_a_thread
"""


def with_short_deadlines(served, folder, threads: int):
    """A web process beside those of `served`, whose deadlines are a second; gives its port."""
    change = "from roundhouse import rsgi\nrsgi.FIRST_S, rsgi.LEAST_BYTES_PER_S = 1.0, 1 << 20"
    return _with_deadlines(served, folder, threads, change, 1)


def without_deadlines(served, folder, threads: int):
    """One that waits for an hour; for headers a minute, which is the most that granian waits."""
    return _with_deadlines(
        served, folder, threads, "from roundhouse import rsgi\nrsgi.FIRST_S = 3600.0", 3600
    )


@contextmanager
def _with_deadlines(served, folder, threads: int, change: str, seconds: int):
    with changed_web_process(
        folder,
        served.data,
        change,
        threads=threads,
        server=f"server.UNREAD_S = {seconds}",
        options=("--http1-header-read-timeout", str(min(seconds, 60) * 1000)),
    ) as port:
        wait_until(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, within_s=60, what="the process")
        yield port


class SlowSenders:
    """Each begins as its text says, and sends a byte now and then until it is ended or the block is left."""

    def __init__(self, port: int, beginnings: list[bytes]) -> None:
        self._port, self._beginnings = port, beginnings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self.answers: Counter[int] = Counter()  # of those that were ended, by status; 0: without a word

    def __enter__(self) -> "SlowSenders":
        with ExitStack() as opened:
            self._here = [
                opened.enter_context(_begun(self._port, beginning)) for beginning in self._beginnings
            ]
            self._opened = opened.pop_all()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
        self._opened.close()

    @property
    def here(self) -> int:
        """How many are still waited for."""
        return len(self._beginnings) - sum(self.answers.values())

    def _go_on(self) -> None:
        due_at = time.monotonic() + EVERY_S
        poll = select.poll()
        by_number = {connection.fileno(): connection for connection in self._here}
        for number in by_number:
            poll.register(number, select.POLLIN)
        while not self._stop.is_set():
            for number, _ in poll.poll(max(0.0, due_at - time.monotonic()) * 1000):
                poll.unregister(number)
                self.answers[_status(by_number.pop(number))] += 1
            if time.monotonic() >= due_at:
                due_at = time.monotonic() + EVERY_S
                for connection in by_number.values():
                    with suppress(OSError):
                        connection.send(b"x")


class DeafReaders:
    """Each asks for as much as its text says, and reads nothing."""

    def __init__(self, port: int, beginnings: list[bytes]) -> None:
        self._port, self._beginnings = port, beginnings

    def __enter__(self) -> "DeafReaders":
        with ExitStack() as opened:
            self._ports = {
                port_of(opened.enter_context(_begun(self._port, beginning, receive_bytes=4096)))
                for beginning in self._beginnings
            }
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self._opened.close()

    @property
    def here(self) -> int:
        """How many the server still has something for."""
        return len(self._ports & server_sides(self._port).keys())


def _begun(port: int, beginning: bytes, receive_bytes: int = 0) -> socket.socket:
    connection = socket.socket()
    try:
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        connection.setblocking(False)
        connection.send(beginning)  # of what does not fit into the kernel's buffers, the rest stays unsent
    except BaseException:
        connection.close()
        raise
    return connection


def _status(connection: socket.socket) -> int:
    try:
        return int(connection.recv(12)[9:] or 0)
    except OSError:
        return 0


class Addresses:
    """Where strangers go, and what they say there; some of them have a key."""

    def __init__(self, served) -> None:
        _, page = get(f"{served.url}/admin/login/")
        self._static = max(
            re.findall(r'/static/[^"\s]+\.(?:js|css)', page), key=lambda path: "styles" in path
        )
        _, told = post(
            f"{served.url}/api/v1/models/ripeness/versions/1/download",
            {},
            **served.authorization,
            **{"Content-Type": "application/json"},
        )
        self._download = told["url"].removeprefix(served.url)
        self._key = f"Authorization: {served.authorization['Authorization']}"

    def sending(self, count: int) -> list[bytes]:
        """So many beginnings of requests that are never whole, of all kinds in turn."""
        guessed = "Authorization: Bearer rh_guessed"
        kinds = [
            _head("POST", "/api/v1/models/ripeness/predict", self._key, "Content-Length: 1000"),
            _head("POST", "/v2/models/ripeness/infer", self._key, "Content-Length: 1000"),
            _head("POST", "/api/v1/models/ripeness/predict", "Content-Length: 1000"),
            _head("POST", "/api/v1/models/ripeness/predict", guessed, "Content-Length: 1000"),
            self.login,
            _head("PUT", "/api/v1/uploads/1?offset=0", self._key, "Content-Length: 300000"),
            _head("PUT", "/api/v1/uploads/1?offset=0", "Content-Length: 1000"),
            _head("GET", self._static, "X-Slow: ")[:-4],
            _head("GET", self._download, "X-Slow: ")[:-4],
            _head("GET", "/api/v1/models", self._key, "X-Slow: ")[:-4],
        ]
        return [*islice(cycle(kinds), count)]

    @property
    def login(self) -> bytes:
        return _head(
            "POST", "/admin/login/", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 1000"
        )

    def reading(self, count: int) -> list[bytes]:
        """So many questions whose answers are more than the kernel takes for who does not read, of all kinds in turn."""
        row = '{"data": [0.2, 0.8, 0.3]}'
        length = f"Content-Length: {len(row)}"
        kinds = [
            200 * (_head("POST", "/api/v1/models/ripeness/predict", self._key, length) + row.encode()),
            200 * (_head("POST", "/api/v1/models/ripeness/predict", length) + row.encode()),
            200 * _head("GET", "/livez"),
            5 * _head("GET", "/admin/login/"),
            20 * _head("GET", "/api/v1/uploads", self._key),
            20 * _head("GET", "/api/v1/uploads"),
            3 * _head("GET", self._static),
            20 * _head("GET", self._download),
        ]
        return [*islice(cycle(kinds), count)]


def _head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def answers_to_others(port, authorization, within_s=ANSWER_WITHIN_S) -> list[int]:
    """The statuses of a probe, a prediction and a page of Django; 0 for none in time."""
    return [
        _status_of(port, within_s, "GET", "/livez"),
        _status_of(
            port,
            within_s,
            "POST",
            "/api/v1/models/ripeness/predict",
            b'{"data": [0.2, 0.8, 0.3]}',
            authorization,
        ),
        _status_of(port, within_s, "GET", "/admin/login/"),
    ]


def _status_of(port, within_s, *request) -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=within_s)) as connection:
        try:
            connection.request(*request)
            return connection.getresponse().status
        except OSError:
            return 0
