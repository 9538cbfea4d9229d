"""Named tensors and a few facts as bytes: a small JSON header, then each tensor's values as in memory.

Reading copies nothing: the arrays are read-only views of the bytes. A text tensor is stored as lengths and UTF-8; if one
text is not UTF-8, the whole tensor is read as bytes. Reading returns tensors or raises BadPacket, whatever the bytes are.
"""

import struct
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from inference.tensors.signature import DTYPES

Array = NDArray[Any]

_START = struct.Struct("<4sI")  # magic, bytes of the header
_MAGIC = b"RHT1"
_ALIGNED = 16  # everything begins at a multiple of this, which numpy and the runtime read fastest
_LONGEST_HEADER = 1 << 20
_MOST_TENSORS = 4096
_MOST_AXES = 32  # numpy 2 allows more; no model needs more
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_TEXTS = "OSV"  # array kinds that hold texts; `S` and `V` hold texts that are not UTF-8


class BadPacket(ValueError):
    """These bytes are not packed tensors."""


class Packet(NamedTuple):
    facts: dict[str, Any]
    tensors: dict[str, Array]


def pack(tensors: Mapping[str, Array], facts: Mapping[str, Any] | None = None) -> bytes:
    lines: list[tuple[str, str, tuple[int, ...], int]] = []
    buffers: list[bytes | memoryview] = []
    for name, tensor in tensors.items():
        is_text = tensor.dtype.kind in _TEXTS
        datatype = "BYTES" if is_text else _NAMES[tensor.dtype]
        buffer = _texts(tensor) if is_text else _values(tensor)
        lines.append((name, datatype, tensor.shape, len(buffer)))
        buffers += (buffer, bytes(-len(buffer) % _ALIGNED))
    header = orjson.dumps((facts or {}, lines))
    header += b" " * (-(len(header) + _START.size) % _ALIGNED)
    return b"".join((_START.pack(_MAGIC, len(header)), header, *buffers))


def unpack(packed: bytes | memoryview) -> Packet:
    view = memoryview(packed)
    try:
        return _unpack(view)
    except BadPacket:
        raise
    except (struct.error, ValueError, TypeError, KeyError, OverflowError) as error:
        raise BadPacket(f"{type(error).__name__} in packed tensors") from error


def _unpack(view: memoryview) -> Packet:
    magic, length = _START.unpack_from(view)
    _check(magic == _MAGIC and length <= min(_LONGEST_HEADER, len(view) - _START.size), "no header")
    at = _START.size + length
    facts, lines = orjson.loads(view[_START.size : at])
    _check(
        isinstance(facts, dict) and isinstance(lines, list) and len(lines) <= _MOST_TENSORS, "invalid header"
    )
    tensors = {}
    for name, datatype, shape, nbytes in lines:
        _check(isinstance(name, str) and name not in tensors and _is_size(nbytes), "invalid line")
        _check(len(shape) <= _MOST_AXES and all(map(_is_size, shape)), "invalid shape")
        _check(at + nbytes <= len(view), "cut short")
        buffer = view[at : at + nbytes]
        tensors[name] = _read_texts(buffer, shape) if datatype == "BYTES" else _read(buffer, datatype, shape)
        at += nbytes + -nbytes % _ALIGNED
    return Packet(facts, tensors)


def _values(tensor: Array) -> bytes | memoryview:
    return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data if tensor.size else b""


def _texts(tensor: Array) -> bytes:
    texts = tensor.ravel().tolist()
    if tensor.dtype.kind == "O":
        texts = [text.encode() for text in texts]
    return b"".join((np.array([len(text) for text in texts], "<u4").tobytes(), *texts))


def _read(buffer: memoryview, datatype: str, shape: list[int]) -> Array:
    dtype = DTYPES[datatype]
    _check(prod(shape) * dtype.itemsize == len(buffer), "size and shape differ")
    if dtype.kind == "b":
        _check(not np.frombuffer(buffer, np.uint8).max(initial=0) > 1, "neither true nor false")
    return np.frombuffer(buffer, dtype).reshape(shape)


def _read_texts(buffer: memoryview, shape: list[int]) -> Array:
    count = prod(shape)
    _check(4 * count <= len(buffer), "cut short")
    lengths = np.frombuffer(buffer[: 4 * count], "<u4").tolist()
    _check(sum(lengths) == len(buffer) - 4 * count, "size and shape differ")
    ends = np.cumsum([4 * count, *lengths]).tolist()
    pieces = [buffer[at:end] for at, end in pairwise(ends)]
    texts = np.empty(count, object)
    try:
        texts[:] = [str(piece, "utf-8") for piece in pieces]
    except UnicodeDecodeError:
        texts[:] = list(map(bytes, pieces))
    return texts.reshape(shape)


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise BadPacket(f"Packed tensors: {problem}.")
