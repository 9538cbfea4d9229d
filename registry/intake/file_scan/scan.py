"""Scans a file: it is a self-contained ONNX model within limits, or it is refused."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.intake.file_scan.errors import (
    EmptyFile,
    FileRefused,
    Malformed,
    NotOnnx,
    RuntimeConfig,
    TooMuch,
    UnsupportedVersion,
    quote_name,
)
from registry.intake.file_scan.graphs import GraphInterface, GraphWalk, check_operators
from registry.intake.file_scan.limits import DEFAULT, ItemCounts, ScanLimits
from registry.intake.file_scan.schema import MODEL
from registry.intake.file_scan.wire import WireFile

HEAD_BYTES = 512
TORCH = "is a PyTorch file, which is a program; export the model with torch.onnx.export and send that"
_PICKLE = "is a pickle, which is a program and is never opened here; export the model as ONNX and send that"
_TFLITE = "is a TensorFlow Lite model; convert it with tf2onnx and send that"
_SAVED_MODEL = "is a TensorFlow SavedModel; convert it with tf2onnx and send that"
_ARCHIVE = "is {}, which is never unpacked here; send the ONNX file itself"
_PROGRAM = "is a program ({}), not a model; export the model as ONNX and send that"
_NO_GRAPH = "The file has no graph, so it is not an ONNX model; export the model as ONNX and send that."
_MAX_MODEL_FIELDS = 200_000  # of the model message itself, read when only the format is checked
_RUNTIME_KEYS = frozenset({b"ort_config"})

# Offset, pattern, what it is and what to do; the first match wins.
_FORMATS: tuple[tuple[int, bytes, str], ...] = (
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
    (0, rb"version https://git-lfs", "is a Git LFS pointer; fetch the model itself and send that"),
    (0, rb"\s*[\{\[]\s*[\"\{\[\d]", "is JSON; export the model as ONNX and send that"),
)
_PATTERNS = tuple((offset, re.compile(pattern, re.DOTALL), advice) for offset, pattern, advice in _FORMATS)


def other_format(head: bytes) -> str | None:
    """What kind of file starts like this, and what to do; None if it may be an ONNX model."""
    return next((advice for offset, pattern, advice in _PATTERNS if pattern.match(head, offset)), None)


def check_format(descriptor: int, limits: ScanLimits = DEFAULT) -> None:
    """Raise FileRefused if the file is not ONNX or is incomplete; skip the graph, which the scan checks."""
    size = _check_kind(descriptor, limits)
    file, seen = WireFile(descriptor, size, limits), set[str]()
    try:
        for count, (what, _, _) in enumerate(file.fields(MODEL, 0, size)):
            seen.add(what)
            if count > _MAX_MODEL_FIELDS:
                return
    except FileRefused:
        if "ir_version" not in seen:  # every exporter writes it first: this is not a model at all
            raise NotOnnx from None
        raise
    if "graph" not in seen:
        raise NotOnnx(_NO_GRAPH)


def _check_kind(descriptor: int, limits: ScanLimits) -> int:
    """Return the size of a file that may be an ONNX model."""
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise NotOnnx("This is a folder, not an ONNX file; send the file itself.")
    if not stat.S_ISREG(status.st_mode):
        raise NotOnnx("This is a device or a pipe, not an ONNX file; send the file itself.")
    if status.st_size == 0:
        raise EmptyFile
    if status.st_size > limits.max_file_bytes:
        raise TooMuch(
            f"The file has {status.st_size:,} bytes; the limit is {limits.max_file_bytes:,}. Send a smaller model."
        )
    advice = other_format(os.pread(descriptor, HEAD_BYTES, 0))
    if advice is not None:
        raise NotOnnx(f"The file {advice}.")
    return status.st_size


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file contains; strings are untrusted."""

    ir_version: int
    opsets: Mapping[str, int]
    producer: str
    nodes: int
    initializers: int
    initializer_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domains: tuple[str, ...]  # of the operators used


