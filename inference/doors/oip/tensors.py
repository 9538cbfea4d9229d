"""Tensors on the wire: little-endian bytes without padding, or lists of values."""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from inference.doors.errors import BadTensor
from inference.doors.oip.messages import Array, RequestLimits
from inference.tensors.prepare import prepare
from inference.tensors.signature import DTYPES, Signature, TensorSpec

Buffer = bytes | memoryview

_MAX_RANK = 64  # numpy's
_LENGTH = struct.Struct("<I")
_WIRE = {name: dtype.newbyteorder("<") for name, dtype in DTYPES.items()}


def check_datatype(name: str, datatype: object) -> str:
    if isinstance(datatype, str) and datatype in DTYPES:
        return datatype
    raise _bad_tensor(name, f"has datatype {str(datatype)[:40]!r}", f"send one of {', '.join(DTYPES)}")


def check_shape(name: str, shape: object) -> tuple[int, ...]:
    """The shape as a tuple; raises if it has more elements than an array can hold, ignoring zeros."""
    if not isinstance(shape, list) or not {int}.issuperset(map(type, shape)):
        raise _bad_tensor(name, "has no shape", "send `shape` as a list of whole numbers")
    if len(shape) > _MAX_RANK:
        raise _bad_tensor(name, f"has {len(shape)} axes", f"send at most {_MAX_RANK}")
    if shape and min(shape) < 0:
        raise _bad_tensor(name, f"has shape {_text(shape)}", "send sizes of 0 or more")
    # numpy counts the bytes of an empty array too, so zeros are left out.
    if (math.prod(shape) or math.prod(filter(None, shape))) > 2**48:
        raise _bad_tensor(name, f"has shape {_text(shape)}", "send fewer elements")
    return tuple(shape)


def read_binary(
    name: str, datatype: str, shape: tuple[int, ...], data: Buffer, limits: RequestLimits
) -> Array:
    """A tensor from its bytes, copied only if they are not aligned."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return read_texts(name, data, count, limits).reshape(shape)
    dtype = _WIRE[datatype]
    if count * dtype.itemsize != len(data):
        raise _bad_tensor(
            name, f"has {len(data)} bytes and shape {_text(shape)}", f"{datatype} of that shape has {count * dtype.itemsize}"
        )  # fmt: skip
    if not count:
        return np.empty(shape, dtype)
    tensor = np.frombuffer(data, dtype).reshape(shape)
    if datatype == "BOOL" and (tensor.view(np.uint8) > 1).any():
        raise _bad_tensor(name, "holds bytes that are not BOOL", "send 0 or 1 for each element")
    if not tensor.flags.aligned:
        return tensor.copy()  # the runtime needs aligned numbers
    return tensor


def read_texts(name: str, data: Buffer, count: int, limits: RequestLimits) -> Array:
    """Read texts, each preceded by its length in four bytes."""
    if count > limits.texts:
        raise _bad_tensor(name, f"has {count:,} texts", f"send at most {limits.texts:,} at once")
    if count * _LENGTH.size > len(data):
        raise _bad_tensor(
            name, f"has {len(data)} bytes for {count} texts", "each text starts with a four-byte length"
        )
    texts = np.empty(count, object)
    at, end = 0, len(data)
    for index in range(count):
        if at + _LENGTH.size > end:
            raise _bad_tensor(
                name, f"ends inside text {index}", "send the length of every text as four bytes"
            )
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if size > end - at:
            raise _bad_tensor(
                name,
                f"declares {size} bytes for text {index}, but {end - at} are left",
                "send its true length",
            )
        texts[index] = bytes(data[at : at + size])
        at += size
    if at != end:
        raise _bad_tensor(
            name, f"has {end - at} bytes after its last text", "send as many texts as the shape has elements"
        )
    return texts


def read_values(name: str, datatype: str, shape: tuple[int, ...], data: Any, limits: RequestLimits) -> Array:
    """A tensor of values in row-major order, flat or nested like the shape."""
    if datatype == "BYTES" and math.prod(shape) > limits.texts:
        raise _bad_tensor(name, f"has {math.prod(shape):,} texts", f"send at most {limits.texts:,} at once")
    if not isinstance(data, list | np.ndarray):
        raise _bad_tensor(name, "has no data", "send `data` as a list")
    # The engine's own parser is strict about types and names the field. Whether NaN and null are allowed depends on the
    # version, which is not known yet.
    spec = TensorSpec(name, datatype, (), any_rank=True)
    tensor = prepare(Signature((spec,), ()), {name: data}, allow_non_finite=True, online=True)[name]
    if tensor.shape == shape:
        return tensor
    if tensor.size != math.prod(shape) or (tensor.ndim != 1 and tensor.size):
        raise _bad_tensor(
            name, f"has shape {_text(shape)} and data of shape {_text(tensor.shape)}", "make them agree"
        )
    return tensor.reshape(shape)


def write_binary(tensor: Array, datatype: str) -> tuple[Any, int]:
    """A buffer with the tensor's bytes in wire format, and its size; numbers are not copied."""
    if datatype == "BYTES":
        packed = write_texts(tensor.ravel().tolist())
        return packed, len(packed)
    plain = np.ascontiguousarray(tensor, _WIRE[datatype])
    return plain, plain.nbytes


def write_texts(texts: Iterable[str | bytes]) -> bytes:
    parts: list[bytes] = []
    for text in texts:
        raw = text.encode() if isinstance(text, str) else text
        parts += (_LENGTH.pack(len(raw)), raw)
    return b"".join(parts)


def write_values(tensor: Array, datatype: str) -> Any:
    """The flat values in a form that orjson writes."""
    if datatype == "BYTES":
        return [text if isinstance(text, str) else text.decode() for text in tensor.ravel().tolist()]
    return np.ascontiguousarray(tensor.ravel(), DTYPES[datatype])


def _text(shape: Sequence[int]) -> str:
    return str(list(shape))[:120]


def _bad_tensor(name: str, fact: str, advice: str) -> BadTensor:
    return BadTensor(f"Input {name[:80]!r} {fact}; {advice}.", field=name[:80])
