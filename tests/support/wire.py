"""Requests and answers of the protocol, made and read here without the product's own codec."""

import json
import struct

import numpy as np

from inference.doors.memory import MemoryHolding, RequestMemory
from inference.serving.calls import Prediction
from inference.tensors.signature import DTYPES, Signature, TensorSpec
from tests.support.pipelines import plain

PLENTY = 1 << 40


def a_holding(limit=PLENTY):
    """What one request holds, of a memory that it has for itself."""
    return MemoryHolding(RequestMemory(limit))


class Arrived:
    """A request that is here; `receive` gives its body."""

    def __init__(self, receive, limit=PLENTY):
        self.receive, self.holding = receive, a_holding(limit)

    async def hold(self, nbytes):
        self.holding.add(nbytes)


NUMBERS = [name for name in DTYPES if name != "BYTES"]


def packed(array, datatype):
    """A tensor's bytes as the protocol has them."""
    if datatype == "BYTES":
        raws = [text.encode() if isinstance(text, str) else text for text in array.ravel()]
        return b"".join(struct.pack("<I", len(raw)) + raw for raw in raws)
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def sent(environ_more=None, *, text, binary=b"", has_header=None):
    """A request's headers by their names in WSGI, and its body."""
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    body = text + binary
    environ = {"CONTENT_LENGTH": str(len(body))}
    if binary if has_header is None else has_header:
        environ["HTTP_INFERENCE_HEADER_CONTENT_LENGTH"] = str(len(text))
    return {**environ, **(environ_more or {})}, body


def in_binary(tensors, **more):
    """JSON part and binary part of a request with these tensors: {name: (datatype, array)}."""
    entries, parts = [], []
    for name, (datatype, array) in tensors.items():
        parts.append(packed(array, datatype))
        entries.append({
            "name": name, "datatype": datatype, "shape": list(array.shape),
            "parameters": {"binary_data_size": len(parts[-1])},
        })  # fmt: skip
    return {"inputs": entries, **more}, b"".join(parts)


def prediction(outputs, *, datatypes=None, labels=(), batchable=True, non_finite=False):
    """An answer as serving gives it."""
    specs = tuple(
        TensorSpec(name, (datatypes or {}).get(name) or _datatype_of(array), (None,) * array.ndim)
        for name, array in outputs.items()
    )
    rows = TensorSpec("x", "FP32", (None, 2) if batchable else (1, 2))
    signature = Signature((rows,), specs)
    return Prediction(
        request_id="r-1", model="m", version=3, arm="A", split=7, outputs=outputs,
        signature=signature, pipeline=plain(signature, labels=labels), non_finite=non_finite,
    )  # fmt: skip


def received(headers, body):
    """What a client makes of an answer: the JSON part, and the tensors by name."""
    headers = dict(headers)
    at = int(headers.get("Inference-Header-Content-Length", len(body)))
    answer, rest = json.loads(body[:at]), body[at:]
    tensors = {}
    for output in answer["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            flat = np.empty(len(output["data"]), DTYPES[output["datatype"]])
            flat[:] = output["data"]
            tensors[output["name"]] = flat.reshape(output["shape"])
            continue
        mine, rest = rest[:size], rest[size:]
        tensors[output["name"]] = unpacked(mine, output["datatype"]).reshape(output["shape"])
    assert rest == b""
    return answer, tensors


def unpacked(raw, datatype):
    if datatype != "BYTES":
        return np.frombuffer(raw, DTYPES[datatype])
    texts = []
    while raw:
        (size,) = struct.unpack("<I", raw[:4])
        texts.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    flat = np.empty(len(texts), object)
    flat[:] = texts
    return flat


def _datatype_of(array):
    return next(name for name, dtype in DTYPES.items() if dtype == array.dtype)
