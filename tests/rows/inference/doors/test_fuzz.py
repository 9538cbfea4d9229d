"""Requests that are almost right, by the thousand, straight into the functions behind the doors.

Whatever comes: an answer, or an error of the known tree that is not ours to mend; and who is told that a tensor is
wrong is told which.
"""

import io
import json
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from inference.doors.entry import predict
from inference.doors.grpc import inference_service
from inference.doors.grpc.codes import code_of
from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.oip.door import OIP, request_named
from inference.doors.rest.door import REST
from inference.doors.wire import read_exactly
from inference.engine.loop import complete
from inference.engine.requests import Cancellation
from inference.serving import runtime, services
from inference.serving.plans import session_options
from inference.tensors.errors import InvalidInput, UnknownOutput
from inference.tensors.signature import DTYPES, Signature
from registry.access.keys import ring
from roundhouse.problems import error_response, status_of
from tests.support.factories import a_key
from tests.support.live_models import import_live
from tests.support.onnx_models import identity, save, value
from tests.support.processes import ROOT
from tests.support.wire import Arrived, a_holding, packed

pytestmark = pytest.mark.django_db(transaction=True)
BINARY = "application/octet-stream"


def _sum_and_more(path):
    """(a + b) * factor; the factor has a value of its own, so that a caller may leave it out."""
    return save(
        path,
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["sum", "factor"], ["y"])],
        [value("a", ("rows", 2)), value("b", ("rows", 2)), value("factor", (1,))],
        [value("y", ("rows", 2)), value("sum", ("rows", 2))],
        [numpy_helper.from_array(np.array([2], np.float32), "factor")],
    )


def _switches(path):
    takes, gives = ([value(name, (3,), TensorProto.BOOL)] for name in ("on/off~1", "y"))
    return save(path, [helper.make_node("Not", ["on/off~1"], ["y"])], takes, gives)


MODELS = {
    "decimals": lambda path: ROOT / "examples" / "ripeness" / "model.onnx",
    "whole-numbers": lambda path: identity(path, "INT8"),
    "texts": lambda path: identity(path, "BYTES", ("rows", 2)),
    "several-inputs": _sum_and_more,
    "fixed-rows": lambda path: identity(path, "FP16", (2, 3)),
    "no-rows": _switches,
}


@pytest.fixture
def asking(tmp_path):
    """Whoever asks, with all six models live; a function that gives a model's signature."""
    for slug, make in MODELS.items():
        import_live(slug=slug, path=make(tmp_path / f"{slug}.onnx"), options=session_options())
    runtime.start()
    ring.clear()
    yield ring.admit(a_key()[1]).principal
    ring.clear()
    runtime.stop()


# What is sent, before it has a form.
@dataclass
class Tensor:
    name: str
    datatype: str
    dims: list[int]
    values: Any  # nested as the dims, or not


@dataclass
class Asking:
    tensors: list[Tensor]
    wish: str = "json"
    outputs: Any = None
    parameters: Any = None
    shape: Any = None  # what the first tensor says instead of its dims
    size_off: int = 0  # how wrong its binary size is
    header_off: int = 0
    length_off: int = 0
    has_both: bool = False


SIZES = st.sampled_from([0, 1, 1, 1, 2, 2, 3])
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=4), st.just([]), st.just({}),
    st.sampled_from([1e39, 65_520.0, 300, -1, 0.5, "\0", "1", 2**63, 2**64]),
)  # fmt: skip
FIT = {
    "b": st.booleans(),
    "i": st.integers(-128, 127),
    "u": st.integers(0, 255),
    "f": st.one_of(st.floats(-100, 100, width=16), st.integers(-100, 100)),
    "O": st.text(max_size=4),
}
SHAPES = st.one_of(
    st.lists(st.integers(-2, 4), max_size=5),
    st.lists(st.sampled_from([0, 1, 3, -1, 2**31, 2**32, 2**62, 2**63, 2**64, 10**30]), max_size=4),
    st.just([1] * 70), st.sampled_from([None, "2", {}, 3, [True], [1.0], ["1"], [None], [[1, 3]]]),
)  # fmt: skip


@st.composite
def tensors(draw, spec):
    datatype = (
        spec.datatype if draw(st.integers(0, 9)) else draw(st.sampled_from([*DTYPES, "FP8", "fp32", ""]))
    )
    dims = [draw(SIZES) if dim is None else dim for dim in spec.shape]
    if not draw(st.integers(0, 4)):
        dims = draw(st.lists(SIZES, max_size=4))
    fit = FIT[DTYPES[spec.datatype].kind]
    leaf = fit if draw(st.integers(0, 3)) else st.one_of(fit, ODD)
    return Tensor(spec.name, datatype, dims, _nested(draw, dims, leaf))


