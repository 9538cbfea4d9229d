"""Walks graphs, nodes, attributes and functions, with whatever lies in them at any depth."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from registry.intake.gate.entries import check_entry
from registry.intake.gate.errors import DuplicateName
from registry.intake.gate.functions import Body, Operator, operator
from registry.intake.gate.limits import GateLimits, Tally
from registry.intake.gate.schema import ATTRIBUTE, FUNCTION, GRAPH, NODE, OPSET, TRAINING, VALUE
from registry.intake.gate.tensors import TensorCheck, Where
from registry.intake.gate.wire import WireFile
from registry.intake.gate.wording import shown

_KEPT = 32  # bytes of an output's name; of a longer one its hash is kept


@dataclass(slots=True)
class Node:
    """What is known of a node so far; its fields may come in any order."""

    number: int
    name: bytes = b""
    op_type: bytes = b""
    domain: bytes = b""
    overload: bytes = b""

    def __str__(self) -> str:
        return f"node {shown(self.name)}" if self.name else f"node {self.number:,}"


@dataclass(slots=True)
class Ends:
    """Names of what goes into a graph and what comes out."""

    inputs: list[bytes]
    outputs: list[bytes]


class GraphWalk:
    """Checks the graphs of one file."""

    def __init__(self, file: WireFile, limits: GateLimits, tally: Tally) -> None:
        self._file, self._limits, self._tally = file, limits, tally
        self._tensors = TensorCheck(file, limits, tally)
        self._list_bytes = 0
        self.main = Body()
        self.functions: list[tuple[Operator, Body]] = []
        self.initializers = self.initializer_bytes = 0
        self.opsets: list[tuple[bytes, int]] = []

    @property
    def number_bytes(self) -> int:
        """Bytes of the file that are numbers: tensors, and lists in attributes."""
        return self._tensors.data_bytes + self._list_bytes

    def graph(self, start: int, end: int, body: Body) -> Ends:
        """Check a graph whose operators belong to `body`."""
        ends, outputs = Ends([], []), set[bytes]()
        for what, begin, stop in self._file.fields(GRAPH, start, end):
            if what == "node":
                self._node(begin, stop, body, outputs)
            elif what == "initializer":
                self._initializer(self._tensors.check, begin, stop)
            elif what == "sparse_initializer":
                self._initializer(self._tensors.check_sparse, begin, stop)
            elif what == "input":
                ends.inputs.append(self._end(begin, stop))
            elif what == "output":
                ends.outputs.append(self._end(begin, stop))
            elif what == "metadata_props":
                self.entry(begin, stop, "a graph")
        return ends

    def function(self, start: int, end: int) -> None:
        """Check a function; which one it is may be said after its nodes."""
        self._tally.add("functions")
        body, outputs, name = Body(), set[bytes](), Node(0)
        for what, begin, stop in self._file.fields(FUNCTION, start, end):
            if what == "node":
                self._node(begin, stop, body, outputs)
            elif what == "attribute_proto":
                self._attribute(begin, stop, body, "function")
            elif what == "opset_import":
                self.opset(begin, stop)
            elif what == "metadata_props":
                self.entry(begin, stop, "a function")
            else:
                self._naming(name, what, begin, stop)
        self.functions.append((operator(name.domain, name.name, name.overload), body))

    def training(self, start: int, end: int) -> None:
        """Check graphs for training: nothing here runs them, but other readers of the file may."""
        for what, begin, stop in self._file.fields(TRAINING, start, end):
            if what in {"initialization", "algorithm"}:
                self.graph(begin, stop, self.main)
            else:
                self.entry(begin, stop, "the training information")

    def opset(self, start: int, end: int) -> None:
        self._tally.add("operator sets")
        domain, version = b"", 0
        for what, begin, stop in self._file.fields(OPSET, start, end):
            if what == "domain":
                domain = self._file.text(begin, stop)
            else:
                version = self._file.number(begin)
        self.opsets.append((domain or b"ai.onnx", version))

    def entry(self, start: int, end: int, owner: object) -> bytes:
        return check_entry(self._file, self._limits, start, end, owner)

    def _initializer(self, check: Callable[[int, int, Where], object], start: int, end: int) -> None:
        before = self._tensors.data_bytes
        check(start, end, lambda name: f"The initializer {shown(name)}")
        self.initializers += 1
        self.initializer_bytes += self._tensors.data_bytes - before

    def _end(self, start: int, end: int) -> bytes:
        self._tally.add("inputs and outputs")
        name = b""
        for what, begin, stop in self._file.fields(VALUE, start, end):
            if what == "name":
                name = self._file.text(begin, stop)
            elif what == "metadata_props":
                self.entry(begin, stop, "a value")
        return name

    def _node(self, start: int, end: int, body: Body, outputs: set[bytes]) -> None:
        node, given = Node(self._tally.add("nodes")), []
        for what, begin, stop in self._file.fields(NODE, start, end):
            if what == "input":
                continue
            if what == "output":
                self._tally.add("outputs of nodes")
                given.append((begin, stop))
            elif what == "attribute":
                self._attribute(begin, stop, body, node)
            elif what == "metadata_props":
                self.entry(begin, stop, node)
            else:
                self._naming(node, what, begin, stop)
        self._check_outputs(node, given, outputs)
        if body.add(operator(node.domain, node.op_type, node.overload), node):
            self._tally.add("different operators")

    def _naming(self, node: Node, what: str, start: int, end: int) -> None:
        if what in {"name", "op_type", "domain", "overload"}:
            setattr(node, what, self._file.text(start, end))

    def _check_outputs(self, node: Node, given: list[tuple[int, int]], outputs: set[bytes]) -> None:
        for begin, stop in given:
            name = self._file.text(begin, stop)
            key = name if len(name) <= _KEPT else blake2b(name, digest_size=_KEPT).digest()
            if key in outputs:
                raise DuplicateName(
                    f"The {node} gives out {shown(name)}, which a node before it gives out; give each its own name."
                )
            if name:  # an output that is left out has none
                outputs.add(key)

    def _attribute(self, start: int, end: int, body: Body, owner: object) -> None:
        self._tally.add("attributes")
        attribute = b""
        for what, begin, stop in self._file.fields(ATTRIBUTE, start, end):
            if what == "name":
                attribute = self._file.text(begin, stop)
            elif what in {"t", "tensors"}:
                self._tensors.check(begin, stop, partial(_in_attribute, attribute, owner))
            elif what in {"sparse_tensor", "sparse_tensors"}:
                self._tensors.check_sparse(begin, stop, partial(_in_attribute, attribute, owner))
            elif what in {"g", "graphs"}:
                self.graph(begin, stop, body)
            elif what.startswith(("ints", "floats")):
                self._list_bytes += stop - begin


def _in_attribute(name: bytes, owner: object, _: bytes) -> str:
    return f"The tensor in {shown(name)} of {owner}"
