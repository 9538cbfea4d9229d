"""Kill -9 of every process between verdicts and their webhooks: each is delivered, in order per content, none twice otherwise."""

import json
import os
import signal
import threading
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.processes import serving, wait_until

CONTENTS = 6


class Receiver:
    """Notes what arrives; `on_message` is called before it answers."""

    def __init__(self):
        self.messages, self.on_message = [], lambda count: None
        self.lock = threading.Lock()

    def take(self, message_id, body):
        with self.lock:
            self.messages.append((message_id, body))
            count = len(self.messages)
        self.on_message(count)

    def sequences(self):
        """The numbers of each content, in the order in which they came first."""
        found = defaultdict(list)
        for _, body in list(self.messages):
            details = json.loads(body)["data"]["details"]
            if details["sequence"] not in found[details["content_id"]]:
                found[details["content_id"]].append(details["sequence"])
        return found


@pytest.fixture
def receiver():
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.take(self.headers["webhook-id"], body)
            with suppress(OSError):  # whoever sent it may be dead
                self.send_response(204)
                self.end_headers()

        def log_message(self, *_):
            """Nothing: tests say what they need to know."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.port = server.server_port
        yield made
        server.shutdown()


def kill(served, name):
    for pid in served.find(rf"celery .* {name} |-m (roundhouse\.)?{name}"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_each_verdict_arrives_in_order(tmp_path, receiver):
    """The worker dies before verdicts are final, while they become final, and while it sends; beat and web die, too."""
    with serving(tmp_path, FETCH_ALLOWED_HOSTS=f"127.0.0.1:{receiver.port}") as served:
        served.wait_ready()
        url = f"http://127.0.0.1:{receiver.port}/hook"
        given = served.manage(
            "shell", "--no-imports", "-c",
            f"from tests.chaos.moderation.verdicts_child import give_verdicts; give_verdicts({url!r}, {CONTENTS})",
            timeout=180,
        )  # fmt: skip
        assert given.returncode == 0, given.stderr
        deaths = {1: "worker", 4: "beat", 7: "worker", 9: "granian"}
        receiver.on_message = lambda count: count in deaths and kill(served, deaths[count])
        for name in ("worker", "beat", "granian"):
            kill(served, name)

        wait_until(
            lambda: sum(len(numbers) for numbers in receiver.sequences().values()) == 3 * CONTENTS,
            within_s=400,
            what=f"all messages; there are {receiver.sequences()}; it said:\n{served.output[-3000:]}",
        )

    assert receiver.sequences() == {f"c{number}": [1, 2, 3] for number in range(CONTENTS)}
    bodies = defaultdict(set)
    for message_id, body in receiver.messages:
        bodies[message_id].add(body)
    assert len(bodies) == 3 * CONTENTS
    assert all(len(one) == 1 for one in bodies.values())
    assert len(receiver.messages) > 3 * CONTENTS  # what was being sent by a process that died came again
