"""Message classes, in our own pool because other packages may define the same names, and estimates of their memory."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

from inference.tensors.protobuf import read_varint

POOL = DescriptorPool()


def define(serialized: bytes, module: dict[str, Any]) -> FileDescriptor:
    """Add a file's messages and enums to a module."""
    file = POOL.AddSerializedFile(serialized)
    for name, message in file.message_types_by_name.items():
        module[name] = GetMessageClass(message)
    for name, enum in file.enum_types_by_name.items():
        module[name] = EnumTypeWrapper(enum)
    return file


def define_service(name: str, *, like: str) -> None:
    """Define a service under another full name, with the same calls and messages."""
    service = POOL.FindServiceByName(like)
    package, _, last = name.rpartition(".")
    file = FileDescriptorProto(
        name=f"{name}.proto", package=package, syntax="proto3", dependency=[service.file.name]
    )
    copy = file.service.add()
    service.CopyToProto(copy)
    copy.name = last
    POOL.Add(file)


# A parsed field's memory, as a multiple of its bytes; for a message, by field. Lists of numbers become Python's
# numbers before they become a tensor.
_WORST = 40
_DECIMALS, _DOUBLES, _KEPT = 14, 8, 2
_FIELD = 100
_MOST_FIELDS = 2048  # of a message; for the rest the worst case is assumed

Fields = Mapping[int, Any]

NO_FIELDS: Fields = {}
INFER: Fields = {5: {5: {6: _DECIMALS, 7: _DOUBLES}}, 7: _KEPT}
ONE_TENSOR: Fields = {1: _DECIMALS}
TENSORS: Fields = {1: ONE_TENSOR}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def parsed_bytes(raw: bytes, fields: Fields) -> int:
    """An upper bound on a parsed message's memory. Malformed messages are left to the parser."""
    return _message_bytes(memoryview(raw), fields)


def _message_bytes(raw: memoryview, fields: Fields) -> int:
    at, needed = 0, 0
    for _ in range(_MOST_FIELDS):
        if at >= len(raw):
            return needed
        try:
            key, at = read_varint(raw, at)
            kind = key & 7
            if kind == _BYTES:
                size, at = read_varint(raw, at)
                inner = fields.get(key >> 3, _WORST)
                part = raw[at : at + size]
                needed += _message_bytes(part, inner) if isinstance(inner, Mapping) else inner * len(part)
                at += size
            elif kind == _VARINT:
                _, at = read_varint(raw, at)
            else:
                at += {_FIXED64: 8, _FIXED32: 4}[kind]
        except LookupError:  # the message is cut off, or uses an obsolete wire type
            break
        needed += _FIELD
    return needed + _WORST * max(0, len(raw) - at)
