"""A varint reader, for cases where parsing the whole protobuf message could build large objects."""


def read_varint(data: memoryview, start: int) -> tuple[int, int]:
    """Return an unsigned number and the offset after it; raise IndexError if it is cut off or exceeds 64 bits."""
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
        if shift > 63:
            raise IndexError
