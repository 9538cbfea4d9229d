"""Bodies made to hurt, against `manage.py serve`: what is refused, what it costs, and who else notices."""

import gzip
import json
import select
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from typing import NamedTuple

import pytest

from roundhouse.rsgi import REFUSED_BYTES, SMALL_BYTES
from tests.served.conftest import WEB_THREADS
from tests.support.processes import changed_web_process, growing_at_most, wait_until
from tests.support.strangers import A_THREAD_EACH

PREDICT, INFER = "/api/v1/models/ripeness/predict", "/v2/models/ripeness/infer"
ORDINARY = b'{"data": [0.2, 0.8, 0.3]}'
THREADS = WEB_THREADS
JSON_CAP, BINARY_CAP = 8 << 20, 16 << 20
PIECE = 64 << 10


class Server(NamedTuple):
    port: int
    key: str
    data: object
    pids: list[int]

    def head(self, *lines: str, path: str = PREDICT, key: str | None = None) -> bytes:
        return "\r\n".join(
            [f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key or self.key}", *lines, "", ""]
        ).encode()  # fmt: skip

    def ask(self, body, path=PREDICT, key=None, **headers) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            headers = {
                "Authorization": f"Bearer {key or self.key}",
                "Content-Type": "application/json",
                **named,
            }
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def growing_at_most(self, mebibytes: int):
        return growing_at_most(self.pids, mebibytes)


@pytest.fixture(scope="module")
def server(embedded):
    server = Server(embedded.port, embedded.credentials["api_key"], embedded.data, embedded.find("granian"))
    for _ in range(20):
        assert server.ask(ORDINARY)[0] == 200
    return server


@pytest.fixture(scope="module")
def neighbour(embedded):
    """The key of somebody else."""
    issued = embedded.manage("issue_key", "neighbour")
    assert issued.returncode == 0, issued.stderr
    return issued.stdout.strip()


DEPTHS = (3, 10, 32, 63, 64, 65, 127, 1_023, 1_024, 1_025, 100_000, 1_000_000)
NESTED = {
    "lists": lambda depth: b"[" * depth + b"]" * depth,
    "objects": lambda depth: b'{"a":' * depth + b"1" + b"}" * depth,
    "open": lambda depth: b"[" * depth,
    "tensor": lambda depth: b'{"inputs": {"features": ' + b"[" * depth + b"1" + b"]" * depth + b"}}",
    "rows": lambda depth: b'{"instances": ' + b"[" * depth + b"1" + b"]" * depth + b"}",
    "oip": lambda depth: (
        b'{"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 3], "data": ' + b"[" * depth + b"]" * depth + b"}]}"
    ),
    "parameters": lambda depth: b'{"inputs": [], "parameters": {"a": ' + b"[" * depth + b"]" * depth + b"}}",
}  # fmt: skip


@pytest.mark.parametrize("path", [PREDICT, INFER, "/hf/models/tone"], ids=["rest", "oip", "hf"])
@pytest.mark.parametrize("nest", NESTED.values(), ids=NESTED.keys())
def test_nested_bodies_are_refused_at_every_depth(server, nest, path):
    with server.growing_at_most(50):
        statuses = {depth: server.ask(nest(depth), path)[0] for depth in DEPTHS}

    assert {depth: status for depth, status in statuses.items() if status not in {400, 422}} == {}


MUCH = 50_000_000
FRAMINGS = {
    "honest": (("Content-Length: 50000000",), b"", 413),
    "missing": ((), b"", 411),
    "too-small": (("Content-Length: 1000",), b"", 400),
    "chunked": (("Transfer-Encoding: chunked",), b"2faf080\r\n", 411),
}


@pytest.mark.parametrize(("lines", "first", "status"), FRAMINGS.values(), ids=FRAMINGS.keys())
def test_fifty_megabytes_are_refused_unread(server, lines, first, status):
    held_by_the_kernel = _taken_by_the_deaf()
    head = server.head(*lines) + first

    with server.growing_at_most(50), ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(lambda _: _push(server.connect(), head, MUCH), range(50)))

    statuses = [answered for answered, _ in answers]
    assert status in statuses
    assert set(statuses) <= {status, 429, 503}
    assert max(sent for _, sent in answers) - held_by_the_kernel <= JSON_CAP + PIECE
    assert server.ask(ORDINARY)[0] == 200


