"""A large file as a job: how fast against the bare engine, in how much memory, past a kill, and beside live traffic.

`python -m bench.jobs [rows]`: a million rows unless told otherwise, ten of them bad; about twelve minutes.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

from bench import models
from bench.serving.generator import Order, Report, Stream, generate
from bench.serving.installation import Installation
from bench.serving.overload import wire_bytes
from bench.serving.workloads import tiny
from tests.support.processes import ROOT, clean_environment, family_of, wait_until

BATCH, COLUMNS, BAD = 64, 10, 10
BLOCKS, BLOCK_S = 10, 6.0
LIVE_SHARE = 0.3
CONNECTIONS = 32


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-jobs-") as folder:
        house = House(Path(folder))
        bare = bare_rate(house.model)
        print(f"bare engine, batches of {BATCH}: {bare:,.0f} rows/s, {1e6 / bare:.0f} us a row", flush=True)
        with house.served():
            house.measure_file(rows, bare)
            house.measure_live()


def heavy() -> Path:
    """A good 100 us a row on one core: 10 -> 3,400 -> 3,400 -> 1."""
    graph = models.Graph()
    x = graph.relu(graph.dense("x", COLUMNS, 3_400))
    graph.dense(graph.relu(graph.dense(x, 3_400, 3_400)), 3_400, 1)
    return graph.save(models.FOLDER / "jobs-heavy.onnx", [COLUMNS], 1)


def bare_rate(path: Path, seconds: float = 8.0) -> float:
    """Rows a second of the same batches with nothing around them, in one thread as the engine runs them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    batch = np.random.default_rng(7).random((BATCH, COLUMNS)).astype(np.float32)
    for _ in range(20):
        session.run(None, {"x": batch})
    started, rows = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        session.run(None, {"x": batch})
        rows += BATCH
    return rows / (time.perf_counter() - started)


class House:
    """A served Roundhouse in the embedded profile, with a Model for jobs and one for live traffic."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = heavy()
        self._installation = Installation(folder, {"GRPC_PORT": "0"})
        self._installation.import_model("heavy", self.model)
        self._installation.import_model(tiny().name, tiny().path)
        self._key = self._installation.issue_key()
        self._pid = 0
        self._port = 0

    @contextmanager
    def served(self) -> Iterator[None]:
        with self._installation.served() as (url, pid), self._asking() as self._asker:
            self._pid, self._port = pid, int(url.rpartition(":")[2])
            wait_until(self.worker, within_s=60, what="a worker")
            yield

    def worker(self) -> int | None:
        return next(
            (
                pid
                for pid, command in family_of(self._pid).items()
                if "celery" in command and " worker " in command
            ),
            None,
        )

    def measure_file(self, rows: int, bare: float) -> None:
        """One kill -9 in the middle; the job's own clock, from its first chunk to its last."""
        self.ask("send", 2_000)  # the version is in memory before anything is measured
        wait_until(lambda: self.ask("tell")["status"] == "done", within_s=60, what="the first job")
        watch = Memory(self.worker)
        watch.start()
        self.ask("send", rows)
        job = self._wait_for(lambda job: job["fraction"] > 0.5)
        os.kill(self.worker() or 0, signal.SIGKILL)
        job = self._wait_for(lambda job: job["status"] in {"done", "failed"})
        watch.stop()
        rate = rows / job["seconds"]
        print(
            f"{rows:,} rows of CSV, one kill -9: {job['status']}, {job['rows_done']:,} results + {job['rows_bad']} errors "
            f"in {job['seconds']:.0f} s: {rate:,.0f} rows/s, {rate / bare:.2f} x the bare engine; "
            f"{job['lines']:,} lines of results, {job['lost']} leases lost\n"
            f"worker's memory: grew by {watch.growth_mib:.0f} MiB from {watch.before_mib:.0f} MiB",
            flush=True,
        )

    def measure_live(self) -> None:
        """Blocks without a job, without once more, and beside one, in turns: the first two show the noise."""
        peak = self._live(None, BLOCK_S).ok / BLOCK_S
        rate = LIVE_SHARE * peak
        print(f"live peak {peak:,.0f}/s; blocks of {BLOCK_S:.0f} s at {rate:,.0f}/s", flush=True)
        without, again, beside = [], [], []
        for _ in range(BLOCKS):
            without.append(self._p99(rate))
            again.append(self._p99(rate))
            with self._job_at_work():
                beside.append(self._p99(rate))
        off = median([*without, *again])
        print(
            f"live p99 without a job: {off:.2f} ms (blocks {_shown(without)} and {_shown(again)}); "
            f"A/A spread {abs(median(without) - median(again)) / off:.0%}\n"
            f"live p99 beside a job:  {median(beside):.2f} ms (blocks {_shown(beside)}): {median(beside) / off - 1:+.0%}"
        )

    @contextmanager
    def _job_at_work(self) -> Iterator[None]:
        self.ask("send", 100_000)
        wait_until(lambda: self.ask("tell")["rows_done"] > 0, within_s=60, what="a job at work")
        yield
        self.ask("cancel")
        time.sleep(2.0)  # the chunks that ran come to their end

    def _p99(self, rate: float) -> float:
        return self._live(rate, BLOCK_S).ok_ms[1]

    def ask(self, verb: str, rows: int = 0) -> Any:
        """Have a process of the installation send, tell of or cancel jobs."""
        told, heard = self._asker.stdin, self._asker.stdout
        assert told is not None and heard is not None
        print(verb, rows, file=told, flush=True)
        return json.loads(heard.readline())

    @contextmanager
    def _asking(self) -> Iterator[subprocess.Popen[str]]:
        """One process for all questions: its start takes a core for seconds."""
        environ = clean_environment(DATA=self.folder / "data", GRPC_PORT=0)
        environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
        environ["DJANGO_SETTINGS_MODULE"] = "roundhouse.settings"
        command = [sys.executable, "-m", "bench.jobs_asking"]
        with subprocess.Popen(
            command, env=environ, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield process

    def _wait_for(self, holds: Any) -> Mapping[str, Any]:
        while not holds(job := self.ask("tell")):
            time.sleep(1.0)
        return job

    def _live(self, rate: float | None, seconds: float) -> Report:
        stream = Stream("live", wire_bytes(self._key), CONNECTIONS, rate)
        return generate(Order(self._port, seconds, [stream]))["live"]


class Memory(threading.Thread):
    """Looks at a worker's memory ten times a second, whichever process it is at the time."""

    def __init__(self, worker: Any) -> None:
        super().__init__(daemon=True)
        self._worker = worker
        self._over = threading.Event()
        self._pid = worker()
        self.before_mib = self._now()
        self._most = self.before_mib

    @property
    def growth_mib(self) -> float:
        return self._most - self.before_mib

    def run(self) -> None:
        while not self._over.wait(0.1):
            self._most = max(self._most, self._now())

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _now(self) -> float:
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
            return int(status.partition("VmRSS:")[2].split()[0]) / 1024
        except (OSError, IndexError):  # it was killed
            self._pid = self._worker()
            return 0.0


def _shown(values: list[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
