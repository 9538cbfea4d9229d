"""Private PostgreSQL and Redis servers: for chaos, and for tests on a machine where none answers at the usual port."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import redis


def lets_in(url) -> bool:
    """Whether a server answers there and lets us in."""
    try:
        if url.startswith("redis"):
            with redis.Redis.from_url(url, socket_connect_timeout=2) as client:
                client.ping()
        else:
            psycopg.connect(url, connect_timeout=2).close()
    except (redis.RedisError, psycopg.OperationalError):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process in a folder of its own, that can be killed and started again on the same port."""

    def __init__(self) -> None:
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="roundhouse-private-"))
        self.process = None

    def start(self):
        self._spawn()
        give_up_at = time.monotonic() + 20
        while not lets_in(self.url):
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"{self.command()[0]} did not start")
            if self.process.poll() is not None:  # what a killed one left may hold its memory for a moment
                self._spawn()
            time.sleep(0.02)
        return self

    def _spawn(self) -> None:
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)


class PrivateRedis(Server):
    @staticmethod
    def is_installed() -> bool:
        return shutil.which("redis-server") is not None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self):
        return [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]


class PrivatePostgres(Server):
    """A cluster of its own. PostgreSQL refuses to run as root, so root runs it as the distribution's user."""

    @staticmethod
    def binaries() -> Path | None:
        return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

    @classmethod
    def is_installed(cls) -> bool:
        return cls.binaries() is not None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _as_postgres(self, program, *arguments):
        prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        return [*prefix, str(self.binaries() / program), *arguments]

    def start(self):
        cluster = self.folder / "cluster"
        if not cluster.exists():
            if os.geteuid() == 0:
                shutil.chown(self.folder, "postgres")
            subprocess.run(
                self._as_postgres("initdb", "-D", str(cluster), "-U", "postgres", "-A", "trust", "-N"),
                check=True, capture_output=True,
            )  # fmt: skip
        return super().start()

    def command(self):
        return self._as_postgres(
            "postgres", "-D", str(self.folder / "cluster"), "-p", str(self.port), "-k", str(self.folder),
            "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300",
            "-c", "fsync=off", "-c", "full_page_writes=off",  # processes are killed here, machines are not
        )  # fmt: skip

    def kill(self) -> None:
        pid = int((self.folder / "cluster" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 9)
        self.process.wait()


@contextmanager
def a_database(server_url):
    """A new database on that server; gives its address."""
    name = f"tests_{uuid.uuid4().hex[:12]}"
    base, _, _ = server_url.rpartition("/")
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{base}/{name}"
    finally:
        drop_database(server_url, name)


def drop_database(server_url, name):
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
