"""A Roundhouse of its own for jobs: its database, its broker, its workers as processes that can be killed."""

import atexit
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import psycopg

from tests.support import onnx_models
from tests.support.ledger_checker import Chunk, Job, problems, read_client_log, read_worker_logs
from tests.support.processes import ROOT, clean_environment, wait_until

HERE = Path(__file__).parent
LEASE_S = 3
DEATH = 666_000.0  # a first value that kills the worker, where it was told to


class Installation:
    """`variables` are ROUNDHOUSE_ settings. Everything that was started is ended with it."""

    def __init__(self, folder: Path, **variables):
        self.folder = folder
        self.variables = {
            "DATA": folder / "data", "JOB_LEASE_S": LEASE_S, "JOB_OPEN": 1_000_000, "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug", "GRPC_PORT": 0, **variables,
        }  # fmt: skip
        self.workers: list[subprocess.Popen] = []
        self._replaced: set[int] = set()
        self.client_logs: list[Path] = []
        self._clients: list[subprocess.Popen] = []

    def prepare(self):
        """Bring what `make_database` makes; where it is files, they are made once and copied."""
        if "DATABASE_URL" in self.variables:
            self.make_database()
        else:
            shutil.copytree(_prepared_data(), self.variables["DATA"])

    def make_database(self, factors=(2.0,)):
        """Tables, a key, and a Model whose versions multiply by these; the first one is live."""
        files = [
            onnx_models.scaled(self.folder / f"times-{factor:g}.onnx", factor, columns=1) for factor in factors
        ]  # fmt: skip
        self.key = self._said_by("prepare_child.py", *map(str, files))

    def start_worker(self, *changes):
        """`changes` take a guard away, or make a row deadly; see worker_child."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        with log.open("wb") as sink:
            worker = self._python("worker_child.py", *changes, stdout=sink, stderr=sink)
        self.workers.append(worker)
        return worker

    def log_of(self, worker) -> Path:
        return self.folder / f"worker-{self.workers.index(worker)}.log"

    def output_of(self, worker) -> str:
        return self.log_of(worker).read_text(errors="replace")

    def wait_for_worker(self, worker):
        wait_until(lambda: "jobs are taken" in self.output_of(worker), within_s=120, what="a worker")
        return worker

    def start_client(self, jobs, *, rows=1, deaths=0, kind="prediction"):
        log = self.folder / f"client-{len(self.client_logs)}.log"
        log.touch()
        self.client_logs.append(log)
        self._clients.append(
            self._python("client_child.py", str(log), str(jobs), str(rows), str(deaths), kind)
        )
        return self._clients[-1]

    def sent(self):
        return {job: sent for log in self.client_logs for job, sent in read_client_log(log).items()}

    def jobs(self) -> list[Job]:
        """The ledger as its table has it."""
        told = self._said_by("ledger_child.py")
        jobs = [Job(**row) for row in json.loads(told)]
        for job in jobs:
            job.chunks = [Chunk(**chunk) for chunk in job.chunks]
        return jobs

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state; none where the database is away."""
        try:
            return dict(self._query("SELECT status, count(*) FROM inference_job GROUP BY status"))
        except (psycopg.Error, sqlite3.Error):
            return {}

    def _query(self, sql):
        if url := self.variables.get("DATABASE_URL"):
            with psycopg.connect(url, connect_timeout=5) as database:
                return database.execute(sql).fetchall()
        with closing(sqlite3.connect(self.variables["DATA"] / "roundhouse.sqlite3", timeout=20)) as database:
            return database.execute(sql).fetchall()

    def wait_for_client(self, client, *, within_s, tend=lambda: None):
        """Until it has sent everything; `tend` is called at each look."""

        def has_sent():
            tend()
            return client.poll() is not None

        wait_until(has_sent, within_s=within_s, what="the client's end")
        assert client.returncode == 0

    def wait_until_over(self, jobs, *, within_s, tend=lambda: None):
        """Until so many jobs have ended; `tend` is called at each look."""

        def is_over():
            tend()
            counts = self.counts()
            return sum(counts.get(status, 0) for status in ("done", "failed", "cancelled")) >= jobs

        wait_until(is_over, within_s=within_s, what=f"the end of {jobs} jobs")

    def revive(self, *changes) -> int:
        """Start a new worker for each that has died; say how many had."""
        dead = [place for place, worker in enumerate(self.workers) if worker.poll() is not None]
        new = [place for place in dead if place not in self._replaced]
        self._replaced.update(new)
        for _ in new:
            self.start_worker(*changes)
        return len(new)

    def logs(self) -> list[Path]:
        return sorted(self.folder.glob("worker-*.log"))

    def problems(self, *, dead_jobs=frozenset()) -> list[str]:
        return problems(self.sent(), self.jobs(), read_worker_logs(self.logs()), dead_jobs=dead_jobs)

    def said(self, event) -> list[dict]:
        lines = read_worker_logs(self.logs())
        return [line for line in lines if line["event"] == event]

    def end(self):
        for process in (*self._clients, *self.workers):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()

    def _said_by(self, name, *arguments) -> str:
        """What one of the children says, when it has ended as it should."""
        child = self._python(name, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said, complaint = child.communicate(timeout=300)
        assert child.returncode == 0, complaint
        return said

    def _python(self, name, *arguments, **options):
        return subprocess.Popen(
            [sys.executable, HERE / name, *arguments], env=self._environ(), cwd=ROOT, **options
        )

    def _environ(self):
        environ = clean_environment(**self.variables)
        environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
        environ["DJANGO_SETTINGS_MODULE"] = "roundhouse.settings"
        return environ


@cache
def _prepared_data() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="roundhouse-prepared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Installation(folder)
    made.make_database()
    return made.variables["DATA"]


@contextmanager
def installed(folder, **variables):
    made = Installation(folder, **variables)
    try:
        made.prepare()
        yield made
    finally:
        made.end()


class Killer:
    """Kills a worker that works, by dice, whenever so many more chunks were taken; pytest shows the dice's seed."""

    def __init__(self, installation, kills, *, after_chunks, seed, changes=()):
        self._installation, self._left, self._changes = installation, kills, changes
        self._dice = random.Random(seed)
        self._after_chunks = after_chunks
        self._taken: dict[int, _Count] = {}  # by the worker's process id
        self._due_at = self._dice.randint(*after_chunks)

    def tend(self):
        self._installation.revive(*self._changes)
        if not self._left:
            return
        taken = {worker.pid: self._chunks_of(worker) for worker in self._installation.workers}
        if sum(taken.values()) >= self._due_at:
            busy = [one for one in self._installation.workers if one.poll() is None and taken[one.pid]]
            if busy:
                self._dice.choice(busy).kill()
                self._left -= 1
                self._due_at = sum(taken.values()) + self._dice.randint(*self._after_chunks)

    def _chunks_of(self, worker) -> int:
        if worker.pid not in self._taken:
            self._taken[worker.pid] = _Count(self._installation.log_of(worker), b'"chunk taken"')
        return self._taken[worker.pid].so_far()

    @property
    def is_done(self):
        return self._left == 0


class _Count:
    """How often a file that grows has these words; each part of it is read once."""

    def __init__(self, path, words):
        self._path, self._words = path, words
        self._count, self._read_to = 0, 0

    def so_far(self) -> int:
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            whole_lines = file.read().rpartition(b"\n")[0]
        self._read_to += len(whole_lines)
        self._count += whole_lines.count(self._words)
        return self._count
