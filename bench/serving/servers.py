"""The servers that are compared, and their rows in the table."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol as Seam

import orjson

from bench.serving import h2load, peers, wire, wrk
from bench.serving.installation import PROCESSES, Installation
from bench.serving.processes import NotServing, started
from bench.serving.wire import GRPC, NATIVE, OIP_BINARY, OIP_JSON, PLAIN, THROUGH_VIEW, Protocol, Request
from bench.serving.workloads import Workload
from tests.support.private import PrivateRedis
from tests.support.processes import ROOT, free_port, wait_until

ROUNDHOUSE, VIEW = "roundhouse", "roundhouse, DRF view"
THROUGH_WORKERS = "through Celery + Redis"
OIP_JSON_ROW, OIP_BINARY_ROW = "roundhouse, OIP JSON", "roundhouse, OIP binary"
GRPC_ROW = "roundhouse, gRPC"
BARE, MOSEC, LITSERVE, MLSERVER = "bare RSGI", "mosec", "LitServe", "MLServer"
PEERS = (MOSEC, LITSERVE, MLSERVER)

USUAL_CONNECTIONS, MANY_CONNECTIONS = (1, 32), (256, 1000)

_MLPS = frozenset({"tiny", "wide"})


@dataclass(frozen=True)
class Target:
    """One row of the table: a protocol at a server."""

    name: str
    protocol: Protocol
    workloads: frozenset[str] = _MLPS
    headers: Mapping[str, str] = field(default_factory=dict)
    connections: tuple[int, ...] = USUAL_CONNECTIONS
    load: Callable[..., wrk.Sample] = wrk.run
    port: int | None = None  # if the protocol has one of its own

    def address(self, url: str) -> str:
        return url if self.port is None else f"http://127.0.0.1:{self.port}"

    def request(self, workload: Workload) -> Request:
        plain = self.protocol.request(workload.name, workload.row)
        return replace(plain, headers={**plain.headers, **self.headers})

    def check(self, url: str, workload: Workload) -> None:
        """Send one request. Raise WrongAnswer unless the numbers are the model's."""
        status, headers, body = self.protocol.ask(self.address(url), self.request(workload))
        if status != 200:
            raise wire.WrongAnswer(f"status {status}, {_first_line(body)}")
        wire.check(workload.expected, self.protocol.output(headers, body))


def _first_line(body: bytes) -> str:
    return " ".join(body[:120].decode(errors="replace").split())


class Server(Seam):
    @property
    def targets(self) -> list[Target]: ...

    def running(self, workload: Workload) -> AbstractContextManager[str]:
        """Serve this workload. Yield the address once it answers."""


class Roundhouse:
    """`manage.py serve` as people run it."""

    def __init__(self, installation: Installation, key: str) -> None:
        self._installation = installation
        self._grpc_port = free_port()
        # In lower case, as gRPC requires.
        target = partial(Target, headers={"authorization": f"Bearer {key}"})
        everything = _MLPS | {"image"}
        self.targets = [
            target(ROUNDHOUSE, NATIVE, connections=USUAL_CONNECTIONS + MANY_CONNECTIONS),
            target(VIEW, THROUGH_VIEW),
            target(OIP_JSON_ROW, OIP_JSON, everything),
            target(OIP_BINARY_ROW, OIP_BINARY, everything),
            target(GRPC_ROW, GRPC, load=h2load.run, port=self._grpc_port),
        ]

    @contextmanager
    def running(self, workload: Workload) -> Iterator[str]:
        with self._installation.served(GRPC_PORT=str(self._grpc_port)) as (url, _):
            yield url


