"""What texts and pictures cost, compared with bare `tokenizers`, Pillow and ONNX Runtime on the same machine at the same time.

    python -m bench.tasks [batching served stall pictures beside] [--repeats 3]

batching  texts of 8 to 512 tokens from 32 callers: rows by their width, as the engine merges them, and all waiting rows
          padded to the longest, with at most as many rows in a run
served    32 connections to a server, and a script that tokenizes and runs batches of 32
stall     how long /livez waits while texts of 1 MB are answered
pictures  32 connections that send a JPEG of 640 x 480 pixels for ResNet-50, and a script that decodes, fits and runs one
beside    how long tiny predictions take while four connections send such pictures to a tiny network

Ratios are medians over repeats that alternate between the compared settings. Exits with 1 if a mark is missed.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
import uvloop
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import models  # noqa: E402
from bench.engine_bench import mark, missed, plan_for, request_for  # noqa: E402
from inference.engine.engine import Engine  # noqa: E402
from inference.engine.loop import EngineLoop  # noqa: E402
from inference.engine.onnx_backend import OnnxBackend  # noqa: E402
from inference.pipelines.image_classification import ImageClassification  # noqa: E402
from inference.pipelines.pipeline import rows_of  # noqa: E402
from inference.pipelines.text_classification import TextClassification  # noqa: E402

now = time.perf_counter
WORDS = [
    f"{first}{second}" for first in "bcdfghklmnprst" for second in ("a", "e", "i", "o", "u", "an", "er", "is")
]
LABELS = ["negative", "neutral", "positive"]
VOCABULARY = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]).encode()
CALLERS, LEAST, MOST = 32, 8, 512


def a_text(tokens: int, source: random.Random) -> str:
    return " ".join(source.choices(WORDS, k=max(1, tokens - 2)))


def mixed_texts(count: int) -> list[str]:
    """Lengths are even on a logarithmic scale, as those of comments are, about."""
    source = random.Random(1)
    return [a_text(round(LEAST * (MOST / LEAST) ** source.random()), source) for _ in range(count)]


class Loaded:
    """The encoder in an engine, and its pipeline."""

    def __init__(self, *, threads: int, merged_rows: int = CALLERS) -> None:
        loop = EngineLoop.in_thread(uvloop.new_event_loop)
        self.engine = Engine(OnnxBackend(), budget_bytes=8 << 30, loop=loop)
        plan = plan_for(models.text_encoder(), max_batch=merged_rows, intra_op=threads)
        self.engine.load("m", replace(plan, merged_rows=merged_rows), timeout_s=120)
        published = self.engine._published["m"]
        config = {"labels": LABELS, "max_tokens": MOST}
        self.pipeline = TextClassification(config, {"vocab.txt": VOCABULARY}, published.signature)
        self.session = published.batcher.session._session

    async def answer(self, text: str):
        encoded = self.pipeline.encode({"text": text})
        runs = [
            self.engine.infer("m", request_for(self.pipeline.prepare(one.tensors))) for one in encoded.groups
        ]
        outputs = [(await run).outputs for run in runs]
        return self.pipeline.decode(rows_of(encoded.groups, outputs), encoded)

    def close(self) -> None:
        self.engine.close(timeout_s=10)
        self.engine.loop.close()


class ByRows:
    """Runs all that waits, at most 32 rows, padded to the longest: what servers that count rows do."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded, self._waiting, self._is_running = loaded, [], False
        self.tokens = self.padded = 0

    async def answer(self, text: str):
        encoded = self._loaded.pipeline.encode({"text": text})
        (group,) = encoded.groups
        length = int(group.tensors["lengths"][0])
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((group.tensors["ids"][0, :length], future))
        if not self._is_running:
            self._is_running = True
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._run()))
        return self._loaded.pipeline.decode([await future], encoded)

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:CALLERS], self._waiting[CALLERS:]
            width = max(len(ids) for ids, _ in batch)
            rows = np.zeros((len(batch), width), np.int64)
            mask = np.zeros((len(batch), width), np.int64)
            for row, (ids, _) in enumerate(batch):
                rows[row, : len(ids)], mask[row, : len(ids)] = ids, 1
            self.tokens += int(mask.sum())
            self.padded += mask.size
            (outputs,) = await asyncio.to_thread(
                self._loaded.session.run, None, {"input_ids": rows, "attention_mask": mask}
            )
            for (_, future), output in zip(batch, outputs, strict=True):
                future.set_result({"logits": output})
        self._is_running = False


def load_of(answer: Callable, loop: EngineLoop, texts: list[str], seconds: float) -> tuple[float, float]:
    """Texts per second of callers that each send the next text when they have an answer, and their p99 in ms."""

    async def all_callers() -> tuple[float, float]:
        took: list[float] = []
        ends = now() + seconds

        async def caller(number: int) -> None:
            at = number * len(texts) // CALLERS
            while now() < ends:
                began = now()
                await answer(texts[at % len(texts)])
                took.append(now() - began)
                at += 1

        began = now()
        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
        return len(took) / (now() - began), float(np.percentile(took, 99) * 1000)

    return asyncio.run_coroutine_threadsafe(all_callers(), loop.asyncio).result()


