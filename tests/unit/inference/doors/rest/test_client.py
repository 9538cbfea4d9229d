"""The client that strangers download, against servers that misbehave."""

import ast
import io
import json
import sys
import threading
import tomllib
import uuid
from base64 import b64decode
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from inference.doors.rest import client as roundhouse
from inference.doors.rest.client import BadWebhook, Client, RoundhouseError, Unreachable, sign, verify_webhook
from registry.record.channels import secret_of, signed_headers
from tests.support.processes import ROOT, free_port
from tests.support.sending import documented
from tests.support.tables import cases

KEY = "rh_abcdefgh_0123456789012345678901234567890123456789012"
FILE = Path(roundhouse.__file__)
ANSWER = {"prediction": [1.0], "request_id": "r"}


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 1000.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Misbehaving(ThreadingHTTPServer):
    """Does with each request what the next act says, and keeps what was sent. `connections` counts those made."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Actor)
        self.acts, self.requests, self.connections = deque(), [], 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def process_request(self, *arguments):
        self.connections += 1
        super().process_request(*arguments)


class _Actor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def act(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        self.server.acts.popleft()(self)

    do_GET = do_POST = do_PUT = act

    def log_message(self, *_):
        pass


def answers(value, status=200, kind="application/json", **headers):
    def act(request):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        request.send_response(status)
        for name, text in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            request.send_header(name.replace("_", "-"), str(text))
        request.end_headers()
        request.wfile.write(body)

    return act


def refuses(status=503, code="overloaded", *, retryable=True, **headers):
    problem = {"detail": "No.", "status": status, "code": code, "retryable": retryable, "request_id": "r7"}
    return answers(problem, status, "application/problem+json", **headers)


def hangs_up(request):
    request.close_connection = True


def breaks_off(body, after):
    def act(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:after])
        request.close_connection = True

    return act


@contextmanager
def _serving():
    with Misbehaving() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server():
    with _serving() as started:
        yield started
        assert not started.acts, "it was called less often than expected"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def client(server, clock):
    with Client(server.url, KEY, sleep=clock.sleep, clock=clock) as made:
        yield made


def ask(client, **options):
    return client.predict("ripeness", features=[1, 2], **options)


class TestTheFile:
    tree = ast.parse(FILE.read_text(), feature_version=(3, 9))

    def test_it_imports_the_standard_library_only(self):
        modules = {
            alias.name for node in ast.walk(self.tree) if isinstance(node, ast.Import) for alias in node.names
        }
        modules |= {node.module for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom)}

        assert "http.client" in modules
        assert {module.partition(".")[0] for module in modules} <= sys.stdlib_module_names

    def test_its_version_is_that_of_the_product(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

        assert roundhouse.__version__ == project["version"]

    @pytest.mark.urls("tests.support.routes")
    def test_it_is_served_as_it_is_and_once(self, client):
        from django.test import Client as Browser

        first = Browser().get("/api/v1/client.py", headers={"Accept": "text/html"})
        again = Browser().get("/api/v1/client.py", headers={"If-None-Match": first["ETag"]})
        other = Browser().get("/api/v1/client.py", headers={"If-None-Match": '"another"'})

        assert first.content == other.content == FILE.read_bytes()
        assert first["Content-Type"].startswith("text/x-python")
        assert first["Content-Disposition"] == 'attachment; filename="roundhouse.py"'
        assert (again.status_code, again.content) == (304, b"")


class TestRepetition:
    def test_waits_as_long_as_the_server_says(self, server, client, clock):
        server.acts += [refuses(429, "too_many_requests", Retry_After=7), refuses(), answers(ANSWER)]

        assert ask(client) == ANSWER

        assert len(server.requests) == 3
        first, second = clock.slept
        assert 7 <= first <= 7 * 1.25
        assert 0 < second < 1

    def test_not_what_the_server_says_is_final(self, server, client, clock):
        server.acts += [refuses(code="stopped", retryable=False, Retry_After=1)]

        with pytest.raises(RoundhouseError, match=r"No\. \(503 stopped, r7\)") as caught:
            ask(client)

        assert (caught.value.status, caught.value.code, caught.value.retryable) == (503, "stopped", False)
        assert clock.slept == []

    def test_not_a_proxys_page(self, server, client, clock):
        server.acts += [answers(b"<h1>Bad gateway</h1>", 502, "text/html", Retry_After=1)]

        with pytest.raises(RoundhouseError, match="502"):
            ask(client)

        assert clock.slept == []

    def test_not_for_longer_than_wanted(self, server, clock):
        server.acts += [refuses(Retry_After=4)] * 3

        with (
            pytest.raises(RoundhouseError),
            Client(server.url, KEY, retry_for_s=12, sleep=clock.sleep, clock=clock) as client,
        ):
            ask(client)

        assert len(clock.slept) == 2

    def test_not_beyond_the_deadline(self, server, client, clock):
        server.acts += [refuses(Retry_After=1), refuses(Retry_After=5)]

        with pytest.raises(RoundhouseError):
            ask(client, deadline_s=3)

        given, left = (int(headers["X-Deadline-Ms"]) for _, _, headers, _ in server.requests)
        assert given == 3000
        assert left == round(1000 * (3 - clock.slept[0]))

    def test_of_a_prediction_whose_connection_died(self, server, client):
        server.acts += [hangs_up, answers(ANSWER)]

        assert ask(client) == ANSWER

    @pytest.mark.parametrize("method", ["GET", "PUT"])
    def test_of_what_may_be_done_twice(self, server, client, method):
        server.acts += [hangs_up, answers({})]

        assert client.call(method, "models") == {}

    def test_of_a_post_only_with_an_idempotency_key(self, server, client):
        server.acts += [hangs_up, answers({}), hangs_up]

        client.call("POST", "models", {"slug": "mine"}, headers={"Idempotency-Key": "one"})
        with pytest.raises(Unreachable):
            client.call("POST", "models", {"slug": "mine"})

        assert len(server.requests) == 3

    def test_not_once_the_answer_has_begun(self, server, client):
        server.acts += [breaks_off(b'{"prediction": [1]}', 7)]

        with pytest.raises(Unreachable, match="broke off"):
            ask(client)

    def test_not_of_an_address_that_never_answered(self, clock):
        client = Client(f"http://127.0.0.1:{free_port()}", KEY, sleep=clock.sleep, clock=clock)

        with pytest.raises(Unreachable, match="cannot be reached"):
            ask(client)

        assert clock.slept == []

    def test_of_an_address_that_is_gone_for_now(self, clock):
        with _serving() as server:
            server.acts += [answers(ANSWER, Connection="close")]
            client = Client(server.url, KEY, sleep=clock.sleep, clock=clock)
            ask(client)

        with pytest.raises(Unreachable, match="cannot be reached"):
            ask(client)

        assert sum(clock.slept) > 10


class TestConnections:
    def test_are_kept(self, server, client):
        server.acts += [answers(ANSWER), refuses(422, retryable=False), answers(ANSWER)]

        ask(client)
        with pytest.raises(RoundhouseError):
            ask(client)
        ask(client)

        assert server.connections == 1

    def test_not_after_the_server_would_have_closed_them(self, server, client, clock):
        server.acts += [answers(ANSWER)] * 2

        ask(client)
        clock.sleep(26)
        ask(client)

        assert server.connections == 2

    def test_what_must_not_be_sent_twice_gets_a_new_one(self, server, client):
        server.acts += [answers(ANSWER), answers({})]

        ask(client)
        client.call("POST", "models", {"slug": "mine"})

        assert server.connections == 2

    def together(self, server, client, calls):
        """Calls at the same time, and how many connections there are afterwards."""
        barrier = threading.Barrier(calls)

        def act(request):
            barrier.wait(timeout=20)
            answers(ANSWER)(request)

        server.acts += [act] * calls
        threads = [threading.Thread(target=ask, args=[client]) for _ in range(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return server.connections

    def test_each_thread_has_its_own(self, server, client):
        assert self.together(server, client, 4) == 4
        assert self.together(server, client, 4) == 4

    def test_when_one_has_died_the_others_are_not_tried(self, server, client):
        self.together(server, client, 3)
        server.acts += [hangs_up, answers(ANSWER)]

        ask(client)

        assert server.connections == 4


class TestTheKey:
    def test_is_sent_to_nobody_else(self, server, client):
        with _serving() as other:
            server.acts += [answers({}, 307, Location=f"{other.url}/api/v1/models")]

            with pytest.raises(RoundhouseError, match=r"redirects to http://127\.0\.0\.1") as caught:
                client.call("GET", "models")

            assert caught.value.code == "redirected"
            assert server.requests[0][2]["Authorization"] == f"Bearer {KEY}"
            assert other.connections == 0

    def test_is_in_no_text(self, client):
        assert KEY not in repr(client) + str(client)

    @pytest.mark.parametrize("key", ["rh_abcdefgh_secret\nX: y", "rh_abcdefgh_sécret", "secret", ""])
    def test_is_not_in_the_error_about_it(self, key, monkeypatch):
        monkeypatch.delenv("ROUNDHOUSE_KEY", raising=False)

        with pytest.raises(ValueError, match="ROUNDHOUSE_KEY") as caught:
            Client("http://127.0.0.1:1", key)

        assert "cret" not in str(caught.value)

    def test_comes_from_the_environment(self, server, monkeypatch):
        monkeypatch.setenv("ROUNDHOUSE_URL", f"{server.url}/behind/")
        monkeypatch.setenv("ROUNDHOUSE_KEY", f"{KEY}\n")  # as `$(cat file)` in some shells
        server.acts += [answers({})]

        with Client() as client:
            client.call("GET", "models")

        _, path, headers, _ = server.requests[0]
        assert (path, headers["Authorization"]) == ("/behind/api/v1/models", f"Bearer {KEY}")

    @pytest.mark.parametrize(
        "url", ["", "roundhouse.example", "ftp://roundhouse.example", f"https://x:{KEY}@y"]
    )
    def test_has_no_place_without_an_address(self, url, monkeypatch):
        monkeypatch.delenv("ROUNDHOUSE_URL", raising=False)

        with pytest.raises(ValueError, match="ROUNDHOUSE_URL") as caught:
            Client(url, KEY)

        assert KEY not in str(caught.value)


class TestRequests:
    def sent(self, server):
        return json.loads(server.requests[-1][3])

    def test_arrays_are_lists(self, server, client):
        server.acts += [answers(ANSWER)]

        client.predict(
            "demand@champion", inputs={"hour": np.array([[0.5]])}, routing_key="customer-42", dry_run=True
        )

        _, path, headers, _ = server.requests[0]
        assert path == "/api/v1/models/demand@champion/predict?dry_run=1"
        assert headers["X-Routing-Key"] == "customer-42"
        assert self.sent(server) == {"inputs": {"hour": [[0.5]]}}

    def test_a_task_that_is_not_known_here_takes_its_fields(self, server, client, tmp_path):
        server.acts += [answers(ANSWER)]
        (tmp_path / "photo").write_bytes(b"pixels")

        client.ask(
            "advice/versions/2", {"customer": 7}, several=["a", "b"], image=tmp_path / "photo", none=None
        )

        sent = self.sent(server)
        assert server.requests[0][1] == "/api/v1/models/advice/versions/2/predict"
        assert b64decode(sent.pop("image")) == b"pixels"
        assert sent == {"customer": 7, "several": ["a", "b"]}

    @cases(
        "image, field",
        url=("https://cdn.example/1.jpg", {"image_url": "https://cdn.example/1.jpg"}),
        urls=(["http://a/1", "http://a/2"], {"image_urls": ["http://a/1", "http://a/2"]}),
        in_memory=(b"pixels", {"image": "cGl4ZWxz"}),
        several=([b"pixels", b""], {"images": ["cGl4ZWxz", ""]}),
        data_url=("data:image/png;base64,AA", {"image": "data:image/png;base64,AA"}),
    )
    def test_pictures(self, server, client, image, field):
        server.acts += [answers({"objects": []})]

        client.detect(image, threshold=0.5)

        assert self.sent(server) == {**field, "threshold": 0.5}

    @cases(
        "user, field",
        text=("ada", {"user": "ada"}),
        number=(7, {"user": 7}),
        several=(["ada", 7], {"users": ["ada", 7]}),
        array=(np.array([7, 8]), {"users": [7, 8]}),
        of_an_array=(np.array([7, 8])[0], {"user": 7}),
    )
    def test_users(self, server, client, user, field):
        server.acts += [answers({"items": []})]

        client.recommend(user, exclude=["film-1"], model="picks", top_k=3)

        assert server.requests[0][1] == "/api/v1/recommend"
        assert self.sent(server) == {**field, "exclude": ["film-1"], "model": "picks", "top_k": 3}

    @cases(
        "user, field",
        features=({"age": 34}, {"user": {"age": 34}}),
        values=([34, "cooking"], {"user": [34, "cooking"]}),
        numbers=(np.array([34.0, 1.0]), {"user": [34.0, 1.0]}),
        several=([{"age": 34}, {"age": 7}], {"users": [{"age": 34}, {"age": 7}]}),
        several_values=([[34, "cooking"], (7, "games")], {"users": [[34, "cooking"], [7, "games"]]}),
        several_numbers=(np.array([[34.0], [7.0]]), {"users": [[34.0], [7.0]]}),
    )
    def test_users_with_candidates(self, server, client, user, field):
        server.acts += [answers({"indices": []})]

        client.rank(user, [{"price": 20}])

        assert server.requests[0][1] == "/api/v1/rank"
        assert self.sent(server) == {**field, "candidates": [{"price": 20}]}

    def test_pictures_of_two_kinds_are_refused(self, client):
        with pytest.raises(ValueError, match="one list"):
            client.classify(image=["http://a/1", b"pixels"])

    def test_errors_name_the_fields(self, server, client):
        errors = [{"pointer": "#/features", "detail": "Too few."}]
        problem = {"detail": "Too few.", "code": "wrong_dimension", "retryable": False, "errors": errors}
        server.acts += [answers(problem, 422, "application/problem+json")]

        with pytest.raises(RoundhouseError) as caught:
            ask(client)

        assert (caught.value.status, caught.value.errors) == (422, errors)

    def test_an_answer_of_something_else_is_an_error(self, server, client):
        server.acts += [answers(b"<h1>Welcome to the hotel</h1>", kind="text/html")]

        with pytest.raises(RoundhouseError, match="ROUNDHOUSE_URL"):
            ask(client)

    def test_a_refusal_before_the_body_was_read_is_read(self, clock):
        with _serving() as server:
            problem = b'{"detail": "Too large.", "code": "body_too_large", "retryable": false}'

            class Hasty(_Actor):
                def do_POST(self):
                    self.close_connection = True
                    answers(problem, 413, "application/problem+json", Connection="close")(self)

            server.RequestHandlerClass = Hasty
            client = Client(server.url, KEY, sleep=clock.sleep, clock=clock)

            with pytest.raises(RoundhouseError, match="Too large") as caught:
                client.call("POST", "jobs", bytes(2**25))

            assert caught.value.status == 413


class TestJobs:
    JOB = {"id": "0b6c", "status": "done", "failure": ""}

    @cases(
        "name, format, encoding",
        plain=("rows.csv", "csv", None),
        lines=("rows.ndjson", "jsonl", None),
        compressed=("rows.jsonl.gz", "jsonl", "gzip"),
    )
    def test_a_file_is_the_body(self, server, client, tmp_path, name, format, encoding):
        server.acts += [answers(self.JOB, 202)]
        (tmp_path / name).write_bytes(b"rows")

        client.start_job(
            "ripeness/versions/2", tmp_path / name, contract={"id": "fruit"}, output_format="csv"
        )

        _, path, headers, body = server.requests[0]
        assert path.startswith("/api/v1/jobs?model=ripeness&version=2&contract=%7B%22id%22%3A+%22fruit%22%7D")
        assert path.endswith(f"&format={format}&output_format=csv")
        assert (headers.get("Content-Encoding"), body) == (encoding, b"rows")
        assert uuid.UUID(headers["Idempotency-Key"])

    def test_rows_are_objects(self, server, client):
        server.acts += [answers(self.JOB, 202)]

        client.start_job(
            "ripeness@champion", [[1, 2], {"features": [3, 4]}], on_done={"task": "t", "queue": "q"}
        )

        assert json.loads(server.requests[0][3]) == {
            "model": "ripeness", "alias": "champion", "contract": {}, "on_done": {"task": "t", "queue": "q"},
            "rows": [{"features": [1, 2]}, {"features": [3, 4]}],
        }  # fmt: skip

    def test_files_in_job_storage_are_named(self, server, client):
        server.acts += [answers(self.JOB, 202)]
        lake = {"store": "lake", "path": "today.csv"}

        client.start_job(
            "ripeness", input=lake, format="csv", output={**lake, "path": "scores"}, output_format="jsonl"
        )

        assert json.loads(server.requests[0][3]) == {
            "model": "ripeness", "contract": {}, "input": lake, "format": "csv",
            "output": {"store": "lake", "path": "scores", "format": "jsonl"},
        }  # fmt: skip

    def test_a_file_of_an_unknown_format_is_not_sent(self, client, tmp_path):
        (tmp_path / "rows.xls").touch()

        with pytest.raises(ValueError, match=r"rows\.xls ends with none of \.csv"):
            client.start_job("ripeness", tmp_path / "rows.xls")

    def test_it_is_asked_for_when_the_server_says(self, server, client, clock):
        seen = []
        server.acts += [answers({**self.JOB, "status": "running"}, Retry_After=9), answers(self.JOB)]

        assert client.wait_for_job("0b6c", on_job=lambda job: seen.append(job["status"])) == self.JOB

        assert clock.slept == [9]
        assert seen == ["running", "done"]

    def test_a_failure_is_raised(self, server, client):
        failed = {**self.JOB, "status": "failed", "failure": "Row 2 is wrong."}
        server.acts += [answers(failed, 202), answers(failed)]

        with pytest.raises(RoundhouseError, match="Row 2 is wrong") as caught:
            client.run_job("ripeness", [[1]])

        assert caught.value.code == "job_failed"

    def test_a_download_goes_on_where_it_was(self, server, client, tmp_path):
        server.acts += [answers(self.JOB), breaks_off(b"0123456789", 4), answers(b"456789", 206)]

        client.download("0b6c", tmp_path / "out.csv")

        assert (tmp_path / "out.csv").read_bytes() == b"0123456789"
        assert [headers.get("Range") for _, _, headers, _ in server.requests] == [None, None, "bytes=4-"]
        assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]

    def test_a_download_that_gets_nowhere_ends_and_keeps_what_it_has(self, server, client, tmp_path):
        server.acts += [answers(self.JOB), breaks_off(b"0123456789", 4), breaks_off(b"0123456789", 0)]
        part = tmp_path / "out.csv.0b6c.part"

        with pytest.raises(Unreachable):
            client.download("0b6c", tmp_path / "out.csv")
        assert [path.name for path in tmp_path.iterdir()] == [part.name]
        part.write_bytes(b"0123")
        server.acts += [answers(self.JOB), answers(b"456789", 206)]
        client.download("0b6c", tmp_path / "out.csv")

        assert (tmp_path / "out.csv").read_bytes() == b"0123456789"

    def test_what_may_have_changed_is_fetched_again(self, server, client, tmp_path):
        running, results = {**self.JOB, "status": "running"}, tmp_path / "out.csv"
        server.acts += [answers(running), breaks_off(b"row 2, row 1", 6)]
        with pytest.raises(Unreachable):
            client.download("0b6c", results)
        server.acts += [answers(running), answers(b"row 2"), answers(self.JOB), answers(b"row 1, row 2")]

        client.download("0b6c", results)
        assert results.read_bytes() == b"row 2"
        client.download("0b6c", results)

        assert results.read_bytes() == b"row 1, row 2"
        assert not any("Range" in headers for _, _, headers, _ in server.requests)
        assert list(tmp_path.iterdir()) == [results]


class TestUploads:
    def test_a_part_at_the_wrong_place_is_sent_from_the_right_one(self, server, client, tmp_path):
        (tmp_path / "model.onnx").write_bytes(b"0123456789")
        wrong = {"detail": "No.", "code": "wrong_offset", "retryable": False, "offset": 4}
        server.acts += [
            answers({"id": "7", "offset": 0}, 201), answers(wrong, 409, "application/problem+json"),
            answers({"id": "7", "offset": 4}), answers({"id": "7", "offset": 10}),
        ]  # fmt: skip
        sent = []

        assert client.upload(tmp_path / "model.onnx", on_bytes=lambda *bytes: sent.append(bytes)) == "7"

        _, path, _, body = server.requests[-1]
        assert (path, body) == ("/api/v1/uploads/7?offset=4", b"456789")
        assert sent == [(4, 10), (10, 10)]

    def test_a_slow_line_has_as_long_as_the_server_allows(self, server, client):
        """A socket's timeout is for all bytes that are sent at once."""
        server.acts += [answers({}), answers({})]

        client.call("PUT", "uploads/7", bytes(2**20))
        kept, _ = client._idle[-1]
        assert kept.sock.gettimeout() == client.timeout_s + 32
        client.call("GET", "uploads/7")
        assert kept.sock.gettimeout() == client.timeout_s

    @pytest.mark.parametrize("resume", [False, True])
    def test_only_the_same_file_is_resumed_and_only_on_request(self, server, client, tmp_path, resume):
        (tmp_path / "model.onnx").write_bytes(b"0123")
        sha256 = "1be2e452b46d7a0d9656bbb1f768e8248eba1b75baed65f5d99eafa948899a6a"
        one = {"id": "1", "offset": 2, "file_name": "model.onnx", "announced_sha256": "0" * 64}
        other = {**one, "id": "2", "announced_sha256": sha256}
        if resume:
            server.acts += [answers({"results": [one, other]})]
        else:
            server.acts += [answers({"id": "3", "offset": 0}, 201)]
        server.acts += [answers({"id": "x", "offset": 4})]

        client.upload(tmp_path / "model.onnx", resume=resume)

        _, path, _, body = server.requests[-1]
        assert (path, body) == (
            ("/api/v1/uploads/2?offset=2", b"23") if resume else ("/api/v1/uploads/3?offset=0", b"0123")
        )

    @cases(
        "live, share, arms",
        others_keep_their_proportions=({1: 7500, 2: 2500}, 1000, {1: 6750, 2: 2250, 3: 1000}),
        rounding_goes_to_the_largest=(
            {1: 3334, 2: 3333, 4: 3333},
            1000,
            {1: 3002, 2: 2999, 4: 2999, 3: 1000},
        ),
        more_for_a_live_one=({1: 9000, 3: 1000}, 5000, {1: 5000, 3: 5000}),
        all_of_it=({1: 10000}, 10000, {3: 10000}),
        the_first=({}, 10000, {3: 10000}),
    )
    def test_shares(self, server, client, live, share, arms):
        shown = [{"version": version, "share": own} for version, own in live.items()]
        server.acts += [answers({"split": 5, "arms": shown}), answers({"id": 9}, 201)]

        client.ask_share({"model": "demand", "number": 3}, share / 100, "why")

        sent = json.loads(server.requests[-1][3])
        assert {arm["version"]: arm["share"] for arm in sent["arms"]} == arms
        assert sum(arms.values()) == 10000
        assert sent["expected_revision"] == 5

    def test_a_first_version_with_less_than_everything_is_refused(self, server, client):
        server.acts += [answers({"split": None, "arms": []})]

        with pytest.raises(ValueError, match="100 percent"):
            client.ask_share({"model": "demand", "number": 1}, 10, "why")

    @pytest.mark.parametrize("percent", [0, -1, 101])
    def test_no_other_share_is(self, client, percent):
        with pytest.raises(ValueError, match="percent"):
            client.ask_share({"model": "demand", "number": 1}, percent, "why")