def _push(connection, head, length) -> tuple[int, int]:
    """Send as fast as it goes until there is an answer; return its status and how much of the body was taken."""
    unsent, sent, piece = memoryview(head), -len(head), memoryview(b"1" * PIECE)
    with connection, suppress(ConnectionError):
        connection.setblocking(False)
        while True:
            readable, writable, _ = select.select([connection], [connection] if sent < length else [], [], 1)
            if readable or not writable:  # there is an answer, or nobody takes more
                break
            try:
                taken = connection.send(unsent or piece)
            except (BlockingIOError, ConnectionError):  # what was answered before is still to be read
                continue
            unsent, sent = unsent[taken:], sent + taken
        with suppress(BlockingIOError):
            return int(connection.recv(PIECE)[9:12] or 0), sent
    return 0, sent


def _taken_by_the_deaf() -> int:
    """How much a server takes that never reads: that lies in buffers of the kernel."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        return _push(socket.create_connection(deaf.getsockname()), b"x", MUCH)[1]


def test_body_that_is_shorter_than_it_said_is_refused(server):
    def send(_):
        with server.connect() as connection:
            try:
                connection.sendall(server.head("Content-Length: 1000000") + b" " * 500_000)
                connection.shutdown(socket.SHUT_WR)
                return int(connection.recv(PIECE)[9:12])
            except OSError:  # refused for want of room, and hung up on before all was sent
                return 503

    with server.growing_at_most(50), ThreadPoolExecutor(50) as clients:
        statuses = set(clients.map(send, range(50)))

    assert 400 in statuses
    assert statuses <= {400, 429, 503}


NO_KEY = ("Authorization: Bearer rh_guessed",)
# Where, with which key, what is answered, and the longest body that is taken before that.
REFUSED_UNREAD = {
    "unknown-model": ("/api/v1/models/nobody/predict", (), 404, REFUSED_BYTES),
    "oip": ("/v2/models/nobody/infer", (), 404, REFUSED_BYTES),
    "hf": ("/hf/models/nobody", (), 404, REFUSED_BYTES),
    "no-key": (PREDICT, NO_KEY, 401, REFUSED_BYTES),
    "elsewhere": ("/api/v1/models", NO_KEY, 401, SMALL_BYTES),
    "stranger-nowhere": ("/nowhere", NO_KEY, 401, SMALL_BYTES),
}
REFUSED = {
    **{name: told[:3] for name, told in REFUSED_UNREAD.items() if name != "stranger-nowhere"},
    "nowhere": ("/api/v1/nowhere", (), 404),
}


def refused_head(server, path, lines, length):
    head = server.head(f"Content-Length: {length}", path=path)
    for line in lines:
        head = head.replace(f"Authorization: Bearer {server.key}".encode(), line.encode())
    return head


@pytest.mark.parametrize(
    ("path", "lines", "status", "taken"), REFUSED_UNREAD.values(), ids=REFUSED_UNREAD.keys()
)
def test_refusal_before_a_large_body_says_that_the_connection_ends(server, path, lines, status, taken):
    """Else the caller's next request on it fails, as the server ends it because of the unread body."""
    head = refused_head(server, path, lines, taken + 1)

    with server.connect() as connection:
        connection.sendall(head)  # and the body later, as many clients do
        answer = connection.recv(PIECE)
        with suppress(ConnectionError):
            connection.sendall(ORDINARY)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize(("path", "lines", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_refusal_of_a_small_body_keeps_the_connection(server, path, lines, status):
    head = refused_head(server, path, lines, len(ORDINARY))
    with server.connect() as connection:
        for _ in range(3):
            answer = _refusal(connection, head)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            assert b"connection: close" not in answer


def _refusal(connection, head) -> bytes:
    connection.sendall(head)
    connection.sendall(ORDINARY)
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(PIECE)
    return answer


def test_strangers_who_drip_hold_nobody_who_is_refused(server):
    path, lines, status, _ = REFUSED_UNREAD["no-key"]
    head = refused_head(server, path, lines, len(ORDINARY))
    with ExitStack() as drips:
        for _ in range(4 * THREADS):
            drips.enter_context(server.connect()).sendall(head)

        with server.connect() as connection:
            answer = _refusal(connection, head)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"connection: close" not in answer
        assert server.ask(ORDINARY)[0] == 200


def test_refusal_after_the_body_keeps_the_connection(server):
    body = b'{"data": ["a"]}'
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(server.head(f"Content-Length: {len(body)}"))
            connection.sendall(body)
            answer = connection.recv(PIECE)
            assert answer.startswith(b"HTTP/1.1 422 ")
            assert b"connection: close" not in answer


def test_callers_that_hang_up_leave_nothing_behind(server):
    for _ in range(THREADS * 3):
        with server.connect() as connection:
            connection.sendall(server.head("Content-Length: 1000") + b"{")

    wait_until(lambda: server.ask(ORDINARY)[0] == 200, within_s=2, what="an answer")


BOMBS = {
    "rest-gzip": (PREDICT, gzip.compress, {"Content_Encoding": "gzip"}, 415),
    "rest-deflate": (PREDICT, zlib.compress, {"Content_Encoding": "deflate"}, 415),
    "hf-gzip": ("/hf/models/tone", gzip.compress, {"Content_Encoding": "gzip"}, 415),
    "oip-gzip": (INFER, gzip.compress, {"Content_Encoding": "gzip"}, 413),
    "oip-deflate": (INFER, zlib.compress, {"Content_Encoding": "deflate"}, 413),
    "oip-binary": (
        INFER,
        gzip.compress,
        {"Content_Encoding": "gzip", "Inference_Header_Content_Length": "9"},
        413,
    ),
    "oip-twice": (
        INFER,
        lambda body: gzip.compress(gzip.compress(body)),
        {"Content_Encoding": "gzip, gzip"},
        400,
    ),
}


@pytest.mark.parametrize(("path", "pack", "headers", "status"), BOMBS.values(), ids=BOMBS.keys())
def test_bombs_do_not_go_off(server, path, pack, headers, status):
    bomb = pack(b"[" + b"0" * 200_000_000)

    with server.growing_at_most(50):
        answered, _ = server.ask(bomb, path, **headers)

    assert answered == status


NUMBERS = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400, "0x10", "01", "+1", ".5", "1.", "1_000", "'1'", "nan",
    '"1"', "null", "true", "{}", '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\x00"', '"\xff"', "1e39",
)  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: ascii(number[:12]))
def test_what_is_no_number_of_json_is_refused(server, number):
    rest = f'{{"inputs": {{"features": [[{number}, 1, 1]]}}}}'.encode("latin-1")
    oip = f'{{"inputs": [{{"name": "features", "datatype": "FP32", "shape": [1, 3], "data": [{number}, 1, 1]}}]}}'

    assert server.ask(rest)[0] in {400, 422}
    assert server.ask(rest, f"{PREDICT}?dry_run=1")[0] in {400, 422}
    assert server.ask(oip.encode("latin-1"), INFER)[0] == 400


