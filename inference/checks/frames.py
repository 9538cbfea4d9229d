"""The messages between a trial and its child: JSON followed by tensors, nothing that could be code."""

import json
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from inference.tensors.arrays import Array, Tensors
from inference.tensors.errors import InferenceError
from inference.tensors.signature import DTYPES

MAX_BYTES = 1 << 30
_SIZES = struct.Struct("!QQ")  # of the JSON, and of the tensors
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_RAW_TEXTS = re.compile(r"\|[SV][1-9]\d{0,8}")  # array types for texts that are not UTF-8

Message = Mapping[str, Any]


class FrameTooLarge(InferenceError):
    """The tensors are too large to send to the child at once."""


Frame = tuple[dict[str, Any], dict[str, Array]]


def write_frame(message: Message, tensors: Tensors | None = None) -> bytes:
    """Encode one frame; raises FrameTooLarge before it copies anything."""
    size = sum(tensor.nbytes for tensor in (tensors or {}).values())
    if size > MAX_BYTES // 2:
        raise FrameTooLarge(
            f"The tensors of one run take {size >> 20:,} MiB; at most {MAX_BYTES >> 21:,} MiB can be sent to the child."
        )
    headers, data = [], []
    for name, tensor in (tensors or {}).items():
        data.append(_bytes_of(tensor))
        shape = [int(size) for size in tensor.shape]
        datatype = _NAMES.get(tensor.dtype, tensor.dtype.str)
        headers.append({"name": name, "datatype": datatype, "shape": shape, "bytes": len(data[-1])})
    head = json.dumps({"message": message, "tensors": headers}).encode()
    return b"".join([_SIZES.pack(len(head), sum(map(len, data))), head, *data])


def read_frame(receive: Callable[[int], bytes]) -> Frame:
    """Read one frame; `receive(count)` returns exactly that many bytes.

    A hostile file may control the child at the other end. Whatever it writes, this raises only ValueError.
    """
    head_bytes, data_bytes = _SIZES.unpack(receive(_SIZES.size))
    if head_bytes + data_bytes > MAX_BYTES:
        raise ValueError("The frame is too large.")
    head, data = receive(head_bytes), memoryview(receive(data_bytes))
    try:
        content = json.loads(head)
        tensors, start = {}, 0
        for header in content["tensors"]:
            size = int(header["bytes"])
            tensors[str(header["name"])] = _tensor(header, data[start : start + size])
            start += size
        return dict(content["message"]), tensors
    except (LookupError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("The frame is malformed.") from error


def _bytes_of(tensor: Array) -> bytes:
    if tensor.dtype.kind == "O":
        return json.dumps(tensor.ravel().tolist()).encode()
    return np.ascontiguousarray(tensor).tobytes()


def _tensor(header: Message, data: memoryview) -> Array:
    is_raw = _RAW_TEXTS.fullmatch(header["datatype"]) is not None
    dtype = np.dtype(header["datatype"]) if is_raw else DTYPES[header["datatype"]]
    shape = [int(size) for size in header["shape"]]
    if min(shape, default=0) < 0:
        raise ValueError("The frame contains a negative size.")
    if dtype.kind != "O":
        return np.frombuffer(data, dtype).reshape(shape)
    texts = [str(text) for text in json.loads(bytes(data))]
    flat = np.empty(len(texts), object)
    flat[:] = texts
    return flat.reshape(shape)
