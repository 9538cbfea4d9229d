"""Undocumented behaviour of granian's RSGI that we rely on, tested with a small application behind our server."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.connections import KEEPALIVE, port_of, server_sides
from tests.support.processes import ROOT, clean_environment, free_port, wait_until

FILE_BYTES = 48 << 20  # more than the kernel takes for a reader
SHORT_S = 1


class Small(NamedTuple):
    port: int
    shown_in: Path
    process: subprocess.Popen

    def connect(self, receive_bytes: int = 0) -> socket.socket:
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(20)
        try:
            connection.connect(("127.0.0.1", self.port))
        except OSError:
            connection.close()
            raise
        return connection

    def ask(self, head: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request on a connection of its own."""
        with self.connect() as connection:
            connection.sendall(
                f"{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1") + body
            )
            return read_answer(connection)

    def shown(self, name: str):
        """What it showed last under this name; None where it has not."""
        lines = [json.loads(line) for line in self.shown_in.read_text().splitlines()]
        return next((line for line in reversed(lines) if name in line), None)

    def parts_of(self, length: int) -> list[int]:
        """The lengths of the parts in which so many bytes came."""
        line = self.shown("parts")
        return line["parts"] if line and sum(line["parts"]) == length else []

    def wait_for(self, name: str, value=None) -> dict:
        def is_shown():
            line = self.shown(name)
            return line if line and value in {None, json.dumps(line[name])} else None

        return wait_until(is_shown, within_s=20, what=f"{name}; it showed {self.shown_in.read_text()}")


def read_answer(connection) -> tuple[int, bytes]:
    with closing(HTTPResponse(connection)) as response:
        response.begin()
        return response.status, response.read()


@contextmanager
def served_small(folder, *options, before=""):
    """The small application behind our server; lines of Python may change that `before` it starts."""
    port, shown_in, file = free_port(), folder / "shown", folder / "file"
    shown_in.touch()
    with file.open("wb") as large:
        large.write(b"0123456789")
        large.truncate(FILE_BYTES)
    code = f"from roundhouse import granian_server as server\n{before}\nserver.main()"
    command = [
        sys.executable, "-c", code, "--interface", "rsgi", "--loop", "uvloop", "--task-impl", "asyncio", "--http", "1",
        "--no-ws", "--log-level", "critical", "--port", str(port), *options,
        "tests.served.roundhouse.rsgi_application:application",
    ]  # fmt: skip
    environ = clean_environment() | {
        "SHOWN": str(shown_in),
        "FILE": str(file),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
    }
    process = subprocess.Popen(
        command, env=environ, cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL
    )
    small = Small(port, shown_in, process)
    try:
        wait_until(lambda: _listens(small), within_s=30, what="the small application")
        yield small
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(small) -> bool:
    try:
        return small.ask("GET /unread HTTP/1.1")[0] == 403
    except OSError:
        return False


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with served_small(tmp_path_factory.mktemp("small")) as small:
        yield small


def test_a_cut_body_differs_from_a_whole_one_only_by_length(small):
    _, whole = small.ask("POST /parts HTTP/1.1\r\nContent-Length: 10", b"0123456789")
    with small.connect() as connection:
        connection.sendall(b"POST /parts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n01234567")

    cut = wait_until(lambda: small.parts_of(8), within_s=20, what="the end of the cut body")
    for lengths in (json.loads(whole), cut):
        assert lengths[-1] == 0
    assert sum(json.loads(whole)) == 10


def test_a_cut_body_that_is_awaited_whole_is_shorter_or_an_error(small):
    with small.connect() as connection:
        connection.sendall(b"POST /whole HTTP/1.1\r\nHost: localhost\r\nContent-Length: 77\r\n\r\n0123456789")
        small.wait_for("asked", '"whole"')

    wait_until(
        lambda: small.shown("lost") or (small.shown("whole") or {}).get("whole") == 10,
        within_s=20,
        what="the end of the body",
    )


@pytest.mark.parametrize(
    ("line", "got"), [("plain", "plain"), ("gr\xfcn", None), ("", "")], ids=["ascii", "latin-1", "empty"]
)
def test_a_header_that_is_not_ascii_has_no_value(small, line, got):
    _, told = small.ask(f"GET / HTTP/1.1\r\nX-Odd: {line}")

    assert json.loads(told) == {"path": "/", "got": got, "is_there": True}


