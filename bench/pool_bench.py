"""Twenty models, room for six: does the pool lose a call, evict under a call, or keep memory?

    python bench/pool_bench.py [--calls 50000] [--threads 8] [--provider CUDAExecutionProvider] [--heaps 2]

Exits with 1 if a mark is missed.
"""

import argparse
import gc
import itertools
import os
import random
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "roundhouse.settings")  # the probe works in the data folder

from inference.checks.probe import probe  # noqa: E402
from inference.engine.backends import SessionOptions  # noqa: E402
from inference.engine.memory import device_used_bytes, limit_heaps, resident_bytes  # noqa: E402
from inference.engine.onnx_backend import CUDA, OnnxBackend  # noqa: E402
from inference.engine.pool import LoadOrder, SessionPool  # noqa: E402

FOLDER = ROOT / "var" / "bench" / "pool"
COLUMNS, HIDDEN = 256, 2048
MODELS, ROOM, CYCLES = 20, 6, 6
ROW = {"x": np.ones((1, COLUMNS), np.float32)}


def make_model(number: int) -> Path:
    """A 2.5 MB file that answers its own number to a row of ones."""
    path = FOLDER / f"{number}.onnx"
    if not path.exists():
        weights = {
            "w1": np.full((COLUMNS, HIDDEN), number / COLUMNS, np.float32),
            "w2": np.full((HIDDEN, 64), 1 / HIDDEN, np.float32),
        }
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w1"], ["h"]), helper.make_node("MatMul", ["h", "w2"], ["y"])],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", COLUMNS])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 64])],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path.write_bytes(model.SerializeToString())
    return path


class Served:
    """The pooled item: counts the calls inside, so that a retirement under one is seen."""

    def __init__(self, session) -> None:
        self.session, self.inside, self.lock = session, 0, threading.Lock()

    def answer(self) -> float:
        with self.lock:
            self.inside += 1
        try:
            return float(self.session.run(ROW)["y"][0, 0])
        finally:
            with self.lock:
                self.inside -= 1


def lease_cost_s(pool: SessionPool[Served], key: int, count: int = 50_000) -> float:
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(count):
            with pool.acquire(key):
                pass
        best = min(best, (time.perf_counter() - started) / count)
    return best


def run_cycle(
    pool: SessionPool[Served], orders: list[LoadOrder], calls: int, threads: int, seed: int
) -> list[str]:
    errors: list[str] = []

    def work(number: int) -> None:
        dice = random.Random(seed * 1000 + number)
        for _ in range(calls // threads):
            key = dice.randrange(MODELS)
            try:
                with pool.acquire(key, orders[key], timeout_s=60) as served:
                    answer = served.answer()
                if abs(answer - key) > 1e-3:
                    errors.append(f"model {key} answered {answer}")
            except Exception as error:  # noqa: BLE001  counted and shown
                errors.append(f"{type(error).__name__}: {error}")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--provider", default="CPUExecutionProvider")
    parser.add_argument("--heaps", type=int, default=2, help="0: leave it to glibc, which keeps more memory")
    chosen = parser.parse_args()
    if chosen.heaps:
        limit_heaps(chosen.heaps)
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = SessionOptions(providers=(chosen.provider,))
    orders = []
    for number in range(MODELS):
        path = make_model(number)
        result = probe(path, options)
        if result.fact is None:
            print(f"{path.name}: {result.message}")
            return 1
        orders.append(LoadOrder(path, options, result.fact, max_batch=4))
    print(
        f"provider {result.provider} (asked {result.provider_asked}), ONNX Runtime {result.runtime_version}"
    )

    measure = partial(device_used_bytes, 0) if result.provider == CUDA else resident_bytes
    evicted_under_call: list[Served] = []
    loads = itertools.count()

    def make(session, profile) -> Served:
        next(loads)
        return Served(session)

    def retire(served: Served) -> None:
        if served.inside:
            evicted_under_call.append(served)

    roomy = SessionPool(OnnxBackend(), make, budget_bytes=1 << 34, measure=measure)
    for key, order in enumerate(orders):
        roomy.load(key, order, timeout_s=60)
    footprint = max(line.footprint_bytes for line in roomy.held())
    print(f"footprint {footprint / 2**20:.1f} MiB of a {orders[0].path.stat().st_size / 2**20:.1f} MiB file")
    print(f"acquire + release {lease_cost_s(roomy, 0) * 1e6:.2f} us")
    roomy.close(timeout_s=60)

    orders = [replace(order, expected_bytes=footprint) for order in orders]
    budget = footprint * ROOM
    pool = SessionPool(OnnxBackend(), make, budget_bytes=budget, retire=retire, measure=measure)
    errors: list[str] = []
    resident: list[int] = []
    for cycle in range(1, CYCLES + 1):
        before, started = next(loads), time.monotonic()
        errors += run_cycle(pool, orders, chosen.calls // CYCLES, chosen.threads, cycle)
        held = len(pool.held())
        seconds = time.monotonic() - started
        for key in range(MODELS):
            pool.unload(key)
        gc.collect()
        resident.append(resident_bytes())
        print(
            f"cycle {cycle}: {seconds:.1f} s, {next(loads) - before - 1} loads, {held} held at the end,"
            f" trimmed RSS {resident[-1] / 2**20:.1f} MiB"
        )
    growth = resident[5] / resident[1] - 1
    print(
        f"{chosen.calls // CYCLES // chosen.threads * chosen.threads * CYCLES} calls, {chosen.threads} threads"
    )
    print(f"errors {len(errors)} {errors[:3]}, evictions under a call {len(evicted_under_call)}")
    print(f"trimmed RSS of cycle 6 against cycle 2: {growth:+.2%} (mark: within 2 %)")
    is_good = not errors and not evicted_under_call and growth <= 0.02 and pool.close(timeout_s=60)
    print("PASS" if is_good else "FAIL")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