def padding_share(pipeline: TextClassification, texts: list[str]) -> float:
    """The part of the computed tokens that is padding."""
    groups = [group for text in texts for group in pipeline.encode({"text": text}).groups]
    tokens = sum(int(group.tensors["lengths"].sum()) for group in groups)
    return 1 - tokens / sum(group.tensors["ids"].size for group in groups)


def batching(repeats: int, threads: int) -> None:
    print("batching: texts of 8 to 512 tokens from 32 callers", flush=True)
    texts, ratios = mixed_texts(512), []
    loaded = Loaded(threads=threads)
    try:
        for _ in range(repeats):
            by_rows = ByRows(loaded)
            rows, rows_p99 = load_of(by_rows.answer, loaded.engine.loop, texts, 8)
            ours, ours_p99 = load_of(loaded.answer, loaded.engine.loop, texts, 8)
            ratios.append(ours / rows)
            wasted = 1 - by_rows.tokens / by_rows.padded
            print(
                f"  by rows {rows:7.0f} /s, p99 {rows_p99:6.0f} ms, padding {wasted:4.0%}"
                f"   by width {ours:7.0f} /s, p99 {ours_p99:6.0f} ms",
                flush=True,
            )
        mark("throughput, by width / by rows", median(ratios), "x", at_least=1.5)
        mark("padding", 100 * padding_share(loaded.pipeline, texts), "%", at_most=15)
    finally:
        loaded.close()


