"""What a trial and its child send each other: a line of JSON and the tensors after it, nothing that could be code."""

import json
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from inference.engine.backends import Tensors, type_ndarray
from inference.tensors.errors import InferenceError
from inference.tensors.signature import DTYPES

MAX_BYTES = 1 << 30
_SIZES = struct.Struct("!QQ")  # of the JSON, and of all that follows it
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_RAW_TEXTS = re.compile(r"\|[SV][1-9]\d{0,8}")  # the arrays in which texts travel that are no UTF-8

Message = Mapping[str, Any]


class FrameTooLarge(InferenceError):
    """The tensors are too large to be handed over at once."""


Frame = tuple[dict[str, Any], dict[str, type_ndarray]]


def write_frame(message: Message, tensors: Tensors | None = None) -> bytes:
    """Write one frame; raises FrameTooLarge before it copies anything."""
    size = sum(tensor.nbytes for tensor in (tensors or {}).values())
    if size > MAX_BYTES // 2:
        raise FrameTooLarge(
            f"The tensors of one run have {size >> 20:,} MiB, and {MAX_BYTES >> 21:,} are handed over at most."
        )
    told, data = [], []
    for name, tensor in (tensors or {}).items():
        data.append(_bytes_of(tensor))
        shape = [int(size) for size in tensor.shape]
        datatype = _NAMES.get(tensor.dtype, tensor.dtype.str)
        told.append({"name": name, "datatype": datatype, "shape": shape, "bytes": len(data[-1])})
    head = json.dumps({"message": message, "tensors": told}).encode()
    return b"".join([_SIZES.pack(len(head), sum(map(len, data))), head, *data])


def read_frame(receive: Callable[[int], bytes]) -> Frame:
    """Read one frame; `receive(count)` gives exactly so many bytes.

    The other side may be a child that a file has taken over: whatever it writes, this raises ValueError at worst.
    """
    head_bytes, data_bytes = _SIZES.unpack(receive(_SIZES.size))
    if head_bytes + data_bytes > MAX_BYTES:
        raise ValueError("The frame is too large.")
    head, data = receive(head_bytes), memoryview(receive(data_bytes))
    try:
        found = json.loads(head)
        tensors, at = {}, 0
        for told in found["tensors"]:
            size = int(told["bytes"])
            tensors[str(told["name"])] = _tensor(told, data[at : at + size])
            at += size
        return dict(found["message"]), tensors
    except (LookupError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("The frame is not one of ours.") from error


def _bytes_of(tensor: type_ndarray) -> bytes:
    if tensor.dtype.kind == "O":
        return json.dumps(tensor.ravel().tolist()).encode()
    return np.ascontiguousarray(tensor).tobytes()


def _tensor(told: Message, data: memoryview) -> type_ndarray:
    is_raw = _RAW_TEXTS.fullmatch(told["datatype"]) is not None
    dtype = np.dtype(told["datatype"]) if is_raw else DTYPES[told["datatype"]]
    shape = [int(size) for size in told["shape"]]
    if min(shape, default=0) < 0:
        raise ValueError("The frame holds a negative size.")
    if dtype.kind != "O":
        return np.frombuffer(data, dtype).reshape(shape)
    texts = [str(text) for text in json.loads(bytes(data))]
    flat = np.empty(len(texts), object)
    flat[:] = texts
    return flat.reshape(shape)
