"""Protobuf read by hand, where parsing it would build what may be large."""


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read an unsigned number; give it and where it ends. IndexError where it breaks off, or has more than 64 bits."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError
