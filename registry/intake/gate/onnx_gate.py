"""The gate: an uploaded file is an ONNX model that keeps to itself and to limits, or it is refused."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.intake.gate.entries import check_settings
from registry.intake.gate.errors import Malformed, NotOnnx, TooMuch, UnsupportedVersion
from registry.intake.gate.first_look import NO_GRAPH, check_kind
from registry.intake.gate.functions import check_operators
from registry.intake.gate.graphs import Ends, GraphWalk
from registry.intake.gate.limits import DEFAULT, GateLimits, Tally
from registry.intake.gate.schema import MODEL
from registry.intake.gate.wire import WireFile
from registry.intake.gate.wording import shown


@dataclass(frozen=True, slots=True)
class GateFacts:
    """What a file says of itself; texts are the file's own and may hold anything."""

    ir_version: int
    opsets: Mapping[str, int]
    producer: str
    nodes: int
    initializers: int
    initializer_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domains: tuple[str, ...]  # of the operators that it uses


def check_file(path: Path, limits: GateLimits = DEFAULT) -> GateFacts:
    """Give what the file holds, or raise GateRefused with a sentence for people.

    1. It is a file of this format, within its size.
    2. It is walked through to its end: structure, limits, nothing outside the file, tensors.
    3. What only the whole tells: versions, operators, functions.

    It is never loaded: weights are stepped over, and memory does not grow with them. An OSError is the store's.
    """
    descriptor = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    )  # a pipe would wait for its other end
    try:
        size = check_kind(descriptor, limits)
        return _Walk(WireFile(descriptor, size, limits), size, limits).facts()
    finally:
        os.close(descriptor)


class _Walk:
    """One file's way through the gate."""

    def __init__(self, file: WireFile, size: int, limits: GateLimits) -> None:
        self._file, self._size, self._limits = file, size, limits
        self._tally = Tally(limits)
        self._graphs = GraphWalk(file, limits, self._tally)
        self._ir_version = 0
        self._ends: Ends | None = None
        self._producer = [b"", b""]

    def facts(self) -> GateFacts:
        try:
            self._model()
        except Malformed:
            if self._ir_version == 0:  # every exporter writes it first: this is no model at all
                raise NotOnnx from None
            raise
        if self._ends is None:
            raise NotOnnx(NO_GRAPH)
        self._check_plain_bytes()
        self._check_versions()
        graphs = self._graphs
        check_operators(graphs.main, graphs.functions, self._limits)
        bodies = [graphs.main, *(body for _, body in graphs.functions)]
        return GateFacts(
            ir_version=self._ir_version,
            opsets=dict(sorted((_text(domain), version) for domain, version in graphs.opsets)),
            producer=_text(b" ".join(filter(None, self._producer))),
            nodes=self._tally.counts["nodes"],
            initializers=graphs.initializers,
            initializer_bytes=graphs.initializer_bytes,
            inputs=tuple(map(_text, self._ends.inputs)),
            outputs=tuple(map(_text, self._ends.outputs)),
            domains=tuple(sorted({_text(asked.domain) for body in bodies for asked in body.operators})),
        )

    def _model(self) -> None:
        file, graphs = self._file, self._graphs
        for what, begin, stop in file.fields(MODEL, 0, self._size):
            match what:
                case "ir_version":
                    self._ir_version = file.number(begin)
                case "graph":
                    self._ends = graphs.graph(begin, stop, graphs.main)
                case "functions":
                    graphs.function(begin, stop)
                case "opset_import":
                    graphs.opset(begin, stop)
                case "metadata_props":
                    check_settings(graphs.entry(begin, stop, "the model"))
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
                f"The file has {plain:,} bytes besides its weights, of which it may have"
                f" {self._limits.max_plain_bytes:,}; remove texts and metadata."
            )

    def _check_versions(self) -> None:
        limits = self._limits
        if not limits.min_ir_version <= self._ir_version <= limits.max_ir_version:
            raise UnsupportedVersion(
                f"The file is of IR version {self._ir_version}, and {limits.min_ir_version} to {limits.max_ir_version} are"
                " read; export it for a supported version."
            )
        if not self._graphs.opsets:
            raise UnsupportedVersion("The file does not say which operator set it means; export it again.")
        for domain, version in self._graphs.opsets:
            newest = limits.opsets.get(_text(domain))
            if newest is not None and not 1 <= version <= newest:  # others matter once a node asks for them
                raise UnsupportedVersion(
                    f"The file means version {version} of the operators of {shown(domain)}, and 1 to {newest} are known;"
                    " export it for a supported opset."
                )


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