def bare_rate(texts: list[str], seconds: float, threads: int) -> float:
    """Texts per second of a script: tokenize 32, pad them, run them."""
    import onnxruntime
    from tokenizers import BertWordPieceTokenizer

    with tempfile.NamedTemporaryFile(suffix=".txt") as vocabulary:
        vocabulary.write(VOCABULARY)
        vocabulary.flush()
        tokenizer = BertWordPieceTokenizer(vocabulary.name, lowercase=True)
    tokenizer.enable_padding()
    tokenizer.enable_truncation(MOST)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(models.text_encoder(), options, providers=["CPUExecutionProvider"])
    done, began = 0, now()
    while now() - began < seconds:
        batch = tokenizer.encode_batch([texts[(done + at) % len(texts)] for at in range(CALLERS)])
        ids, mask = (
            np.array([getattr(one, name) for one in batch], np.int64) for name in ("ids", "attention_mask")
        )
        (logits,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        assert (powers / powers.sum(axis=1, keepdims=True)).argmax(axis=1).shape == (CALLERS,)
        done += CALLERS
    return done / (now() - began)


@contextmanager
def serving(prepare: Callable[[Any, Path], None]) -> Iterator[tuple[str, str, Path]]:
    """A server with the Models that `prepare` imports: its address, a key, and a folder."""
    from bench.serving.installation import Installation

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        installation = Installation(folder, {})
        prepare(installation, folder)
        key = installation.issue_key()
        with installation.served() as (url, _):
            yield url, key, folder


def import_encoder(installation: Any, folder: Path) -> None:
    (folder / "vocab.txt").write_bytes(VOCABULARY)
    _import_task(
        installation, folder, "encoder", models.text_encoder(), folder / "vocab.txt",
        task=TextClassification.task, labels=LABELS, max_tokens=MOST,
    )  # fmt: skip


def _import_task(
    installation: Any, folder: Path, name: str, path: Path, *beside: Path, task: str, **config: Any
) -> None:
    file = folder / f"{name}.json"
    file.write_bytes(orjson.dumps(config))
    installation.import_model(name, path, *beside, task=task, task_config=file)


def served(repeats: int, threads: int) -> None:
    from bench.serving import wire, wrk

    print("served: one text of 64 tokens, 32 connections", flush=True)
    text, ratios = a_text(64, random.Random(2)), []
    with serving(import_encoder) as (url, key, folder):
        body = orjson.dumps({"text": text})
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = wire.Request("/api/v1/models/encoder/predict", body, headers)
        for _ in range(repeats):
            bare = bare_rate([text], 8, threads)
            sample = wrk.run(url, request, folder, connections=CALLERS, seconds=8)
            ratios.append(sample.rate / bare)
            print(f"  bare {bare:7.0f} /s   served {wrk.figures(sample)}", flush=True)
    mark("throughput, served / bare", median(ratios), "x", at_least=0.7)


def stall(repeats: int, _threads: int) -> None:
    from bench.serving import wire

    print("stall: /livez while texts of 1 MB are answered one after another", flush=True)
    source = random.Random(3)
    long = orjson.dumps({"text": a_text(250_000, source)})
    with serving(import_encoder) as (url, key, _):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = wire.Request("/api/v1/models/encoder/predict", long, headers)
        alone = probe(url, 5, lambda: None)
        stalls = []
        for _ in range(repeats):
            found = probe(url, 5, lambda: wire.post(url, request))
            stalls.append(found)
            print(
                f"  {len(long):,} bytes: longest {found[0]:6.1f} ms, p99 {found[1]:6.1f} ms;"
                f" without texts {alone[0]:.1f} and {alone[1]:.1f} ms",
                flush=True,
            )
    mark("longest /livez beside 1 MB texts", median(longest for longest, _ in stalls), "ms", at_most=10)


def probe(url: str, seconds: float, beside: Callable[[], object]) -> tuple[float, float]:
    """The longest answer of /livez and the 99th percentile, in ms, while `beside` is done again and again."""
    import http.client
    from urllib.parse import urlsplit

    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            beside()
            stop.wait(0.001)

    worker = threading.Thread(target=repeat)
    worker.start()
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    took, ends = [], now() + seconds
    while now() < ends:
        began = now()
        connection.request("GET", "/livez")
        connection.getresponse().read()
        took.append(1000 * (now() - began))
    stop.set()
    worker.join()
    connection.close()
    return max(took), float(np.percentile(took, 99))


PICTURE_LABELS = [f"class {number}" for number in range(1_000)]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def a_jpeg() -> bytes:
    """640 x 480 pixels with soft and hard edges, about as large as a camera's."""
    random_pixels = np.random.default_rng(4).integers(0, 256, (60, 80, 3), np.uint8)
    image = Image.fromarray(random_pixels).resize((640, 480), Image.Resampling.BICUBIC)
    file = BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def import_pictures(installation: Any, folder: Path) -> None:
    for name, path in (("resnet", models.resnet50()), ("quick", models.quick_pictures())):
        labels = PICTURE_LABELS if name == "resnet" else LABELS
        _import_task(installation, folder, name, path, task=ImageClassification.task, labels=labels)
    installation.import_model("tiny", models.tiny())


def bare_pictures(picture: bytes, seconds: float, threads: int) -> float:
    """Pictures per second of a script that does one after another."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(models.resnet50(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    done, began = 0, now()
    while now() - began < seconds:
        image = Image.open(BytesIO(picture)).convert("RGB").resize((341, 256), Image.Resampling.BILINEAR)
        pixels = np.asarray(image.crop((58, 16, 282, 240)), np.float32) / 255
        pixels = ((pixels - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
        (logits,) = session.run(None, {name: pixels})
        powers = np.exp(logits - logits.max())
        assert (powers / powers.sum()).argsort()[:, -5:].shape == (1, 5)
        done += 1
    return done / (now() - began)


def pictures(repeats: int, threads: int) -> None:
    from bench.serving import wire, wrk

    picture, ratios = a_jpeg(), []
    print(f"pictures: a JPEG of {len(picture):,} bytes for ResNet-50, 32 connections", flush=True)
    with serving(import_pictures) as (url, key, folder):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/jpeg"}
        request = wire.Request("/api/v1/models/resnet/predict", picture, headers)
        for _ in range(repeats):
            bare = bare_pictures(picture, 10, threads)
            sample = wrk.run(url, request, folder, connections=CALLERS, seconds=10)
            ratios.append(sample.rate / bare)
            print(f"  bare {bare:7.1f} /s   served {wrk.figures(sample)}", flush=True)
    mark("throughput, served / bare", median(ratios), "x", at_least=0.85)


def beside(repeats: int, _threads: int) -> None:
    from bench.serving import wire, wrk

    picture, ratios = a_jpeg(), []
    print(
        "beside: tiny predictions at one connection, without and with four connections of pictures",
        flush=True,
    )
    with serving(import_pictures) as (url, key, folder), tempfile.TemporaryDirectory() as other:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        tiny = wire.Request(
            "/api/v1/models/tiny/predict", orjson.dumps({"inputs": {"x": [[1.0] * 4]}}), headers
        )
        heavy = wire.Request(
            "/api/v1/models/quick/predict", picture, {**headers, "Content-Type": "image/jpeg"}
        )
        for _ in range(repeats):
            alone = wrk.run(url, tiny, folder, connections=1, seconds=8)
            found: list[Any] = []
            worker = threading.Thread(
                target=lambda found=found: found.append(
                    wrk.run(url, heavy, Path(other), connections=4, seconds=10)
                )
            )
            worker.start()
            both = wrk.run(url, tiny, folder, connections=1, seconds=8)
            worker.join()
            ratios.append(both.p99_ms / alone.p99_ms)
            print(f"  alone  {wrk.figures(alone)}", flush=True)
            print(f"  beside {wrk.figures(both)}   pictures {wrk.figures(found[0])}", flush=True)
    mark("p99 of tiny predictions, beside pictures / alone", median(ratios), "x", at_most=2)


PARTS = {"batching": batching, "served": served, "stall": stall, "pictures": pictures, "beside": beside}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.tasks", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of ONNX Runtime, in both")
    order = parser.parse_args()
    for part in order.parts or PARTS:
        PARTS[part](order.repeats, order.threads)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
