"""What our web server adds to granian."""

import json
import socket
import subprocess
import sys

import pytest

from roundhouse import granian_server
from roundhouse.granian_server import (
    KEEPALIVE_IDLE_S,
    KEEPALIVE_INTERVAL_S,
    KEEPALIVE_PROBES,
    UNREAD_S,
    WebServer,
    detect_dead_peers,
)
from tests.support.processes import ROOT, product_environment

linux = pytest.mark.skipif(sys.platform != "linux", reason="socket options of Linux")


class Clock:
    now = 1000.0

    def __init__(self):
        self.slept = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(granian_server, "time", clock)
    return clock


@pytest.fixture
def server():
    made = WebServer.__new__(WebServer)  # granian's own part wants to be told a target
    made._started, made.respawned_wrks = {}, {}
    made.bind_addr, made.bind_port, made.backlog = "127.0.0.1", 0, 64
    return made


class TestPauses:
    def test_early_deaths_are_restarted_after_growing_pauses(self, server, clock):
        pauses = []
        for _ in range(8):
            pauses.append(server._pause_s(1))
            clock.now += 5.4

        assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 3.0, 3.0]

    def test_a_late_death_is_restarted_at_once(self, server, clock):
        for _ in range(4):
            server._pause_s(1)
        clock.now += 5.6

        assert server._pause_s(1) == 0.0

    def test_each_process_has_its_own(self, server, clock):
        for _ in range(4):
            server._pause_s(1)

        assert server._pause_s(2) == 0.0

    def test_a_second_death_soon_after_a_start_ends_no_other_process(self, server, clock, monkeypatch):
        """granian ends all of them where one that it has just started again is among the dead."""

        def respawn(self, workers, *_):
            self.respawned_wrks |= dict.fromkeys(workers, clock.now)

        monkeypatch.setattr(granian_server.MPServer, "_respawn_workers", respawn)
        for _ in range(3):
            server._respawn_workers([0, 1], "target", "loader")

        assert clock.slept == [0.0, 0.25, 0.5]
        assert server.respawned_wrks == {}


def options_of(one):
    return {
        "keepalive": one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        **{
            name: one.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        },
    }


def accepted(listening):
    """The options of a connection that was accepted there."""
    with socket.create_connection(listening.getsockname(), timeout=20):
        connection, _ = listening.accept()
        with connection:
            return options_of(connection)


WATCHED = {
    "keepalive": 1, "TCP_KEEPIDLE": KEEPALIVE_IDLE_S, "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_S, "TCP_KEEPCNT": KEEPALIVE_PROBES,
    "TCP_USER_TIMEOUT": UNREAD_S * 1000,
}  # fmt: skip


@linux
class TestSocket:
    def test_the_kernel_checks_accepted_connections(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            detect_dead_peers(listening)

            assert accepted(listening) == WATCHED

    def test_without_our_options_it_does_not(self):
        """Negative control: these are not the kernel's own."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            found = accepted(listening)

        assert (found["keepalive"], found["TCP_USER_TIMEOUT"]) == (0, 0)

    def test_the_shared_socket_has_the_options(self, server):
        server._init_shared_socket()

        with server._sso:
            assert options_of(server._sso) == WATCHED
            assert server._sso.get_inheritable()
            server._sso.listen()
            server._sso.setblocking(True)
            assert accepted(server._sso) == WATCHED


ALLOW = """
import json, resource
from roundhouse.granian_server import allow_many_connections
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, most), most))
allow_many_connections()
print(json.dumps([most, *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""

STOP = """
import json, signal, sys
from types import SimpleNamespace
import uvloop
from granian import _signals
from roundhouse.granian_server import call_before_stop

told = []
if sys.argv[1] == "telling":
    call_before_stop(lambda: told.append("leaving"))
_signals.WorkerSignal = lambda: SimpleNamespace(set=lambda: told.append("the server stops"))
loop = uvloop.new_event_loop()
_signals.set_loop_signals(loop)
loop.call_soon(signal.raise_signal, getattr(signal, sys.argv[2]))
loop.call_later(10, loop.stop)  # where nobody hears it
watch = lambda: loop.stop() if "the server stops" in told else loop.call_soon(watch)
loop.call_soon(watch)
loop.run_forever()
print(json.dumps(told))
"""


def printed(code, *arguments):
    """What it prints, in a process of its own: limits and signals are a process's."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=product_environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_soft_limit_of_open_files_is_raised():
    most, soft, hard = printed(ALLOW)

    assert (soft, hard) == (most, most)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_the_application_is_called_before_the_server_stops(number):
    assert printed(STOP, "telling", number) == ["leaving", "the server stops"]


def test_granian_itself_does_not_call_it():
    """Negative control."""
    assert printed(STOP, "silent", "SIGTERM") == ["the server stops"]
