"""A web process that is asked to stop knows it, whatever handlers the server sets."""

import subprocess
import sys

import pytest

from roundhouse import unread
from tests.support.processes import ROOT

LISTEN = """
import signal, sys, threading
sys.path.insert(0, sys.argv[1])
from roundhouse.leaving import is_leaving, on_stop_signal
begun = threading.Event()
on_stop_signal(begun.set)
signal.signal(signal.SIGTERM, lambda *_: None)  # as the server does, later
signal.signal(signal.SIGHUP, lambda *_: None)
signal.raise_signal(signal.SIGHUP)
assert not begun.wait(0.2)
signal.raise_signal(signal.SIGTERM)
assert begun.wait(10) and is_leaving.is_set()
"""


def test_a_stop_is_heard_beside_the_servers_own_handler():
    command = [sys.executable, "-c", LISTEN, ROOT / "platform"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("leaves", [True, False], ids=["leaving", "staying"])
def test_answers_of_a_process_that_leaves_are_the_last_of_their_connections(monkeypatch, leaves):
    monkeypatch.setattr(unread.is_leaving, "is_set", lambda: leaves)
    said = []

    start = unread.saying_so(lambda _status, headers: said.extend(headers), unread.Body({"wsgi.input": None}))
    start("200 OK", [])

    assert (unread.CLOSE in said) is leaves
