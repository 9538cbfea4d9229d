"""Stock tritonclient against `manage.py serve`: every datatype, HTTP and gRPC, sync and asyncio, packed or not."""

import json
import subprocess
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from inference.tensors.signature import DTYPES
from tests.support.onnx_models import missing_as_zero, text_codes
from tests.support.peers import tritonclient_python
from tests.support.processes import get, import_live, post, wait_until

ELEMENT = {
    "BOOL": TensorProto.BOOL, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
    **{name: getattr(TensorProto, name) for name in DTYPES if "INT" in name},
}  # fmt: skip
PACKINGS = ("plain", "gzip", "deflate")
DESCRIBING = (
    "live", "ready", "model-ready", "server", "metadata", "config", "statistics", "index", "load", "load-config", "load-files",
)  # fmt: skip
VALUES = ("nan", "nan-refused", "raw-bytes", "raw-bytes-back", "text-back", "words", "column-of-words")
CASES = [
    *(f"http-{form}-{packing}" for form in ("binary", "json") for packing in PACKINGS),
    *(f"http-id-{form}-{packing}" for form in ("binary", "json") for packing in PACKINGS),
    *(f"http-aio-{form}-{packing}" for form in ("binary", "json") for packing in PACKINGS),
    *(f"grpc-{packing}" for packing in PACKINGS),
    *(f"grpc-aio-{packing}" for packing in PACKINGS),
    *(f"{prefix}-{call}" for prefix in ("http", "grpc") for call in (*DESCRIBING, *VALUES)),
    "http-without-outputs", "http-future", "http-classification", "http-no-key", "http-unknown-model",
    "http-unknown-version", "http-fewer-inputs", "http-aio-ready", "http-aio-metadata", "http-shared-memory",
    "http-device-memory", "http-trace", "http-log", "grpc-id", "grpc-classification",
    "grpc-no-key", "grpc-unknown-model", "grpc-shared-memory", "grpc-stream", "grpc-stream-in-order", "grpc-aio-ready",
]  # fmt: skip


_ALLOW = """
from registry.catalogue.models import Version
from registry.catalogue.services import change_serving
from tests.support.factories import an_actor
version = Version.objects.get(model__slug="gappy")
change_serving(version=version, changes={"allow_non_finite": True}, reason="gaps", by=an_actor())
"""


_SPEAK = """
from pathlib import Path
from tests.support.text_models import put_tone
put_tone(Path({folder!r}), "spoken")
"""


def _echo(path):
    """A model that gives back one tensor of every datatype."""
    ends = [
        [
            helper.make_tensor_value_info(f"{end}_{name}", ELEMENT[name], ["rows", "columns"])
            for name in DTYPES
        ]
        for end in ("in", "out")
    ]
    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in DTYPES]
    graph = helper.make_graph(nodes, "echo", *ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def _is_ready(production, slug):
    """In every web process; the kernel deals connections out to them."""
    ready = f"{production.url}/v2/models/{slug}/ready"
    return all(get(ready, **production.authorization)[0] == 200 for _ in range(16))


def _takes_gaps(production):
    url = f"{production.url}/api/v1/models/gappy/predict"
    return all(post(url, {"features": [None] * 4}, **production.authorization)[0] == 200 for _ in range(16))


@pytest.fixture(scope="module")
def called(production, tmp_path_factory):
    """What tritonclient found wrong, by case."""
    python, folder = tritonclient_python(), tmp_path_factory.mktemp("triton")
    files = {
        "echo": _echo(folder / "echo.onnx"),
        "gappy": missing_as_zero(folder / "gappy.onnx"),
        "codes": text_codes(folder / "codes.onnx", {b"\xff\xfe": 1, b"a\xff": 2, b"": 3}),
    }
    for slug, path in files.items():
        registered = import_live(slug, path, **production.variables)
        assert registered.returncode == 0, registered.stderr
    for script in (_ALLOW, _SPEAK.format(folder=str(folder))):
        changed = production.manage("shell", "--no-imports", "-c", script)
        assert changed.returncode == 0, changed.stderr
    for slug in (*files, "spoken"):
        wait_until(
            lambda slug=slug: _is_ready(production, slug), within_s=20, what=f"{slug}:\n{production.output}"
        )
    wait_until(lambda: _takes_gaps(production), within_s=20, what=f"NaN:\n{production.output}")
    calls = Path(__file__).with_name("triton_calls.py")
    addresses = [production.url.removeprefix("http://"), f"127.0.0.1:{production.grpc_port}"]
    made = subprocess.run(
        # -P: beside the script lies a folder named grpc
        [python, "-P", calls, *addresses, production.credentials["api_key"]],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


@pytest.mark.parametrize("case", CASES)
def test_tritonclient(called, case):
    untried = [wrong for name, wrong in called.items() if name.endswith("-all")]
    assert called.get(case, f"was not tried: {untried}") == ""


def test_every_case_is_looked_at(called):
    assert set(called) == set(CASES)