@pytest.mark.parametrize(
    ("path", "decoded"),
    [("/a%20b%2Fc", "/a b/c"), ("/%C3%BC", "/ü"), ("/%ff", "/�"), ("/%2e%2e/x", "/../x"), ("/%00", "/\0")],
)
def test_paths_are_decoded(small, path, decoded):
    _, told = small.ask(f"GET {path} HTTP/1.1")

    assert json.loads(told)["path"] == decoded


@pytest.mark.parametrize(
    ("start", "end", "content"),
    [(0, 10, b"0123456789"), (3, 5, b"34"), (9, 10, b"9"), (FILE_BYTES - 1, FILE_BYTES, b"\0")],
)
def test_the_end_of_a_file_range_is_exclusive(small, start, end, content):
    assert small.ask(f"GET /file?{start}-{end} HTTP/1.1")[1] == content


def test_an_unread_body_ends_its_connection(small):
    with small.connect() as connection:
        connection.sendall(b"POST /unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
        with suppress(ConnectionError):
            answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 403")


def test_a_chunked_body_has_no_length_and_arrives_whole(small):
    answer = small.ask(
        "POST /whole HTTP/1.1\r\nTransfer-Encoding: chunked", b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    )

    assert answer == (200, b"abcdefg")
    assert small.wait_for("whole", "7")["has_length"] is False


@pytest.mark.parametrize(
    "leave", [socket.socket.close, lambda one: one.shutdown(socket.SHUT_WR)], ids=["whole", "half"]
)
def test_disconnects_are_reported_even_half_ones(tmp_path, leave):
    with served_small(tmp_path) as small, small.connect() as connection:
        connection.sendall(b"GET /gone HTTP/1.1\r\nHost: localhost\r\n\r\n")
        small.wait_for("asked", '"gone"')
        assert small.shown("gone") is None

        leave(connection)

        small.wait_for("gone")


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_a_stop_is_announced_and_requests_may_end(tmp_path, start_method):
    """The end comes with the loop stopped, and it can be run once more."""
    before = f"import multiprocessing\nmultiprocessing.set_start_method({start_method!r})"
    with served_small(tmp_path, before=before) as small, small.connect() as connection:
        connection.sendall(b"POST /whole HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n12")
        small.wait_for("asked", '"whole"')

        small.process.send_signal(signal.SIGTERM)
        assert small.wait_for("stops")["is_running"] is True
        assert small.shown("ended") is None
        connection.sendall(b"34")
        answer = read_answer(connection)
        small.process.wait(20)

        assert answer == (200, b"1234")
        assert small.wait_for("ended")["is_running"] is False


def test_a_reader_that_takes_nothing_is_disconnected(tmp_path_factory):
    """The control is the server whose option is not shortened: there the reader stays."""
    short = f"server.UNREAD_S = {SHORT_S}"
    with (
        served_small(tmp_path_factory.mktemp("short"), before=short) as shortened,
        served_small(tmp_path_factory.mktemp("usual")) as usual,
        usual.connect(4096) as stays,
        shortened.connect(4096) as ends,
    ):
        for connection in (stays, ends):
            connection.sendall(f"GET /file?0-{FILE_BYTES} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for connection in (stays, ends):
            connection.recv(1, socket.MSG_PEEK)

        wait_until(
            lambda: port_of(ends) not in server_sides(shortened.port),
            within_s=30,
            what="the end of who does not read",
        )

        assert port_of(stays) in server_sides(usual.port)


def test_accepted_connections_inherit_keepalive(small):
    with small.connect() as connection:
        wait_until(
            lambda: server_sides(small.port).get(port_of(connection)) == KEEPALIVE,
            within_s=5,
            what="a keepalive timer",
        )


def test_missing_headers_end_the_connection(tmp_path):
    with (
        served_small(tmp_path, "--http1-header-read-timeout", "1000") as small,
        small.connect() as begun,
        small.connect() as silent,
    ):
        begun.sendall(b"GET /unread HTTP/1.1\r\nHost: local")

        ended, _, _ = select.select([begun], [], [], 20)
        assert ended == [begun]
        assert silent.fileno() > 0
