"""Recommendations from a million items, and rankings of a thousand candidates: `python -m bench.rankings_bench [recommend rank]`.

recommend  100 of 1,000,000 items with 64 numbers each, 10,000 items excluded: by the library, and over HTTP; beside the time
           that the machine needs to read the items once
rank       1,000 candidates in one request, and one by one over the same connection

Exits with 1 if a mark is missed.
"""

import argparse
import http.client
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
import onnxruntime
import orjson

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import models  # noqa: E402
from bench.engine_bench import mark, missed  # noqa: E402
from bench.tasks import serving  # noqa: E402
from inference.pipelines.ranking import Ranking  # noqa: E402
from inference.pipelines.recommendation import Recommendation  # noqa: E402
from inference.tensors.signature import Signature, TensorSpec  # noqa: E402
from registry.intake.file_scan.embeddings import model_of_embeddings  # noqa: E402
from registry.intake.file_scan.sent_files import open_file  # noqa: E402

now = time.perf_counter
USERS, ITEMS, WIDTH = 1_000, 1_000_000, 64
TOP_K, EXCLUDED, CANDIDATES, FEATURES = 100, 10_000, 1_000, 32


def embeddings(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    path = folder / "embeddings.npz"
    tables = {
        name: rng.standard_normal((rows, WIDTH), dtype=np.float32)
        for name, rows in (("users", USERS), ("items", ITEMS))
    }
    np.savez(path, **tables, item_ids=[f"item-{number}" for number in rng.permutation(ITEMS)])
    return path


def bodies(count: int) -> list[dict]:
    rng = np.random.default_rng(2)
    return [
        {
            "user": int(rng.integers(USERS)),
            "exclude": [f"item-{number}" for number in rng.choice(ITEMS, EXCLUDED, replace=False)],
            "top_k": TOP_K,
        }
        for _ in range(count)
    ]


def milliseconds(work, bodies: list) -> list[float]:
    took = []
    for body in bodies:
        began = now()
        work(body)
        took.append(1e3 * (now() - began))
    return took


def recommend(repeats: int, threads: int) -> None:
    print(f"recommend: {TOP_K} of {ITEMS:,} items of {WIDTH} numbers, {EXCLUDED:,} excluded", flush=True)
    with tempfile.TemporaryDirectory() as name:
        path = embeddings(Path(name))
        by_library(path, Path(name), repeats, threads)

        def prepare(installation, folder: Path) -> None:
            config = folder / "picks.json"
            config.write_bytes(b"{}")
            installation.import_model("picks", path, task=Recommendation.task, task_config=config)

        with serving(prepare) as (url, key, _):
            sent = [orjson.dumps(body) for body in bodies(10 * repeats)]
            took = over_http(url, key, "/api/v1/models/picks/predict", sent)
    print(f"  over HTTP: best {min(took):.1f} ms, p50 {median(took):.1f} ms", flush=True)
    mark("recommendation over HTTP, p50", median(took), "ms", at_most=50)


def by_library(path: Path, folder: Path, repeats: int, threads: int) -> None:
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path, path.name))
        began = now()
        made = stack.enter_context(model_of_embeddings(file, folder)).unpacked
        print(f"  the archive becomes a model in {now() - began:.1f} s", flush=True)
        (folder / "model.onnx").write_bytes(b"".join(made.model.read(0, made.model.size)))
        files = {each.name: b"".join(each.read(0, each.size)) for each in made.others}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    signature = Signature(
        (TensorSpec("user", "INT64", (None,)),), (TensorSpec("scores", "FP32", (None, ITEMS)),)
    )
    began = now()
    pipeline = Recommendation({}, files, signature)
    print(f"  the ids are read in {now() - began:.1f} s", flush=True)
    took = milliseconds(
        lambda body: pipeline.answer(body, lambda inputs: {"scores": session.run(None, inputs)[0]}),
        bodies(10 * repeats),
    )
    product = milliseconds(
        lambda user: session.run(None, {"user": np.array([user])}), list(range(10 * repeats))
    )
    items = np.zeros((ITEMS, WIDTH), np.float32)
    read = min(milliseconds(lambda _: items.sum(), list(range(10))))
    print(
        f"  library: best {min(took):.1f} ms, p50 {median(took):.1f} ms; of it the matrix product"
        f" {median(product):.1f} ms; {items.nbytes / 1e6:.0f} MB of items are summed in {read:.1f} ms"
        f" ({items.nbytes / read / 1e6:.1f} GB/s)",
        flush=True,
    )
    mark("recommendation, p50", median(took), "ms", at_most=50)


def over_http(url: str, key: str, path: str, sent: list[bytes]) -> list[float]:
    """How long each request takes on one connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(body: bytes) -> None:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content

    ask(sent[0])
    try:
        return milliseconds(ask, sent)
    finally:
        connection.close()


def rank(repeats: int, _threads: int) -> None:
    print(f"rank: {CANDIDATES:,} candidates with {FEATURES} features", flush=True)
    rng = np.random.default_rng(3)
    user = rng.standard_normal(FEATURES // 2).round(3).tolist()
    candidates = rng.standard_normal((CANDIDATES, FEATURES // 2)).round(3).tolist()
    together = orjson.dumps({"user": user, "candidates": candidates})
    alone = [orjson.dumps({"user": user, "candidates": [candidate]}) for candidate in candidates]

    def prepare(installation, folder: Path) -> None:
        config = folder / "clicks.json"
        config.write_bytes(b"{}")
        installation.import_model("clicks", models.clicks(FEATURES), task=Ranking.task, task_config=config)

    ratios = []
    with serving(prepare) as (url, key, _):
        path = "/api/v1/models/clicks/predict"
        for _ in range(repeats):
            one_by_one = sum(over_http(url, key, path, alone))
            at_once = median(over_http(url, key, path, [together] * 20))
            ratios.append(one_by_one / at_once)
            print(f"  one by one {one_by_one:.0f} ms, in one request {at_once:.1f} ms", flush=True)
    mark("one by one / in one request", median(ratios), "x", at_least=50)


PARTS = {"recommend": recommend, "rank": rank}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.rankings_bench", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="of ONNX Runtime")
    order = parser.parse_args()
    for part in order.parts or PARTS:
        PARTS[part](order.repeats, order.threads)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
