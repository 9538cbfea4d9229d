"""What `manage.py serve` prints once the server is ready."""

import io
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management.base import CommandError

from roundhouse import first_run
from roundhouse.first_run import SampleRequest
from roundhouse.management.commands.serve import Command


class Server(BaseHTTPRequestHandler):
    """Ready at the third look; answers with what it was sent."""

    looks = 0

    def do_GET(self):
        type(self).looks += 1
        if self.looks == 1:  # an answer that is cut off
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            return
        self._answer(503 if self.looks == 2 else 200, b"")

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if "refused" in self.path:
            self._answer(422, b'{"code": "file_refused"}')
            return
        if "cut-off" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"{")
            return
        words = [self.path, self.headers["Content-Type"], self.headers["Authorization"], sent.decode()]
        self._answer(200, " ".join(words).encode())

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(settings, monkeypatch):
    monkeypatch.setattr(Server, "looks", 0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        settings.BIND, settings.PORT = server.server_address
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_greeting_waits_until_ready_and_is_followed_by_answers(server):
    sample = SampleRequest(
        "toxicity",
        "/api/v1/models/toxicity/predict",
        "-d …",
        b'{"text": "hi"}',
        {"Content-Type": "application/json", "Authorization": "Bearer k"},
    )
    printed = io.StringIO()

    Command(stdout=printed)._greet_when_ready("Welcome\n", [sample], [])

    assert Server.looks == 3
    assert printed.getvalue() == (
        "Welcome\n"
        "toxicity answers:\n"
        '  /api/v1/models/toxicity/predict application/json Bearer k {"text": "hi"}\n'
    )


def test_a_sample_without_an_answer_is_not_shown_as_answered(server):
    printed, headers = io.StringIO(), {"Content-Type": "application/json", "Authorization": "Bearer k"}

    Command(stdout=printed)._greet_when_ready(
        "Welcome\n",
        [
            SampleRequest(slug, f"/api/v1/models/{slug}/predict", "-d …", b"{}", headers)
            for slug in ("refused", "cut-off", "tone")
        ],
        [],
    )

    assert printed.getvalue() == (
        "Welcome\n"
        'refused answers with status 422:\n  {"code": "file_refused"}\n'
        "cut-off does not answer.\n"
        "tone answers:\n  /api/v1/models/tone/predict application/json Bearer k {}\n"
    )


@pytest.mark.parametrize(
    ("demo", "advice"), [("examples", "comes with a checkout"), ("real", "`make demo-real`")]
)
def test_a_demo_without_its_folder_names_it(monkeypatch, tmp_path, demo, advice):
    folder = tmp_path / "nowhere"
    monkeypatch.setitem(first_run.DEMOS, demo, replace(first_run.DEMOS[demo], folder=folder))

    with pytest.raises(CommandError, match=f"{re.escape(str(folder))} is missing: .*{advice}"):
        Command().handle(demo=demo)