class TestSigning:
    def test_is_what_the_documented_sender_sends(self, monkeypatch):
        """Its code is run up to the broker."""
        sent, names = {}, {}
        monkeypatch.setenv("ROUNDHOUSE_KEY", KEY)
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.25)
        exec(documented(0), names)
        names["app"].send_task = lambda task, **message: sent.update(message)
        order, task_id = {"model": "ripeness", "instances": [[0.8, 1e-07, "ä"]]}, str(uuid.uuid4())

        names["send"]("roundhouse.submit", order, task_id)

        assert sent["args"] == [sign("roundhouse.submit", order, task_id)]
        assert KEY not in json.dumps(sent)


class TestWebhooks:
    SECRET, BODY, AT = secret_of("salt"), b'{"type": "test", "data": {}}', 1_800_000_000

    def headers(self, **changed):
        return {
            **signed_headers(secret=self.SECRET, message_id="msg_1", timestamp=self.AT, body=self.BODY),
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }

    def test_an_event_is_read(self):
        headers = {name.title(): value for name, value in self.headers().items()}

        assert verify_webhook(self.BODY, headers, self.SECRET, now=self.AT + 299)["type"] == "test"

    def test_one_of_several_signatures_is_enough(self):
        headers = self.headers()
        headers["webhook-signature"] = f"v1,AAAA v2,x {headers['webhook-signature']}"

        assert verify_webhook(self.BODY, headers, self.SECRET, now=self.AT)

    @cases(
        "changed, body, now",
        other_body=({}, b"{}", AT),
        other_id=({"webhook_id": "msg_2"}, BODY, AT),
        other_time=({"webhook_timestamp": str(AT + 1)}, BODY, AT),
        other_signature=({"webhook_signature": "v1,ÄÄÄ"}, BODY, AT),
        no_signature=({"webhook_signature": ""}, BODY, AT),
        no_time=({"webhook_timestamp": "noon"}, BODY, AT),
        recorded=({}, BODY, AT + 301),
        from_the_future=({}, BODY, AT - 301),
    )
    def test_everything_else_is_refused(self, changed, body, now):
        with pytest.raises(BadWebhook):
            verify_webhook(body, self.headers(**changed), self.SECRET, now=now)

    def test_missing_headers_are(self):
        with pytest.raises(BadWebhook):
            verify_webhook(self.BODY, {}, self.SECRET)

    def test_another_secret_is(self):
        with pytest.raises(BadWebhook):
            verify_webhook(self.BODY, self.headers(), secret_of("other"), now=self.AT)


