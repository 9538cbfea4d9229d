"""What the engine costs and gains, against bare ONNX Runtime on the same machine in the same minutes.

    python bench/engine_bench.py [alone threads resnet latency memory overload shape ...] [--intra-op 1] [--repeats 5]

Ratios are medians over repeats in which the compared settings take turns. Exits with 1 if a mark is missed.
"""

import argparse
import hashlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import models  # noqa: E402
from inference.engine.backends import SessionOptions  # noqa: E402
from inference.engine.batcher import BatchConfig, Batcher, _Call  # noqa: E402
from inference.engine.combiner import Limits, Priority  # noqa: E402
from inference.engine.engine import Engine, Plan  # noqa: E402
from inference.engine.errors import EngineError, Overloaded  # noqa: E402
from inference.engine.fake import FakeModel, FakeSession  # noqa: E402
from inference.engine.latency import FixedPace, Pace, TargetPace  # noqa: E402
from inference.engine.leases import LoadOrder  # noqa: E402
from inference.engine.memory import resident_bytes  # noqa: E402
from inference.engine.onnx_backend import OnnxBackend  # noqa: E402
from inference.engine.probed import ProbeFact  # noqa: E402

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


@dataclass
class Loaded:
    """An engine that serves one file, and the bare session inside it."""

    engine: Engine
    columns: tuple[int, ...]

    @classmethod
    def file(
        cls, path: Path, columns: tuple[int, ...], *, max_batch: int, intra_op: int, **batching
    ) -> "Loaded":
        backend, options = OnnxBackend(), SessionOptions(intra_op_threads=intra_op)
        fact = ProbeFact(
            hashlib.sha256(path.read_bytes()).hexdigest(),
            backend.runtime_version(),
            "CPUExecutionProvider",
            options.digest,
        )
        engine = Engine(backend, budget_bytes=8 << 30)
        plan = Plan(LoadOrder(path, options, fact, max_batch=max_batch), max_batch, BatchConfig(**batching))
        engine.load("m", plan, timeout_s=PATIENCE_S)
        return cls(engine, columns)

    @property
    def session(self):
        return self.batcher.session._session

    def rows(self, count: int) -> dict:
        return {"x": np.random.default_rng(0).random((count, *self.columns), np.float32)}

    @property
    def batcher(self) -> Batcher:
        return self.engine._published["m"].batcher

    def answer(self, rows: dict):
        """From what a caller sent to an answer."""
        return self.engine.infer("m", rows, deadline=time.monotonic() + PATIENCE_S)

    def infer(self, rows: dict):
        """From tensors, which session.run starts from too, to an answer."""
        return self.batcher.infer(rows, deadline=time.monotonic() + PATIENCE_S)

    def bare(self, rows: dict):
        return self.session.run(None, rows)


def threads_rate(count: int, seconds: float, call: Callable, rows: Callable[[], dict]) -> float:
    """Calls per second of so many threads that call again as soon as they are answered."""
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
    ways = {
        "bare": loaded.bare,
        "batcher": loaded.infer,
        "engine": loaded.answer,
    }
    p50s: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(args.repeats):
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(2000):
            for way, call in ways.items():
                began = now()
                call(row)
                spent[way].append(now() - began)
        for way in ways:
            p50s[way].append(median(spent[way]) * 1e6)
    print("  p50 in µs: " + ", ".join(f"{way} {median(values):.1f}" for way, values in p50s.items()))
    added = {
        way: median(mine - bare for mine, bare in zip(p50s[way], p50s["bare"], strict=True))
        for way in ("batcher", "engine")
    }
    print(
        f"  with the check of what a caller sent (finite, right shape and type) {added['engine']:.1f} µs are added"
    )
    mark("from tensors to answer the engine adds at p50", added["batcher"], "µs", at_most=20)


def throughput(
    loaded: Loaded, args: argparse.Namespace, *, count: int, batch: int, seconds: float, with_each: bool
) -> tuple[list[float], list[float], list[float]]:
    loops, each, engine = [], [], []
    row, rows = lambda: loaded.rows(1), loaded.rows(batch)
    for _ in range(args.repeats):
        loops.append(loop_rate(seconds, loaded.bare, rows))
        each.append(threads_rate(count, seconds, loaded.bare, row) if with_each else 1.0)
        engine.append(threads_rate(count, seconds, loaded.infer, row))
    stats = loaded.engine.stats()["m"]
    print(
        f"  rows/s: best loop {median(loops):,.0f}, each {median(each):,.0f}, engine {median(engine):,.0f}"
        f" in batches of {stats.rows / stats.batches:.1f}"
    )
    return loops, each, engine


def ratio(mine: list[float], theirs: list[float]) -> float:
    return median(a / b for a, b in zip(mine, theirs, strict=True))


