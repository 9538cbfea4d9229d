"""What `manage.py serve` prints once the server is ready."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from roundhouse.first_run import SampleRequest
from roundhouse.management.commands.serve import Command


class Server(BaseHTTPRequestHandler):
    """Ready at the second look; answers with what it was sent."""

    looks = 0

    def do_GET(self):
        type(self).looks += 1
        self._answer(503 if self.looks == 1 else 200, b"")

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
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
def server(settings):
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
        "-d …",
        b'{"text": "hi"}',
        {"Content-Type": "application/json", "Authorization": "Bearer k"},
    )
    printed = io.StringIO()

    Command(stdout=printed)._greet_when_ready("Welcome\n", [sample])

    assert Server.looks == 2
    assert printed.getvalue() == (
        "Welcome\n"
        "toxicity answers:\n"
        '  /api/v1/models/toxicity/predict application/json Bearer k {"text": "hi"}\n'
    )
