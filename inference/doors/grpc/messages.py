"""Where message classes come from: a pool of our own, since other packages in a process may bring the same names."""

from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()


def define(serialized: bytes, module: dict[str, Any]) -> FileDescriptor:
    """Put a file's messages and enums into a module."""
    file = POOL.AddSerializedFile(serialized)
    for name, message in file.message_types_by_name.items():
        module[name] = GetMessageClass(message)
    for name, enum in file.enum_types_by_name.items():
        module[name] = EnumTypeWrapper(enum)
    return file


def define_service(name: str, *, like: str) -> None:
    """Describe a service under another full name, with the same calls and messages."""
    service = POOL.FindServiceByName(like)
    package, _, last = name.rpartition(".")
    file = FileDescriptorProto(
        name=f"{name}.proto", package=package, syntax="proto3", dependency=[service.file.name]
    )
    described = file.service.add()
    service.CopyToProto(described)
    described.name = last
    POOL.Add(file)
