"""What the engine costs and gains, compared with bare ONNX Runtime on the same machine at the same time.

    python bench/engine_bench.py [alone loop threads resnet latency memory overload beside ...] [--intra-op 1] [--repeats 5]

Ratios are medians over repeats that alternate between the compared settings. Exits with 1 if a mark is missed.
"""

import argparse
import asyncio
import hashlib
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import models  # noqa: E402
from inference.engine.backends import ProbeFact, SessionOptions  # noqa: E402
from inference.engine.batch_runs import BatchConfig  # noqa: E402
from inference.engine.batcher import Batcher  # noqa: E402
from inference.engine.combiner import Priority, QueueLimits  # noqa: E402
from inference.engine.engine import Engine, EnginePlan  # noqa: E402
from inference.engine.errors import Overloaded  # noqa: E402
from inference.engine.fake import FakeModel, FakeSession  # noqa: E402
from inference.engine.latency import CostCurve, FixedPace, Pace, TargetPace  # noqa: E402
from inference.engine.loop import EngineLoop  # noqa: E402
from inference.engine.memory import resident_bytes  # noqa: E402
from inference.engine.onnx_backend import OnnxBackend  # noqa: E402
from inference.engine.pool import LoadOrder  # noqa: E402
from inference.engine.requests import EngineRequest  # noqa: E402
from inference.engine.threads import LowPriority, Runners  # noqa: E402
from inference.tensors.errors import InferenceError  # noqa: E402

now = time.perf_counter
PATIENCE_S = 60.0
missed: list[str] = []


def mark(
    name: str, value: float, unit: str, *, at_least: float | None = None, at_most: float | None = None
) -> None:
    holds = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    wanted = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}"
    print(f"  {'ok    ' if holds else 'MISSED'} {name}: {value:.2f} {unit} (mark {wanted})", flush=True)
    if not holds:
        missed.append(name)


def request_for(
    rows: dict, priority: Priority = Priority.LIVE, within_s: float = PATIENCE_S
) -> EngineRequest:
    return EngineRequest(rows, time.monotonic() + within_s, priority)


def plan_for(path: Path, *, max_batch: int, intra_op: int, soft_limit_s: float = PATIENCE_S) -> EnginePlan:
    backend, options = OnnxBackend(), SessionOptions(intra_op_threads=intra_op)
    fact = ProbeFact(
        hashlib.sha256(path.read_bytes()).hexdigest(),
        backend.runtime_version(),
        "CPUExecutionProvider",
        options.digest,
    )
    return EnginePlan(
        LoadOrder(path, options, fact, max_batch=max_batch),
        max_batch,
        batching=BatchConfig(soft_limit_s=soft_limit_s),
    )


@dataclass
class Loaded:
    """An engine that serves one file, and the bare session inside it."""

    engine: Engine
    columns: tuple[int, ...]

    @classmethod
    def file(cls, path: Path, columns: tuple[int, ...], *, max_batch: int, intra_op: int) -> "Loaded":
        engine = Engine(OnnxBackend(), budget_bytes=8 << 30, loop=EngineLoop.in_thread(uvloop.new_event_loop))
        engine.load("m", plan_for(path, max_batch=max_batch, intra_op=intra_op), timeout_s=PATIENCE_S)
        return cls(engine, columns)

    @property
    def session(self):
        return self.batcher.session._session

    def rows(self, count: int) -> dict:
        return {"x": np.random.default_rng(0).random((count, *self.columns), np.float32)}

    @property
    def batcher(self) -> Batcher:
        return self.engine._published["m"].batcher

    def on_loop(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.engine.loop.asyncio).result()

    def infer(self, rows: dict):
        """From tensors (like session.run) to an answer, for a thread."""
        return self.batcher.infer_from_thread(rows, request_for(rows))

    def bare(self, rows: dict):
        return self.session.run(None, rows)


def threads_rate(count: int, seconds: float, call: Callable, rows: Callable[[], dict]) -> float:
    """Calls per second of `count` threads that each call again as soon as they have an answer."""
    stop, done, ready = threading.Event(), [0] * count, threading.Barrier(count + 1)

    def body(index: int) -> None:
        mine, calls = rows(), 0
        ready.wait()
        while not stop.is_set():
            call(mine)
            calls += 1
        done[index] = calls

    workers = [threading.Thread(target=body, args=(index,)) for index in range(count)]
    for worker in workers:
        worker.start()
    ready.wait()
    began = now()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(done) / (now() - began)


def loop_rate(seconds: float, call: Callable, rows: dict) -> float:
    """Rows per second of one thread that runs whole batches."""
    count, began = 0, now()
    while now() - began < seconds:
        call(rows)
        count += len(rows["x"])
    return count / (now() - began)