class RoundhouseWithWorkers:
    """`manage.py serve`, but its web processes hold no session: its worker runs their requests."""

    def __init__(self, installation: Installation, key: str) -> None:
        self._installation = installation
        self.targets = [Target(THROUGH_WORKERS, NATIVE, headers={"Authorization": f"Bearer {key}"})]

    @contextmanager
    def running(self, workload: Workload) -> Iterator[str]:
        if not PrivateRedis.is_installed():
            raise NotServing("redis-server is not installed")
        redis = PrivateRedis().start()
        try:
            with self._installation.served(EXECUTOR="workers", REDIS_URL=redis.url) as (url, _):
                request = self.targets[0].request(workload)
                wait_until(lambda: wire.post(url, request)[0] == 200, within_s=30, what="a worker's answer")
                yield url
        finally:
            redis.stop()


@dataclass
class Simple:
    """A server for one file, named by BENCH_MODEL."""

    target: Target
    folder: Path

    @property
    def targets(self) -> list[Target]:
        return [self.target]

    @contextmanager
    def running(self, workload: Workload) -> Iterator[str]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environ = {"BENCH_MODEL": str(workload.path), "TMPDIR": str(self.folder), **self.environ()}
        with started(
            self.command(port, workload),
            folder=self.folder,
            is_ready=lambda: self._answers(url, workload),
            environ=environ,
            cwd=self.cwd(),
        ):
            yield url

    def command(self, port: int, workload: Workload) -> list[str | Path]:
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        return {}

    def cwd(self) -> Path:
        return self.folder

    def _answers(self, url: str, workload: Workload) -> bool:
        try:
            return wire.post(url, self.target.request(workload))[0] == 200
        except OSError:
            return False


class Bare(Simple):
    def command(self, port: int, workload: Workload) -> list[str | Path]:
        # The server and the flags of platform/roundhouse/command_lines.py.
        return [
            sys.executable, "-m", "roundhouse.granian_server", "--interface", "rsgi", "--loop", "uvloop",
            "--task-impl", "asyncio", "--host", "127.0.0.1", "--port", str(port), "--workers", str(PROCESSES),
            "--backpressure", "16384", "--backlog", "4096", "--respawn-failed-workers", "--no-ws", "--http", "1",
            "--log-level", "error", "bench.serving.bare_rsgi:application",
        ]  # fmt: skip

    def environ(self) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)])}

    def cwd(self) -> Path:
        return ROOT


class Mosec(Simple):
    def command(self, port: int, workload: Workload) -> list[str | Path]:
        server = peers.SERVERS / "mosec_server.py"
        address = ["--address", "127.0.0.1", "--port", str(port), "--log-level", "error"]
        return [peers.python_of("mosec"), server, *address]


class LitServe(Simple):
    def command(self, port: int, workload: Workload) -> list[str | Path]:
        return [peers.python_of("litserve"), peers.SERVERS / "litserve_server.py", str(port)]


class MlServer(Simple):
    """One worker, its default."""

    def command(self, port: int, workload: Workload) -> list[str | Path]:
        home = self.folder / "mlserver"
        home.mkdir(exist_ok=True)
        (home / "settings.json").write_bytes(orjson.dumps({
            "debug": False, "host": "127.0.0.1", "http_port": port, "grpc_port": free_port(),
            "metrics_port": free_port(), "parallel_workers": 1,
        }))  # fmt: skip
        (home / "model-settings.json").write_bytes(orjson.dumps({
            "name": workload.name, "implementation": "mlserver_runtime.OnnxModel",
            "max_batch_size": 64, "max_batch_time": 0.001, "parameters": {"uri": str(workload.path)},
        }))  # fmt: skip
        start = (
            "import sys; sys.argv = ['mlserver', 'start', sys.argv[1]]; from mlserver.cli import main; main()"
        )
        return [peers.python_of("mlserver"), "-c", start, home]

    def environ(self) -> dict[str, str]:
        return {"PYTHONPATH": str(peers.SERVERS)}


def simple_ones(folder: Path) -> list[Simple]:
    return [
        Bare(Target(BARE, PLAIN), folder),
        Mosec(Target(MOSEC, PLAIN), folder),
        LitServe(Target(LITSERVE, PLAIN), folder),
        MlServer(Target(MLSERVER, OIP_JSON), folder),
    ]
