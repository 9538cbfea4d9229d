"""What a file that is no ONNX model looks like, so that the answer can say what to do about it."""

import re

HEAD_BYTES = 512
TORCH = "is a PyTorch file, which is a program; export the model with torch.onnx.export and send that"
_PICKLE = "is a pickle, which is a program and is never opened here; export the model as ONNX and send that"
_TFLITE = "is a TensorFlow Lite model; convert it with tf2onnx and send that"
_SAVED_MODEL = "is a TensorFlow SavedModel; convert it with tf2onnx and send that"
_ARCHIVE = "is {}, which is never unpacked here; send the ONNX file itself"
_PROGRAM = "is a program ({}), not a model; export the model as ONNX and send that"

# The first that fits is told. Those with an offset are looked for there.
_LOOKS: tuple[tuple[int, bytes, str], ...] = (
    (0, rb"PK\x03\x04.{26,200}?data\.pkl", TORCH),
    (0, rb"PK(?:\x03\x04|\x05\x06|\x01\x02)", _ARCHIVE.format("a zip archive")),
    (0, rb"\x80[\x02-\x05]\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", TORCH),
    (0, rb"\x80[\x02-\x05].", _PICKLE),
    (0, rb"\(?c[\w.]+\n[\w.]+\n", _PICKLE),
    (0, rb"\x1f\x8b", _ARCHIVE.format("a gzip archive")),
    (0, rb"BZh[1-9]|\xfd7zXZ\x00|\x28\xb5\x2f\xfd", _ARCHIVE.format("a compressed file")),
    (0, rb"7z\xbc\xaf\x27\x1c|Rar!", _ARCHIVE.format("an archive")),
    (257, rb"ustar", _ARCHIVE.format("a tar archive")),
    (0, rb"\x7fELF", _PROGRAM.format("ELF")),
    (0, rb"MZ", _PROGRAM.format("Windows")),
    (0, rb"#!", _PROGRAM.format("a script")),
    (4, rb"TFL3", _TFLITE),
    (4, rb"ORTM", "is in ONNX Runtime's own format; send the ONNX model it was made from"),
    (0, rb"\x89HDF", "is a Keras or HDF5 file; export the model as ONNX and send that"),
    (0, rb"GGUF", "is a GGUF file; export the model as ONNX and send that"),
    (
        0,
        rb".{5}\x00\x00\x00\{\"",
        "is a safetensors file, weights without a model; export the model as ONNX and send that",
    ),
    (0, rb"\x08\x01\x12[\x80-\xff]", _SAVED_MODEL),
    (0, rb"(?i)\s*<(?:!doctype|html|\?xml)", "is a web page; download the model itself and send that"),
    (0, rb"version https://git-lfs", "is a pointer of Git LFS; fetch the model itself and send that"),
    (0, rb"\s*[\{\[]\s*[\"\{\[\d]", "is JSON; export the model as ONNX and send that"),
)
_COMPILED = tuple((offset, re.compile(look, re.DOTALL), told) for offset, look, told in _LOOKS)


def other_format(head: bytes) -> str | None:
    """Say what kind of file begins like this, and what to do; None where it may be an ONNX model."""
    return next((told for offset, look, told in _COMPILED if look.match(head, offset)), None)