def alone(args: argparse.Namespace) -> None:
    """One caller: what the engine adds to session.run."""
    loaded = Loaded.file(models.mlp(), (256,), max_batch=32, intra_op=args.intra_op)
    row = loaded.rows(1)
    p50s: dict[str, list[float]] = {"bare": [], "batcher": [], "engine": [], "thread": []}

    async def measure() -> None:
        spent: dict[str, list[float]] = {"bare": [], "batcher": [], "engine": []}
        for _ in range(2000):
            began = now()
            loaded.bare(row)
            spent["bare"].append(now() - began)
            began = now()
            await loaded.batcher.infer(row, request_for(row))
            spent["batcher"].append(now() - began)
            began = now()
            await loaded.engine.infer("m", request_for(row))
            spent["engine"].append(now() - began)
        for way, values in spent.items():
            p50s[way].append(median(values) * 1e6)

    for _ in range(args.repeats):
        loaded.on_loop(measure())
        spent = []
        for _ in range(2000):
            began = now()
            loaded.infer(row)
            spent.append(now() - began)
        p50s["thread"].append(median(spent) * 1e6)
    print("  p50 in µs: " + ", ".join(f"{way} {median(values):.1f}" for way, values in p50s.items()))
    added = {
        way: median(mine - bare for mine, bare in zip(p50s[way], p50s["bare"], strict=True))
        for way in ("batcher", "engine", "thread")
    }
    print(f"  including the check of the caller's input, {added['engine']:.1f} µs are added on the loop")
    print(f"  for a thread, which wakes up on another core, {added['thread']:.1f} µs")
    mark("from tensors to answer the engine adds on the loop at p50", added["batcher"], "µs", at_most=20)


def tasks_rate(loaded: Loaded, count: int, seconds: float) -> float:
    """Calls per second of `count` tasks on the loop that each call again as soon as they have an answer."""
    row, done = loaded.rows(1), 0

    async def body(ends_at: float) -> None:
        nonlocal done
        while now() < ends_at:
            await loaded.batcher.infer(row, request_for(row))
            done += 1

    async def all_of_them() -> float:
        began = now()
        await asyncio.gather(*(body(began + seconds) for _ in range(count)))
        return done / (now() - began)

    return loaded.on_loop(all_of_them())