def scan_file(path: Path, limits: ScanLimits = DEFAULT) -> FileFacts:
    """Return what the file contains, or raise FileRefused with a message for users.

    1. Format and size.
    2. A walk through the whole file: structure, limits, no external references, tensors.
    3. What needs the whole file: versions, operators, functions.

    The file is never loaded: the walk skips weights, and memory does not grow with them. OSErrors come from the store.
    """
    descriptor = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    )  # opening a pipe would block otherwise
    try:
        size = _check_kind(descriptor, limits)
        return _Walk(WireFile(descriptor, size, limits), size, limits).facts()
    finally:
        os.close(descriptor)


class _Walk:
    """The scan of one file."""

    def __init__(self, file: WireFile, size: int, limits: ScanLimits) -> None:
        self._file, self._size, self._limits = file, size, limits
        self._items = ItemCounts(limits)
        self._graphs = GraphWalk(file, limits, self._items)
        self._ir_version = 0
        self._interface: GraphInterface | None = None
        self._producer = [b"", b""]

    def facts(self) -> FileFacts:
        try:
            self._model()
        except Malformed:
            if self._ir_version == 0:  # every exporter writes it first: this is not a model at all
                raise NotOnnx from None
            raise
        if self._interface is None:
            raise NotOnnx(_NO_GRAPH)
        self._check_plain_bytes()
        self._check_versions()
        graphs = self._graphs
        check_operators(graphs.main, graphs.functions, self._limits)
        bodies = [graphs.main, *(body for _, body in graphs.functions)]
        return FileFacts(
            ir_version=self._ir_version,
            opsets=dict(sorted((_text(domain), version) for domain, version in graphs.opsets)),
            producer=_text(b" ".join(filter(None, self._producer))),
            nodes=self._items.counts["nodes"],
            initializers=graphs.initializers,
            initializer_bytes=graphs.initializer_bytes,
            inputs=tuple(map(_text, self._interface.inputs)),
            outputs=tuple(map(_text, self._interface.outputs)),
            domains=tuple(sorted({_text(asked.domain) for body in bodies for asked in body.operators})),
        )

    def _model(self) -> None:
        file, graphs = self._file, self._graphs
        for what, begin, stop in file.fields(MODEL, 0, self._size):
            match what:
                case "ir_version":
                    self._ir_version = file.number(begin)
                case "graph":
                    self._interface = graphs.graph(begin, stop, graphs.main)
                case "functions":
                    graphs.function(begin, stop)
                case "opset_import":
                    graphs.opset(begin, stop)
                case "metadata_props":
                    _check_metadata_key(graphs.entry(begin, stop, "the model"))
                case "training_info":
                    graphs.training(begin, stop)
                case "producer_name":
                    self._producer[0] = file.text(begin, stop)
                case "producer_version":
                    self._producer[1] = file.text(begin, stop)

    def _check_plain_bytes(self) -> None:
        plain = self._size - self._graphs.number_bytes
        if plain > self._limits.max_plain_bytes:
            raise TooMuch(
                f"The file has {plain:,} bytes besides its weights; the limit is {self._limits.max_plain_bytes:,}."
                " Remove texts and metadata."
            )

    def _check_versions(self) -> None:
        limits = self._limits
        if not limits.min_ir_version <= self._ir_version <= limits.max_ir_version:
            raise UnsupportedVersion(
                f"The file has IR version {self._ir_version}; {limits.min_ir_version} to {limits.max_ir_version} are"
                " supported. Export it for one of these."
            )
        if not self._graphs.opsets:
            raise UnsupportedVersion("The file does not say which operator set it uses; export it again.")
        for domain, version in self._graphs.opsets:
            newest = limits.opsets.get(_text(domain))
            if newest is not None and not 1 <= version <= newest:  # others matter only if a node uses them
                raise UnsupportedVersion(
                    f"The file uses version {version} of the operators of {quote_name(domain)}; 1 to {newest} are supported."
                    " Export it for one of these opsets."
                )


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def _check_metadata_key(key: bytes) -> None:
    """Refuse a metadata key that the runtime reads settings from."""
    if key.lower() in _RUNTIME_KEYS:
        raise RuntimeConfig(
            f"The metadata key {quote_name(key)} contains runtime settings; remove it and use the version's serving settings."
        )
