"""Open-loop load over raw sockets: requests are sent when they are due, whether or not earlier ones were answered.

Runs as a process of its own (`python -m bench.serving.generator`): its settings as JSON on stdin, a report on stdout.
Bounded in time and in connections, and it connects only to the loopback.
"""

import base64
import json
import random
import resource
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from tests.support.processes import ROOT

_LONGEST_S, _MOST_CONNECTIONS = 300.0, 4096
_BACK_OFF_S = 0.05
now = time.perf_counter


@dataclass(frozen=True)
class Stream:
    """Requests of one kind. `rate` a second, at random moments; None: the next when one is answered."""

    name: str
    request: str  # base64 of what goes over the wire
    connections: int
    rate: float | None = None


@dataclass(frozen=True)
class Order:
    port: int
    seconds: float
    streams: list[Stream]
    patience_s: float = 10.0  # requests that are not answered by then count as lost
    is_traced: bool = False


@dataclass
class Report:
    """Results of one stream's requests. Times are milliseconds from sending to the last byte."""

    due: int = 0
    not_sent: int = 0  # all connections were busy
    unanswered: int = 0  # no answer within the patience, or the connection was cut
    statuses: dict[str, int] = field(default_factory=dict)
    ok: int = 0
    ok_ms: list[float] = field(default_factory=list)  # p50, p99
    refused_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)  # how late the generator itself was
    ok_each_second: list[int] = field(default_factory=list)
    trace: list[tuple[float, int, float]] = field(default_factory=list)  # sent at (s), status, took (ms)


def generate(order: Order) -> dict[str, Report]:
    """Run in a process of its own and wait for the report."""
    process = start(order)
    try:
        return finish(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def start(order: Order) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.serving.generator"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    process.stdin.write(json.dumps(asdict(order)))
    process.stdin.close()
    process.stdin = None  # otherwise communicate would flush it again
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Report]:
    told, _ = process.communicate(timeout=_LONGEST_S + 60)
    return {name: Report(**report) for name, report in json.loads(told).items()}


class _Tally:
    """A stream while it runs: its connections and their results."""

    def __init__(self, stream: Stream, number: int) -> None:
        self.stream = stream
        self.request = base64.b64decode(stream.request)
        self.idle: deque[_Connection] = deque()
        self.open = 0
        self.report = Report()
        self.statuses: Counter[str] = Counter()
        self.ok: list[float] = []
        self.refused: list[float] = []
        self.late: list[float] = []
        self.seconds: Counter[int] = Counter()
        self.dice = random.Random(number)
        self.next_due = 0.0

    def answered(self, status: int, sent_at: float, ended_at: float, began: float, *, traced: bool) -> None:
        took_ms = (ended_at - sent_at) * 1e3
        self.statuses[str(status)] += 1
        if status == 200:
            self.ok.append(took_ms)
            self.seconds[int(ended_at - began)] += 1
        else:
            self.refused.append(took_ms)
        if traced:
            self.report.trace.append((sent_at - began, status, took_ms))

    def told(self, seconds: float) -> Report:
        report = self.report
        report.statuses, report.ok = dict(self.statuses), len(self.ok)
        report.ok_ms, report.refused_ms = _middle_and_tail(self.ok), _middle_and_tail(self.refused)
        report.late_ms = _middle_and_tail(self.late)
        report.ok_each_second = [self.seconds[second] for second in range(int(seconds))]
        return report


