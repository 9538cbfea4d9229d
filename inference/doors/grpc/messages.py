"""Where message classes come from: a pool of our own, since other packages in a process may bring the same names."""

from typing import Any

from google.protobuf.descriptor import FileDescriptor
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
