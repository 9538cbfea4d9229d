"""The floor: the same parse, the same engine, the same answer, and nothing of Django, keys or limits."""

import hashlib
import os
import time
from pathlib import Path

import orjson

from inference.engine.backends import SessionOptions
from inference.engine.engine import Engine, Plan
from inference.engine.leases import LoadOrder
from inference.engine.onnx_backend import OnnxBackend
from inference.engine.probed import ProbeFact

_OPTIONS = SessionOptions(intra_op_threads=1)


def _loaded(path: Path) -> Engine:
    backend = OnnxBackend()
    engine = Engine(backend, budget_bytes=1 << 30)
    fact = ProbeFact(
        hashlib.sha256(path.read_bytes()).hexdigest(),
        backend.runtime_version(),
        "CPUExecutionProvider",
        _OPTIONS.digest,
    )
    engine.load("m", Plan(LoadOrder(path, _OPTIONS, fact, max_batch=32), 32), timeout_s=60)
    return engine


engine = _loaded(Path(os.environ["BENCH_MODEL"]))


def application(environ, start_response):
    body = orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    answer = engine.infer("m", body["inputs"], deadline=time.monotonic() + 5)
    said = {
        "outputs": answer.outputs,
        "model": "bare",
        "version": 1,
        "arm": "champion",
        "split": 1,
        "request_id": "not-signed-but-as-long-as-a-signed-one-would-be",
    }
    content = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return (content,)