def _nested(draw, dims, leaf):
    if not dims:
        return draw(leaf)
    return [_nested(draw, dims[1:], leaf) for _ in range(dims[0])]


@st.composite
def askings(draw, signature: Signature):
    chosen = [
        draw(tensors(spec))
        for spec in signature.inputs
        if draw(st.integers(0, 9)) > (4 if spec.optional else 0)
    ]
    for _ in range(draw(st.sampled_from([0] * 8 + [1, 2]))):
        extra = draw(tensors(draw(st.sampled_from(signature.inputs))))
        chosen.append(replace(extra, name=draw(st.one_of(st.just(extra.name), st.text(max_size=6)))))
    chosen = draw(st.permutations(chosen))
    asking = Asking(chosen, draw(st.sampled_from(["json", "binary", "typed"])))
    if draw(st.booleans()):
        return asking
    offs = st.sampled_from([-(2**40), -8, -1, 1, 4, 2**31, 2**63, 2**64])
    names = st.one_of(st.sampled_from([spec.name for spec in signature.outputs]), st.text(max_size=4))
    wrongs = {
        "shape": SHAPES,
        "size_off": offs,
        "header_off": offs,
        "length_off": st.sampled_from([-8, -1, 1, 40]),
        "has_both": st.just(True),
        "outputs": st.one_of(
            ODD, st.lists(st.fixed_dictionaries({"name": names}, optional={"parameters": _parameters}))
        ),
        "parameters": st.one_of(ODD, _parameters),
    }
    wrong = draw(st.sampled_from(list(wrongs)))
    return replace(asking, **{wrong: draw(wrongs[wrong])})


_parameters = st.dictionaries(
    st.sampled_from(
        ["binary_data", "binary_data_output", "classification", "timeout", "priority", "sequence_id", "binary_data_size",
         "shared_memory_region", "x"]
    ),
    ODD, max_size=2,
)  # fmt: skip


def _sent_to(door, by, model, environ, body):
    async def receive(length):
        return read_exactly(io.BytesIO(body).read, length)

    return complete(predict(door, environ, Arrived(receive), door.model_request(by, model, "", "")))


# The doors. Each puts an asking into its own words, and gives what is to be called.
def _over_rest(by, model, asking):
    if asking.wish == "binary":
        environ, body = _in_binary(asking)
        environ["CONTENT_TYPE"] = BINARY
    else:
        environ, body = {"CONTENT_TYPE": "application/json"}, _json(_rest_form(asking))
    environ["CONTENT_LENGTH"] = str(max(0, len(body) + asking.length_off))
    return partial(_sent_to, REST, by, model, environ, body)


def _rest_form(asking):
    named = {tensor.name: tensor.values for tensor in asking.tensors}
    if asking.wish == "json" or not named:
        return {"inputs": named}
    first = next(iter(named.values()))
    if asking.has_both:
        return {"data": first}
    if len(named) == 1:
        return {"instances": first}
    rows = zip(*(values if isinstance(values, list) else [values] for values in named.values()), strict=False)
    return {"instances": [dict(zip(named, row, strict=True)) for row in rows] or [named]}


def _over_oip(by, model, asking):
    if asking.wish == "binary":
        environ, body = _in_binary(asking)
    else:
        environ, body = {}, _json(_oip_body(asking, lambda tensor: {"data": tensor.values}))
    environ["CONTENT_LENGTH"] = str(max(0, len(body) + asking.length_off))
    return partial(_sent_to, OIP, by, model, environ, body)


def _in_binary(asking):
    parts = [_packed(tensor) for tensor in asking.tensors]
    sizes = iter([len(part) for part in parts])

    def write(tensor):
        off = asking.size_off if tensor is asking.tensors[0] else 0
        written = {"parameters": {"binary_data_size": next(sizes) + off}}
        return {**written, "data": tensor.values} if asking.has_both else written

    text = _json(_oip_body(asking, write))
    length = {"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": str(len(text) + asking.header_off)}
    return length, text + b"".join(parts)


def _oip_body(asking, write):
    inputs = [
        {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.dims, **write(tensor)}
        for tensor in asking.tensors
    ]
    body = {"inputs": inputs}
    if asking.shape is not None and asking.tensors:
        body["inputs"][0]["shape"] = asking.shape
    for name in ("outputs", "parameters"):
        if getattr(asking, name) is not None:
            body[name] = getattr(asking, name)
    return body


def _over_grpc(by, model, asking):
    """Only what protobuf lets a client write: what it refuses never reaches us."""
    caller = SimpleNamespace(by=by, within_s=None, metadata={}, set_request_id=lambda request_id: None)
    caller.cancellation, caller.holding = Cancellation(), a_holding()
    caller.ask = lambda name, version: request_named(by, name, version, caller.cancellation)
    return lambda: complete(inference_service.model_infer(_message(model, asking), caller))


