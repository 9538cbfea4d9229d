"""What can be told of a file at once: whether it is an ONNX model at all, and whole. Its graph is stepped over."""

import os
import stat

from registry.intake.gate.errors import EmptyFile, GateRefused, NotOnnx, TooMuch
from registry.intake.gate.limits import DEFAULT, GateLimits
from registry.intake.gate.looks import HEAD_BYTES, other_format
from registry.intake.gate.schema import MODEL
from registry.intake.gate.wire import WireFile

_MOST_FIELDS = 200_000  # of the model itself; a moment's work
NO_GRAPH = "The file holds no graph, so it is no ONNX model; export the model as ONNX and send that."


def look_at(descriptor: int, limits: GateLimits = DEFAULT) -> None:
    """Raise GateRefused where the file is another kind of file, or breaks off. All else is the gate's work."""
    size = check_kind(descriptor, limits)
    file, found = WireFile(descriptor, size, limits), set[str]()
    try:
        for count, (what, _, _) in enumerate(file.fields(MODEL, 0, size)):
            found.add(what)
            if count > _MOST_FIELDS:
                return
    except GateRefused:
        if "ir_version" not in found:  # every exporter writes it first: this is no model at all
            raise NotOnnx from None
        raise
    if "graph" not in found:
        raise NotOnnx(NO_GRAPH)


def check_kind(descriptor: int, limits: GateLimits) -> int:
    """Give the size of a file that may be an ONNX model; raise GateRefused."""
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise NotOnnx("This is a folder, not an ONNX file; send the file itself.")
    if not stat.S_ISREG(status.st_mode):
        raise NotOnnx("This is a device or a pipe, not an ONNX file; send the file itself.")
    if status.st_size == 0:
        raise EmptyFile
    if status.st_size > limits.max_file_bytes:
        raise TooMuch(
            f"The file has {status.st_size:,} bytes, of which an ONNX file may have {limits.max_file_bytes:,};"
            " send a smaller model."
        )
    told = other_format(os.pread(descriptor, HEAD_BYTES, 0))
    if told is not None:
        raise NotOnnx(f"The file {told}.")
    return status.st_size