ODD = {
    "nul": "a\\u0000b",
    "only-nul": "\\u0000",
    "lone-surrogate": "\\ud800",
    "swapped-surrogates": "\\udc00\\ud800",
    "raw-control": "a\x01b",
    "bidi": "\\u202e",
    "marks": "e" + "\\u0301" * 10_000,
    "long": "x" * 1_000_000,
    "empty": "",
    "slash": "~1/../%00",
}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_odd_names_are_refused_wherever_they_stand(server, name):
    entry = '{"name": "features", "datatype": "FP32", "shape": [1, 3], "data": [1, 1, 1]}'
    asked = [
        (PREDICT, f'{{"inputs": {{"{name}": [[1, 1, 1]]}}}}'),
        (PREDICT, f'{{"instances": [{{"{name}": 1}}]}}'),
        (PREDICT, f'{{"instances": [{{"features": [1, 1, 1]}}, {{"{name}": 1}}]}}'),
        (PREDICT, f'{{"{name}": [1]}}'),
        (INFER, f'{{"inputs": [{entry.replace("features", name)}]}}'),
        (INFER, f'{{"inputs": [{entry.replace("FP32", name)}]}}'),
        (INFER, f'{{"inputs": [{entry}], "outputs": [{{"name": "{name}"}}]}}'),
        (INFER, f'{{"inputs": [{entry}], "parameters": {{"{name}": []}}}}'),
    ]

    answers = [server.ask(body.encode("latin-1"), path) for path, body in asked]

    assert {status for status, _ in answers} <= {400, 422}
    for _, body in answers:
        assert len(json.dumps(json.loads(body))) < 5_000