class TestTheProgram:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch, server):
        monkeypatch.setenv("ROUNDHOUSE_KEY", KEY)
        monkeypatch.setenv("ROUNDHOUSE_URL", server.url)

    def test_reads_a_request_from_standard_input(self, server, monkeypatch, capsys):
        server.acts += [answers(ANSWER)]
        monkeypatch.setattr("sys.stdin", io.StringIO('{"features": [1]}'))

        assert roundhouse.main(["predict", "ripeness", "-"]) == 0

        assert json.loads(capsys.readouterr().out) == ANSWER
        assert json.loads(server.requests[0][3]) == {"features": [1]}

    def test_says_what_was_refused(self, server, capsys):
        problem = {"detail": "No.", "code": "wrong", "errors": [{"pointer": "#/text", "detail": "Too long."}]}
        server.acts += [answers(problem, 422, "application/problem+json")]

        assert roundhouse.main(["predict", "tone", "--text", "x"]) == 1

        assert capsys.readouterr().err == "refused: No. (422 wrong)\n  #/text Too long.\n"

    def test_nobody_there(self, capsys):
        assert roundhouse.main(["--url", f"http://127.0.0.1:{free_port()}", "status"]) == 3

        assert "unreachable" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "arguments",
        [["push", "demand", "no-such-file"], ["predict", "demand", "{"], ["--url", "x", "status"],
         ["push", "demand", str(FILE), "--ask-share", "0"]],
        ids=["no file", "no JSON", "no address", "no share"],
    )  # fmt: skip
    def test_wrong_use(self, arguments, capsys):
        assert roundhouse.main(arguments) == 2

        assert capsys.readouterr().err.startswith("error: ")

    @pytest.mark.parametrize("arguments", [[], ["pull"], ["predict", "demand"]])
    def test_wrong_words(self, arguments, capsys):
        with pytest.raises(SystemExit) as ended:
            roundhouse.main(arguments)

        assert ended.value.code == 2

    def test_interrupted_uploads_can_be_resumed(self, server, tmp_path, capsys):
        (tmp_path / "model.onnx").write_bytes(b"0123")
        server.acts += [answers({"id": "7", "offset": 0}, 201), breaks_off(b'{"id": "7"}', 3)]

        assert roundhouse.main(["push", "demand", str(tmp_path / "model.onnx")]) == 3

        assert "--resume" in capsys.readouterr().err
