"""Stock tritonclient against `manage.py serve`: every datatype, HTTP and gRPC, sync and asyncio, packed or not."""

import json
import subprocess
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from inference.engine.signature import DTYPES
from tests.support.peers import tritonclient_python
from tests.support.processes import get, import_live, wait_until

ELEMENT = {
    "BOOL": TensorProto.BOOL, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
    **{name: getattr(TensorProto, name) for name in DTYPES if "INT" in name},
}  # fmt: skip
PACKINGS = ("plain", "gzip", "deflate")
DESCRIBING = (
    "live", "ready", "model-ready", "server", "metadata", "config", "statistics", "index", "load", "load-config", "load-files",
)  # fmt: skip
CASES = [
    *(f"http-{form}-{packing}" for form in ("binary", "json") for packing in PACKINGS),
    *(f"http-id-{form}-{packing}" for form in ("binary", "json") for packing in PACKINGS),
    *(f"http-aio-{form}-{packing}" for form in ("binary", "json") for packing in PACKINGS),
    *(f"grpc-{packing}" for packing in PACKINGS),
    *(f"grpc-aio-{packing}" for packing in PACKINGS),
    *(f"{prefix}-{call}" for prefix in ("http", "grpc") for call in DESCRIBING),
    "http-without-outputs", "http-future", "http-classification", "http-no-key", "http-unknown-model",
    "http-unknown-version", "http-fewer-inputs", "http-aio-ready", "http-aio-metadata", "http-shared-memory",
    "http-device-memory", "http-trace", "http-log", "grpc-id", "grpc-classification",
    "grpc-no-key", "grpc-unknown-model", "grpc-shared-memory", "grpc-stream", "grpc-stream-in-order", "grpc-aio-ready",
]  # fmt: skip


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


@pytest.fixture(scope="module")
def called(production, tmp_path_factory):
    """What tritonclient found wrong, by case."""
    python, echo = tritonclient_python(), _echo(tmp_path_factory.mktemp("triton") / "echo.onnx")
    registered = import_live("echo", echo, **production.variables)
    assert registered.returncode == 0, registered.stderr
    ready = f"{production.url}/v2/models/echo/ready"
    wait_until(  # in every web process; the kernel deals connections out to them
        lambda: all(get(ready, **production.authorization)[0] == 200 for _ in range(16)),
        within_s=20, what=f"the echo model; it said:\n{production.output}",
    )  # fmt: skip
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