def _middle_and_tail(values: list[float]) -> list[float]:
    values.sort()
    return [values[len(values) // 2], values[int(len(values) * 0.99)]] if values else []


class _Connection:
    """A socket and the answer that it is receiving."""

    def __init__(self, port: int, tally: _Tally) -> None:
        self.tally = tally
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(("127.0.0.1", port))
        self.sent_at = 0.0
        self.unsent = b""
        self.received = bytearray()

    def push(self) -> bool:
        """Send what can be sent. True if everything was sent."""
        with suppress(BlockingIOError):  # full, or not yet connected
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        return not self.unsent

    def pull(self) -> int | None:
        """Read. Return the status once the answer is complete; raise EOFError if the server closed the connection."""
        chunk = self.socket.recv(1 << 16)
        if not chunk:
            raise EOFError
        self.received += chunk
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.received[:end]).lower()
        _, found, rest = head.partition(b"content-length:")
        if found:
            is_whole = len(self.received) >= end + 4 + int(rest.split(b"\r\n", 1)[0])
        else:
            is_whole = self.received.endswith(b"0\r\n\r\n")
        if not is_whole:
            return None
        self.received.clear()
        return int(head[9:12])


class _Run:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.tallies = [_Tally(stream, number) for number, stream in enumerate(order.streams)]
        self.poll = select.epoll()
        self.busy: dict[int, _Connection] = {}
        self.pool: dict[int, _Connection] = {}
        self.began = now()
        self.is_over = False

    def run(self) -> dict[str, Report]:
        ends_at = self.began + self.order.seconds
        for tally in self.tallies:
            if tally.stream.rate is None:
                for _ in range(tally.stream.connections):
                    self._send(tally)
            else:
                tally.next_due = self.began
        checked_at = self.began
        while (moment := now()) < ends_at:
            next_due = self._send_due(moment, ends_at)
            self._hear(max(0.0, min(next_due, moment + 0.05) - now()))
            if moment - checked_at > 1.0:
                self._give_up_old(moment)
                checked_at = moment
        self.is_over = True
        self._close_idle()  # the server may count them against later connections
        while self.busy and now() < ends_at + self.order.patience_s:
            self._hear(0.05)
        for connection in list(self.busy.values()):
            self._lose(connection)
        self._close_idle()
        return {tally.stream.name: tally.told(self.order.seconds) for tally in self.tallies}

    def _send_due(self, moment: float, ends_at: float) -> float:
        """Send all requests that are due. Return when the next one is."""
        soonest = ends_at
        for tally in self.tallies:
            if tally.stream.rate is None:
                continue
            while tally.next_due <= moment:
                tally.late.append((now() - tally.next_due) * 1e3)
                self._send(tally)
                tally.next_due += tally.dice.expovariate(tally.stream.rate)
            soonest = min(soonest, tally.next_due)
        return soonest

    def _send(self, tally: _Tally) -> None:
        tally.report.due += 1
        if tally.idle:
            connection = tally.idle.pop()
        elif tally.open < tally.stream.connections:
            connection = _Connection(self.order.port, tally)
            tally.open += 1
            self.pool[connection.socket.fileno()] = connection
            self.poll.register(connection.socket, select.EPOLLIN | select.EPOLLOUT)
        else:
            tally.report.not_sent += 1
            return
        number = connection.socket.fileno()
        connection.unsent, connection.sent_at = tally.request, now()
        self.busy[number] = connection
        self._push(number, connection)

    def _push(self, number: int, connection: _Connection) -> None:
        try:
            is_gone = connection.push()
        except OSError:
            self._lose(connection)
            return
        self.poll.modify(number, select.EPOLLIN | (0 if is_gone else select.EPOLLOUT))

    def _hear(self, wait_s: float) -> None:
        for number, event in self.poll.poll(wait_s):
            connection = self.pool.get(number)
            if connection is None:
                continue
            if event & select.EPOLLOUT and connection.unsent:
                self._push(number, connection)
            if number in self.pool and event & ~select.EPOLLOUT:
                self._pull(number, connection)

    def _pull(self, number: int, connection: _Connection) -> None:
        try:
            status = connection.pull()
        except BlockingIOError:
            return
        except (OSError, EOFError):
            self._lose(connection)
            return
        if status is None:
            return
        tally = connection.tally
        if self.busy.pop(number, None) is not None:
            tally.answered(status, connection.sent_at, now(), self.began, traced=self.order.is_traced)
        tally.idle.append(connection)
        if self.is_over:
            self._close(connection)
        elif tally.stream.rate is None:
            self._send(tally)

    def _lose(self, connection: _Connection) -> None:
        """A connection was lost. A closed loop opens another, but not at once: the server may be refusing them."""
        tally = connection.tally
        if self.busy.get(connection.socket.fileno()) is connection:
            tally.report.unanswered += 1
        self._close(connection)
        if tally.stream.rate is None and not self.is_over:
            time.sleep(_BACK_OFF_S)
            self._send(tally)

    def _close(self, connection: _Connection) -> None:
        number = connection.socket.fileno()
        self.busy.pop(number, None)
        self.pool.pop(number, None)
        if connection in connection.tally.idle:
            connection.tally.idle.remove(connection)
        connection.tally.open -= 1
        self.poll.unregister(number)
        connection.socket.close()

    def _close_idle(self) -> None:
        for tally in self.tallies:
            for connection in list(tally.idle):
                self._close(connection)

    def _give_up_old(self, moment: float) -> None:
        for connection in list(self.busy.values()):
            if moment - connection.sent_at > self.order.patience_s:
                self._lose(connection)


def _allow_many_connections() -> None:
    """Each is an open file, of which the usual limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    _allow_many_connections()
    told = json.load(sys.stdin)
    order = Order(**{**told, "streams": [Stream(**stream) for stream in told["streams"]]})
    if order.seconds > _LONGEST_S or sum(stream.connections for stream in order.streams) > _MOST_CONNECTIONS:
        sys.exit(f"at most {_LONGEST_S:g} s and {_MOST_CONNECTIONS} connections")
    reports = _Run(order).run()
    json.dump({name: asdict(report) for name, report in reports.items()}, sys.stdout)


if __name__ == "__main__":
    main()