def throughput(
    loaded: Loaded, args: argparse.Namespace, *, batch: int, seconds: float, rate: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Rows per second of the best bare loop and of the engine, alternating."""
    loops, engine = [], []
    for _ in range(args.repeats):
        loops.append(loop_rate(seconds, loaded.bare, loaded.rows(batch)))
        engine.append(rate())
    stats = loaded.engine.stats()["m"]
    print(
        f"  rows/s: best loop {median(loops):,.0f}, engine {median(engine):,.0f}"
        f" in batches of {stats.rows / stats.batches:.1f}"
    )
    return loops, engine


def ratio(mine: list[float], theirs: list[float]) -> float:
    return median(a / b for a, b in zip(mine, theirs, strict=True))


def loop(args: argparse.Namespace) -> None:
    """32 tasks of the loop with single rows, against one loop that runs batches of 32."""
    loaded = Loaded.file(models.mlp(), (256,), max_batch=32, intra_op=args.intra_op)
    loops, engine = throughput(loaded, args, batch=32, seconds=1.5, rate=lambda: tasks_rate(loaded, 32, 1.5))
    mark("engine on the loop against the best loop", ratio(engine, loops), "x", at_least=0.7)


def threads(args: argparse.Namespace) -> None:
    """32 threads of single rows, against one thread that runs batches of 32."""
    loaded = Loaded.file(models.mlp(), (256,), max_batch=32, intra_op=args.intra_op)

    def rate() -> float:
        return threads_rate(32, 1.5, loaded.infer, lambda: loaded.rows(1))

    loops, engine = throughput(loaded, args, batch=32, seconds=1.5, rate=rate)
    mark("engine for threads against the best loop", ratio(engine, loops), "x", at_least=0.5)


def resnet(args: argparse.Namespace) -> None:
    """ResNet-50: 16 tasks of single images against bare batches of 8."""
    loaded = Loaded.file(models.resnet50(), (3, 224, 224), max_batch=8, intra_op=2)
    loops, engine = throughput(loaded, args, batch=8, seconds=6.0, rate=lambda: tasks_rate(loaded, 16, 6.0))
    mark("engine against bare batches of 8", ratio(engine, loops), "x", at_least=0.95)


@dataclass
class Arrivals:
    """Requests that arrive at planned times, whether or not earlier ones have been answered."""

    times: list[float]
    workers: int = 128
    latencies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    failures: int = 0

    def run(self, call: Callable[[], object]) -> float:
        """Play the arrivals; return the seconds it took. Latency counts from the planned arrival."""
        cursor, began = iter(self.times), now() + 0.05
        lock = threading.Lock()

        def body() -> None:
            while True:
                with lock:
                    planned = next(cursor, None)
                if planned is None:
                    return
                time.sleep(max(0.0, began + planned - now()))
                called = now()
                try:
                    call()
                except Overloaded:
                    self.refusals.append(now() - called)
                except InferenceError:
                    self.failures += 1
                else:
                    self.latencies.append(now() - began - planned)

        workers = [threading.Thread(target=body) for _ in range(self.workers)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return now() - began

    def p99(self) -> float:
        return sorted(self.latencies)[int(0.99 * len(self.latencies))]


LOOP, RUNNERS = EngineLoop.in_thread(uvloop.new_event_loop), Runners("bench-run")


def a_batcher(session: FakeSession, config: BatchConfig, **more) -> Batcher:
    return Batcher(session, config, loop=LOOP, runners=RUNNERS, **more)


def costly(per_batch_s: float, per_row_s: float) -> FakeSession:
    return FakeSession(FakeModel(cost_s=lambda rows: per_batch_s + per_row_s * rows, spend=time.sleep))


LADDER = (1, 2, 4, 8, 16, 32)
TARGET_S = 0.040


def load_of(kind: str, seconds: float) -> list[float]:
    """Steady 700 a second; bursts of 24, 600 a second; a ramp from 100 to 1,000 a second; `closed` is 24 callers."""
    if kind == "steady":
        return [index / 700 for index in range(int(700 * seconds))]
    if kind == "bursty":
        return [index // 24 * 0.04 for index in range(int(600 * seconds))]
    times, at = [], 0.0
    while at < seconds:
        times.append(at)
        at += 1 / (100 + 900 * at / seconds)
    return times


def latency(args: argparse.Namespace) -> None:
    """A target of 40 ms over a fake of 3 ms a batch and 0.6 ms a row, against the best fixed setting that holds it."""
    curve = {rows: 0.003 + 0.0006 * rows for rows in LADDER}
    row = {"x": np.ones((1, 4), np.float32)}

    def play(kind: str, pace: Pace, seconds: float) -> tuple[float, float]:
        """The p99, and the answers per second that were in time."""
        batcher = a_batcher(
            costly(0.003, 0.0006), BatchConfig(merges=True), pace=pace, curve=getattr(pace, "curve", None)
        )
        arrivals = Arrivals([])

        def call(_: dict) -> None:
            began = now()
            batcher.infer_from_thread(row, request_for(row, within_s=5))
            arrivals.latencies.append(now() - began)

        if kind == "closed":
            threads_rate(24, seconds, call, lambda: row)
        else:
            arrivals = Arrivals(load_of(kind, seconds))
            seconds = arrivals.run(lambda: batcher.infer_from_thread(row, request_for(row, within_s=5)))
        in_time = sum(latency_s <= TARGET_S for latency_s in arrivals.latencies)
        return arrivals.p99(), in_time / seconds

    for kind in ("steady", "bursty", "ramping", "closed"):
        sweep = {}
        for size in LADDER:
            for wait_s in (0.0, 0.005):
                sweep[size, wait_s] = play(kind, FixedPace(size, wait_s), 2.0)
        holding = [setting for setting, (p99, _) in sweep.items() if p99 <= TARGET_S]
        best = max(holding or sweep, key=lambda setting: sweep[setting][1])
        ours, theirs = [], []
        for _ in range(args.repeats):
            ours.append(play(kind, TargetPace(TARGET_S, CostCurve(curve)), 3.0))
            theirs.append(play(kind, FixedPace(*best), 3.0))
        print(
            f"  {kind}: best fixed {best[0]} rows, wait {best[1] * 1e3:g} ms:"
            f" p99 {median(p for p, _ in theirs) * 1e3:.1f} ms, {median(r for _, r in theirs):.0f}/s in time;"
            f" target: p99 {median(p for p, _ in ours) * 1e3:.1f} ms, {median(r for _, r in ours):.0f}/s in time"
        )
        mark(
            f"{kind}: p99 under a target of {TARGET_S * 1e3:g} ms",
            median(p for p, _ in ours) * 1e3,
            "ms",
            at_most=TARGET_S * 1e3,
        )
        mark(
            f"{kind}: against the best fixed",
            ratio([r for _, r in ours], [r for _, r in theirs]),
            "x",
            at_least=0.9,
        )


def memory(args: argparse.Namespace) -> None:
    """A million requests: does memory grow?"""
    batcher = a_batcher(FakeSession(FakeModel()), BatchConfig(merges=True))
    batcher.session.runs = Forgetful()
    row = {"x": np.ones((1, 4), np.float32)}

    def requests(count: int) -> None:
        for _ in range(count):
            batcher.infer_from_thread(row, request_for(row))

    def spread(count: int) -> None:
        workers = [threading.Thread(target=requests, args=(count // 8,)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    spread(100_000)
    before = resident_bytes()
    spread(1_000_000)
    grown = (resident_bytes() - before) / 10 / (1 << 20)
    mark("growth for 100,000 requests", grown, "MiB", at_most=1.0)


class Forgetful(list):
    """Replaces the fake's list of runs, so that it does not grow."""

    def append(self, item) -> None:
        pass


def overload(args: argparse.Namespace) -> None:
    """20 ms a batch of at most 4 rows, with ten times as many requests as it can answer."""
    row = {"x": np.ones((1, 4), np.float32)}
    shares, refusals, grown = [], [], []
    for _ in range(args.repeats):
        batcher = a_batcher(
            costly(0.020, 0.0),
            BatchConfig(limits=QueueLimits(max_waiting_rows=16), merges=True),
            pace=FixedPace(4),
        )

        def call() -> None:
            batcher.infer_from_thread(row, request_for(row, within_s=1.0))  # noqa: B023 - called in this turn only

        peak = threads_rate(16, 2.0, lambda _: call(), lambda: row)
        before = resident_bytes()
        arrivals = Arrivals([index / (10 * peak) for index in range(int(10 * peak * 3))], workers=64)
        spent = arrivals.run(call)
        grown.append((resident_bytes() - before) / (1 << 20))
        shares.append(len(arrivals.latencies) / spent / peak)
        refusals.append(sorted(arrivals.refusals)[int(0.99 * len(arrivals.refusals))] * 1e3)
    print(
        f"  peak {peak:.0f} rows/s; refused at p99 in {median(refusals):.2f} ms; memory {median(grown):+.1f} MiB"
    )
    mark("goodput against peak", median(shares), "x", at_least=0.9)
    mark("a refusal at p99", median(refusals), "ms", at_most=10)
    mark("memory", median(grown), "MiB", at_most=8)


def beside(args: argparse.Namespace) -> None:
    """A tiny model's p99 beside an endless loop, a slow product of matrices and a job, against its p99 alone."""
    engine = Engine(
        OnnxBackend(),
        budget_bytes=8 << 30,
        on_bulk_thread=LowPriority().enter,
        loop=EngineLoop.in_thread(uvloop.new_event_loop),
    )
    for name, path, batch in (
        ("tiny", models.tiny(), 32),
        ("spinning", models.spinning(), 1),
        ("slow", models.mlp(), 32),
    ):
        engine.load(name, plan_for(path, max_batch=batch, intra_op=1, soft_limit_s=2.0), timeout_s=PATIENCE_S)
    row = {"x": np.ones((1, 4), np.float32)}
    endless = {"x": np.full((1, 4), 1e15, np.float32)}
    wide = {"x": np.random.default_rng(0).random((256, 256), np.float32)}

    async def p99_s(seconds: float) -> float:
        spent, ends_at = [], now() + seconds
        while now() < ends_at:
            began = now()
            await engine.infer("tiny", request_for(row))
            spent.append(now() - began)
            await asyncio.sleep(0.002)
        return sorted(spent)[int(0.99 * len(spent))]

    def measured() -> float:
        return asyncio.run_coroutine_threadsafe(p99_s(2.0), engine.loop.asyncio).result()

    def ask_on(name: str, rows: dict, priority: Priority, over: threading.Event) -> threading.Thread:
        def body() -> None:
            if priority is Priority.BULK:
                LowPriority().enter()  # as threads of jobs do
            while not over.is_set():
                with suppress(InferenceError):
                    engine.infer_from_thread(name, request_for(rows, priority, within_s=2.0))

        thread = threading.Thread(target=body)
        thread.start()
        return thread

    neighbours = {
        "an endless loop": ("spinning", endless, Priority.LIVE, 2.0),
        "a slow product": ("slow", wide, Priority.LIVE, 2.0),
        "a job": ("slow", wide, Priority.BULK, 1.1),
    }
    for what, (name, rows, priority, most) in neighbours.items():
        ratios = []
        for _ in range(args.repeats):
            alone_s, over = measured(), threading.Event()
            asking = ask_on(name, rows, priority, over)
            ratios.append(measured() / alone_s)
            over.set()
            asking.join()
        mark(f"tiny's p99 beside {what}", median(ratios), "x its p99 alone", at_most=most)


ROWS = {
    "alone": alone,
    "loop": loop,
    "threads": threads,
    "resnet": resnet,
    "latency": latency,
    "memory": memory,
    "overload": overload,
    "beside": beside,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="row", help=", ".join(ROWS))
    parser.add_argument("--intra-op", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for name in args.rows or ROWS:
        print(f"{name}: {ROWS[name].__doc__}", flush=True)
        ROWS[name](args)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
