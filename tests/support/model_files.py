"""Model files with their weights outside, and bytes that look like a model and hold whatever a test likes."""

from onnx import ModelProto, TensorProto

from registry.intake.file_scan.drafts import field, number_field, varint

_HEAD = number_field(1, 8) + field(7, b"")  # an IR version and an empty graph


def looks_like_a_model(content: bytes) -> bytes:
    """A file that the first look lets through; its text is this content."""
    return _HEAD + field(6, content)


def head_of(size: int) -> bytes:
    """How a file of this size begins whose other bytes are one long text."""
    text = size - len(_HEAD) - 1
    for digits in range(1, 6):
        length = varint(text - digits)
        if len(length) == digits:
            return _HEAD + varint(6 << 3 | 2) + length
    raise ValueError(f"{size} bytes cannot be a model")


def tensors_in(message):
    """Every tensor of a model at any depth, as protobuf itself finds them."""
    if isinstance(message, TensorProto):
        yield message
        return
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for inner in value if kind.is_repeated else [value]:
                yield from tensors_in(inner)


def put_outside(model: ModelProto, location: str = "model.onnx.data", *, gap: int = 0) -> tuple[bytes, bytes]:
    """The model with the raw data of every tensor in another file, and that file."""
    copy, data = ModelProto(), bytearray()
    copy.CopyFrom(model)
    for tensor in tensors_in(copy):
        if not tensor.HasField("raw_data"):
            continue
        data += bytes(gap)
        entries = {"location": location, "offset": str(len(data)), "length": str(len(tensor.raw_data))}
        data += tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
    return copy.SerializeToString(), bytes(data)
