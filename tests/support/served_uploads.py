"""A client of a served Roundhouse that uploads, breaks off, drips, and predicts meanwhile."""

import hashlib
import json
import random
import socket
import sqlite3
import struct
import threading
import time
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from itertools import pairwise
from math import ceil

from registry.intake.services import MAX_PART_BYTES
from tests.support.model_files import head_of

MIB = 2**20
_ABORT = struct.pack("ii", 1, 0)  # linger for no time: the connection ends with a reset


class Bytes:
    """A file of any size that lies nowhere: the same block again and again, each time with its number in front.

    It begins like a model of which the rest is one long text.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self._block, self._head = size, random.Random(seed).randbytes(MIB), head_of(size)

    def __getitem__(self, span: slice) -> bytes:
        if span.start < len(self._head):
            return (self._head + self._blocks(slice(0, span.stop))[len(self._head) :])[span.start : span.stop]
        return self._blocks(span)

    def _blocks(self, span: slice) -> bytes:
        begin, end = span.start, min(span.stop, self.size)
        first = begin // MIB
        blocks = b"".join(
            number.to_bytes(8) + self._block[8:]
            for number in range(first, ceil(end / MIB) if end > begin else first)
        )
        return blocks[begin - first * MIB : end - first * MIB]

    def parts(self, begin: int = 0):
        edges = [*range(begin, self.size, MAX_PART_BYTES), self.size]
        return ((here, self[here:there]) for here, there in pairwise(edges))

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for _, part in self.parts():
            digest.update(part)
        return digest.hexdigest()


class Caller:
    def __init__(self, port: int, key: str) -> None:
        self.port, self._key = port, key

    def at(self, port: int) -> "Caller":
        return Caller(port, self._key)

    def ask(self, method, path, body=None, kind="application/json", timeout_s=30.0):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            headers = {"Authorization": f"Bearer {self._key}", "Content-Type": kind}
            connection.request(method, f"/api/v1/{path}", data, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def begin(self, size: int, **more) -> str:
        status, said = self.ask("POST", "uploads", {"size_bytes": size, **more})
        assert status == 201, said
        return said["id"]

    def show(self, upload: str) -> dict:
        return self.ask("GET", f"uploads/{upload}")[1]

    def put(self, upload: str, offset: int, part: bytes):
        return self.ask("PUT", f"uploads/{upload}?offset={offset}", part, "application/octet-stream")

    def send(self, upload: str, file: Bytes, begin: int = 0) -> None:
        for offset, part in file.parts(begin):
            status, said = self.put(upload, offset, part)
            assert status == 200, said

    def complete(self, upload: str, slug: str) -> dict:
        is_new = self.ask("GET", f"models/{slug}")[0] == 404
        status, said = self.ask(
            "POST", f"uploads/{upload}/complete", {"model": slug, "new_model": {} if is_new else None}
        )
        assert status == 201, said
        return said

    def abandon(self, upload: str) -> None:
        assert self.ask("DELETE", f"uploads/{upload}")[0] == 204

    def break_off(self, upload: str, offset: int, part: bytes, after: int, *, is_abrupt: bool) -> None:
        """Announce the part, send so much of it, and hang up."""
        with self.putting(upload, offset, len(part)) as line:
            line.sendall(part[:after])
            if is_abrupt:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)

    def predict(self, timeout_s: float) -> int:
        """The status of a prediction; 0 without an answer in time."""
        try:
            return self.ask(
                "POST", "models/ripeness/predict", {"data": [0.2, 0.8, 0.3]}, timeout_s=timeout_s
            )[0]
        except OSError:
            return 0

    def predict_for(self, seconds: float, timeout_s: float) -> tuple[set[int], float]:
        """Which statuses predictions had, one after the other, and the p99 of how long they took."""
        until, statuses, took = time.monotonic() + seconds, set(), []
        while time.monotonic() < until:
            started = time.monotonic()
            statuses.add(self.predict(timeout_s))
            took.append(time.monotonic() - started)
        return statuses, sorted(took)[int(len(took) * 0.99)]

    @contextmanager
    def dripping(self, uploads: list[str]):
        """Send a part to each, a byte now and then; who is refused asks again. Gives how often that was, by upload."""
        stop, refused = threading.Event(), dict.fromkeys(uploads, 0)

        def drip(upload: str) -> None:
            while not stop.wait(0.05):
                with suppress(OSError), self.putting(upload, 0, MIB) as line:
                    line.settimeout(0.1)
                    while not stop.is_set():
                        line.sendall(b"x")
                        with suppress(TimeoutError):
                            refused[upload] += line.recv(1000).startswith(b"HTTP/1.1 503 ")
                            break

        threads = [threading.Thread(target=drip, args=[upload]) for upload in uploads]
        for thread in threads:
            thread.start()
        try:
            yield refused
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def putting(self, upload: str, offset: int, length: int) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        line.sendall(
            (
                f"PUT /api/v1/uploads/{upload}?offset={offset} HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {self._key}\r\nContent-Length: {length}\r\n\r\n"
            ).encode()
        )
        return line


def caller_of(served) -> Caller:
    return Caller(served.port, served.credentials["api_key"])


def files_in(folder) -> list:
    return [path for path in folder.rglob("*") if path.is_file()]


def versions_in(data) -> int:
    with closing(sqlite3.connect(data / "roundhouse.sqlite3")) as connection:
        return connection.execute("SELECT count(*) FROM registry_version").fetchone()[0]