def _message(model, asking):
    message = pb.ModelInferRequest(model_name=model)
    for tensor in asking.tensors:
        said = asking.shape if isinstance(asking.shape, list) and tensor is asking.tensors[0] else tensor.dims
        shape = [size for size in said if type(size) is int and -(2**63) <= size < 2**63]
        item = message.inputs.add(name=_text(tensor.name), datatype=_text(tensor.datatype), shape=shape)
        if asking.wish != "typed":
            message.raw_input_contents.append(_packed(tensor)[: max(0, 64 - abs(asking.size_off))])
        if asking.wish == "typed" or asking.has_both:
            _fill(item.contents, tensor)
    for name in (asking.outputs or []) if isinstance(asking.outputs, list) else []:
        message.outputs.add(name=_text(name["name"]))
    for name, wanted in (asking.parameters or {}).items() if isinstance(asking.parameters, dict) else ():
        if isinstance(wanted, bool | str) or (isinstance(wanted, int) and abs(wanted) < 2**62):
            kind = {bool: "bool_param", str: "string_param", int: "int64_param"}[type(wanted)]
            setattr(message.parameters[name], kind, _text(wanted) if isinstance(wanted, str) else wanted)
    return pb.ModelInferRequest.FromString(message.SerializeToString())


def _fill(contents, tensor):
    fields = {"b": "bool", "i": "int", "u": "uint", "f": "fp32", "O": "bytes"}
    kind = DTYPES[tensor.datatype].kind if tensor.datatype in DTYPES else "f"
    for leaf in _leaves(tensor.values):
        given = leaf.encode(errors="replace") if isinstance(leaf, str) and kind == "O" else leaf
        try:
            getattr(contents, f"{fields[kind]}_contents").append(given)
        except (TypeError, ValueError, OverflowError):
            contents.bool_contents.append(True)


def _packed(tensor) -> bytes:
    """The tensor's bytes, as far as its values have any in its datatype."""
    datatype = tensor.datatype if tensor.datatype in DTYPES else "FP32"
    leaves = list(_leaves(tensor.values))
    if datatype == "BYTES":
        return packed(np.array([str(leaf).encode(errors="replace") for leaf in leaves], object), datatype)
    numbers = [leaf if isinstance(leaf, bool | int | float) and abs(leaf) < 100 else 0 for leaf in leaves]
    return packed(np.array(numbers, np.float64).astype(DTYPES[datatype]), datatype)


def _leaves(values):
    if isinstance(values, list):
        for inner in values:
            yield from _leaves(inner)
    else:
        yield values


def _text(text) -> str:
    return str(text).encode(errors="replace").decode()


def _json(body) -> bytes:
    return json.dumps(body).encode()


DOORS = {"rest": _over_rest, "oip": _over_oip, "grpc": _over_grpc}


def _fuzz(by, model, examples) -> dict[str, int]:
    """Send so many askings through every door; return how many were answered and refused."""
    signature = services.describe(by, model).signature
    count = {"answered": 0, "refused": 0, "tensors": 0}

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(asking=askings(signature), door=st.sampled_from(sorted(DOORS)))
    def send(asking, door):
        call = DOORS[door](by, model, asking)
        try:
            call()
            count["answered"] += 1
        except Exception as error:  # noqa: BLE001 (all of them are looked at)
            _check(error, door)
            count["refused"] += 1
            count["tensors"] += isinstance(error, InvalidInput)

    send()
    return count


def _check(error, door):
    status = status_of(error)
    assert status is not None, repr(error)
    assert status < 500 or status == 503, repr(error)
    assert code_of(type(error)) is not None
    assert str(error).endswith(".") and len(str(error)) < 2_000
    if isinstance(error, UnknownOutput):
        assert error.got in str(error)
    elif isinstance(error, InvalidInput):
        assert repr(error.field) in str(error) or f"Instance {error.field} " in str(error), repr(error)
        if door == "rest":
            request = SimpleNamespace(META={}, path="/")
            (told,) = json.loads(error_response(error, request).content)["errors"]
            assert _last(told["pointer"]) in {error.field, None}, told


def _last(pointer: str) -> str | None:
    """The tensor that a pointer names; None where its form names none."""
    form, *names = [unquote(part).replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    assert form in {"inputs", "instances", "features", "data"}
    assert len(names) == (form == "inputs")
    return names[0] if names else None


@pytest.mark.parametrize("examples", [200, pytest.param(10_000, marks=pytest.mark.long)])
def test_almost_right_requests_are_answered_or_refused_by_name(asking, examples):
    counts = {model: _fuzz(asking, model, examples) for model in MODELS}

    for count in counts.values():
        assert count["answered"] + count["refused"] >= examples
        assert min(count.values()) > examples * 0.05, counts  # neither all right nor all wrong