@pytest.mark.parametrize(
    "name", ["%00", "ripeness%00", "%ed%a0%80", "%ff", "a%0d%0aX-A:1", "%2e%2e", "a" * 5_000]
)
def test_odd_addresses_are_not_found(server, name):
    for path in (
        f"/api/v1/models/{name}/predict",
        f"/api/v1/models/ripeness@{name}/predict",
        f"/v2/models/{name}/infer",
        f"/v2/models/ripeness/versions/{name}/infer",
    ):
        assert server.ask(ORDINARY, path)[0] == 404


def test_of_a_key_that_comes_twice_the_last_counts(server):
    status, _ = server.ask(b'{"data": [NaN]}')
    assert status == 400

    status, body = server.ask(b'{"inputs": 1, "inputs": {"features": [[1]], "features": [[0.2, 0.8, 0.3]]}}')

    assert (status, len(json.loads(body)["outputs"]["probabilities"])) == (200, 1)


class TestSlowBodies:
    """One key sends bodies that never end, on more connections than there are threads."""

    LASTS_S, WITHIN_S = 3.0, 2.0

    @pytest.mark.parametrize("comes_first", ["neighbour", "dripper"])
    def test_other_keys_go_on_being_answered(self, server, neighbour, comes_first):
        if comes_first == "neighbour":
            assert _timed(server, neighbour)[0] == 200

        with _dripping(server, 4 * THREADS) as dripping:
            answers = _call_for(self.LASTS_S, server, neighbour)
            held = len(dripping) - len(_answered(dripping))

        assert {status for status, _ in answers} == {200}
        assert max(took_s for _, took_s in answers) < self.WITHIN_S
        assert held > THREADS

    def test_where_each_body_has_a_thread_they_starve(self, server, neighbour, tmp_path):
        """Negative control: the same product with a thread of Django's for each prediction, from its body on."""
        with _served_in_threads(server, tmp_path) as unfair:
            wait_until(lambda: _answers(unfair), within_s=30, what="the server whose threads wait for bodies")

            with _dripping(unfair, 4 * THREADS):
                wait_until(
                    lambda: _timed(unfair, neighbour, self.WITHIN_S)[0] == 0,
                    within_s=20,
                    what="a neighbour who gets no answer",
                )


@contextmanager
def _dripping(server, count):
    """Begin so many bodies, and send a byte of each now and then, until the end of the block."""
    stop = threading.Event()
    with ExitStack() as opened:
        connections = [opened.enter_context(server.connect()) for _ in range(count)]
        for connection in connections:
            connection.sendall(server.head("Content-Length: 100000"))

        def drip():
            while not stop.wait(0.2):
                for connection in connections:
                    with suppress(OSError):
                        connection.send(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield connections
        finally:
            stop.set()
            thread.join()


def _answered(connections) -> list[socket.socket]:
    return select.select(connections, [], [], 0)[0]


def _call_for(seconds, server, key, timeout_s=20.0) -> list[tuple[int, float]]:
    until, answers = time.monotonic() + seconds, []
    while time.monotonic() < until:
        answers.append(_timed(server, key, timeout_s))
    return answers


def _timed(server, key, timeout_s=20.0) -> tuple[int, float]:
    started = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=timeout_s) as connection:
            connection.sendall(server.head(f"Content-Length: {len(ORDINARY)}", key=key) + ORDINARY)
            return int(connection.recv(PIECE)[9:12] or 0), time.monotonic() - started
    except OSError:
        return 0, time.monotonic() - started


def _answers(server) -> bool:
    return _timed(server, server.key)[0] == 200


@contextmanager
def _served_in_threads(server, folder):
    with changed_web_process(
        folder, server.data, A_THREAD_EACH, threads=THREADS, PREDICT_BINARY_MB=BINARY_CAP >> 20
    ) as port:
        yield server._replace(port=port)