def threads(args: argparse.Namespace) -> None:
    """32 threads of single rows, against one thread that runs batches of 32 and against a run each."""
    loaded = Loaded.file(models.mlp(), (256,), max_batch=32, intra_op=args.intra_op)
    loops, each, engine = throughput(loaded, args, count=32, batch=32, seconds=1.5, with_each=True)
    mark("engine against the best loop", ratio(engine, loops), "x", at_least=0.45)
    mark("engine against a run each", ratio(engine, each), "x", at_least=1.8)


def resnet(args: argparse.Namespace) -> None:
    """ResNet-50: 16 threads of single images against bare batches of 8."""
    loaded = Loaded.file(models.resnet50(), (3, 224, 224), max_batch=8, intra_op=2)
    loops, _, engine = throughput(loaded, args, count=16, batch=8, seconds=6.0, with_each=False)
    mark("engine against bare batches of 8", ratio(engine, loops), "x", at_least=0.95)


class ThreadOfItsOwn(Batcher):
    """The other shape, for comparison: callers only queue, one thread runs every batch."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.work = threading.Lock()
        threading.Thread(target=self.run_batches, daemon=True).start()

    def _enter(self, call, now):
        self._combiner.offer(call, now)
        call.gate = threading.Lock()
        call.gate.acquire()
        if self.work.locked():
            self.work.release()
        return None

    def _nudge(self) -> None:
        pass

    def run_batches(self) -> None:
        nobody = _Call((None, 1, 0), 0.0, Priority.LIVE, {}, None)
        while True:
            self.work.acquire()
            with self._lock:
                batch = self._combiner.take(time.monotonic())
            self._serve(batch, nobody)


HOLDS_S = (0.0, 0.0005, 0.002, 0.01, 0.1)


def shape(args: argparse.Namespace) -> None:
    """How long a caller goes on running batches for others, or a thread of its own: the choice of ADR 0002."""
    loaded = Loaded.file(models.mlp(), (256,), max_batch=32, intra_op=args.intra_op)
    session = loaded.batcher.session
    shapes = {
        f"hold {hold * 1e3:g} ms": Batcher(session, BatchConfig(merges=True, hold_s=hold)) for hold in HOLDS_S
    }
    shapes["a thread of its own"] = ThreadOfItsOwn(session)
    for count in (1, 4, 32):
        loops: list[float] = []
        rates: dict[str, list[float]] = {name: [] for name in shapes}
        for _ in range(args.repeats):
            loops.append(loop_rate(0.5, loaded.bare, loaded.rows(32)))
            for name, batcher in shapes.items():
                call = partial(batcher.infer, deadline=time.monotonic() + PATIENCE_S)
                rates[name].append(threads_rate(count, 0.7, call, partial(loaded.rows, 1)))
        for name in shapes:
            print(
                f"  {count:2} callers, {name:20} {median(rates[name]):8,.0f} rows/s,"
                f" {ratio(rates[name], loops):.2f} x the loop of 32",
                flush=True,
            )


@dataclass
class Arrivals:
    """Requests that come when they come, whether or not the ones before are answered."""

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
                except EngineError:
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
        """The p99, and the answers per second that came in time."""
        batcher, arrivals = Batcher(costly(0.003, 0.0006), BatchConfig(merges=True), pace=pace), Arrivals([])

        def call(_: dict) -> None:
            began = now()
            batcher.infer(row, deadline=time.monotonic() + 5)
            arrivals.latencies.append(now() - began)

        if kind == "closed":
            threads_rate(24, seconds, call, lambda: row)
        else:
            arrivals = Arrivals(load_of(kind, seconds))
            seconds = arrivals.run(lambda: batcher.infer(row, deadline=time.monotonic() + 5))
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
            ours.append(play(kind, TargetPace(TARGET_S, curve), 3.0))
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
    """A million requests: does anything stay behind?"""
    batcher = Batcher(FakeSession(FakeModel()), BatchConfig(merges=True))
    batcher.session.runs = Forgetful()
    row = {"x": np.ones((1, 4), np.float32)}

    def requests(count: int) -> None:
        for _ in range(count):
            batcher.infer(row, deadline=time.monotonic() + PATIENCE_S)

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
    """The fake's list of runs, without a memory of its own."""

    def append(self, item) -> None:
        pass


def overload(args: argparse.Namespace) -> None:
    """20 ms a batch of at most 4 rows, asked ten times as often as it can answer."""
    row = {"x": np.ones((1, 4), np.float32)}
    shares, refusals, grown = [], [], []
    for _ in range(args.repeats):
        batcher = Batcher(
            costly(0.020, 0.0),
            BatchConfig(limits=Limits(max_waiting_rows=16), merges=True),
            pace=FixedPace(4),
        )

        def call() -> None:
            batcher.infer(row, deadline=time.monotonic() + 1.0)  # noqa: B023 - called in this turn only

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


ROWS = {
    "alone": alone,
    "threads": threads,
    "resnet": resnet,
    "latency": latency,
    "memory": memory,
    "overload": overload,
    "shape": shape,
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
