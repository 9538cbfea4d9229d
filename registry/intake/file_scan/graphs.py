"""Walks graphs, nodes, attributes and functions at any depth, and checks the operators they use."""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from registry.intake.file_scan.errors import (
    CompiledModel,
    DuplicateName,
    RecursiveFunction,
    TooDeep,
    TooMuch,
    UnknownOperator,
    quote_name,
)
from registry.intake.file_scan.limits import ItemCounts, ScanLimits
from registry.intake.file_scan.schema import ATTRIBUTE, FUNCTION, GRAPH, NODE, OPSET, TRAINING, VALUE
from registry.intake.file_scan.tensors import TensorCheck, Where, check_entry
from registry.intake.file_scan.wire import WireFile

_STANDARD_DOMAIN = b"ai.onnx"
# A compiled engine for one device, or a path to one, which the runtime would read.
_COMPILED = frozenset({b"EPContext"})
_KEPT_BYTES = 32  # of an output's name; a longer one is replaced by its hash


class Operator(NamedTuple):
    domain: bytes
    name: bytes
    overload: bytes

    def __str__(self) -> str:
        return f"{quote_name(self.name)} of {quote_name(self.domain)}"


def operator(domain: bytes, name: bytes, overload: bytes) -> Operator:
    """An operator; the standard domain has two spellings."""
    return Operator(domain or _STANDARD_DOMAIN, name, overload)


@dataclass(slots=True)
class OperatorCounts:
    """How often the model's graphs, or one function, use each operator."""

    operators: Counter[Operator] = field(default_factory=Counter)
    first_at: dict[Operator, str] = field(default_factory=dict)  # the first node that uses it

    def add(self, used: Operator, node: object) -> bool:
        """Count a use; True if it is the first."""
        self.operators[used] += 1
        is_first = used not in self.first_at
        if is_first:
            self.first_at[used] = str(node)
        return is_first


class InlinedSize(NamedTuple):
    """The size of a graph or function with every function call inlined."""

    nodes: int
    depth: int


_EMPTY = InlinedSize(0, 0)


def check_operators(
    main: OperatorCounts, functions: Sequence[tuple[Operator, OperatorCounts]], limits: ScanLimits
) -> None:
    """Check every operator used, and that functions do not recurse."""
    defined: dict[Operator, OperatorCounts] = {}
    for name, counts in functions:
        if name in defined:
            raise DuplicateName(f"The file defines the function {name} twice; make names unique.")
        defined[name] = counts
    for counts in (main, *defined.values()):
        _check_known(counts, defined, limits)
    _check_sizes(main, defined, limits)


def _check_known(counts: OperatorCounts, defined: Container[Operator], limits: ScanLimits) -> None:
    for used, node in counts.first_at.items():
        if used.name in _COMPILED:
            raise CompiledModel(
                f"The {node} is {used}, which wraps a model compiled for one device; send the model it was compiled from."
            )
        if used.domain.decode(errors="replace") not in limits.opsets and used not in defined:
            raise UnknownOperator(
                f"The {node} uses the operator {used}, which is neither built into the runtime nor defined in the file;"
                f" use operators of {', '.join(limits.opsets)}."
            )


def _check_sizes(main: OperatorCounts, defined: dict[Operator, OperatorCounts], limits: ScanLimits) -> None:
    """Count the nodes with every function inlined: small files can contain 2^1000 of them."""
    sizes: dict[Operator, InlinedSize] = {}
    for name in defined:
        if name not in sizes:
            _measure(name, defined, sizes, limits)
    if _inlined_size(main, sizes, limits).nodes > limits.max_nodes:
        raise TooMuch(
            f"With its functions inlined, the file has more than {limits.max_nodes:,} nodes; send a smaller model."
        )


def _measure(
    start: Operator,
    defined: dict[Operator, OperatorCounts],
    sizes: dict[Operator, InlinedSize],
    limits: ScanLimits,
) -> None:
    """Fill in the sizes of functions, innermost first. Not recursive: the file controls the depth."""
    stack = {start: _callees(defined[start], defined)}
    while stack:
        name, callees = next(reversed(stack.items()))
        callee = next((each for each in callees if each not in sizes), None)
        if callee is None:
            sizes[name] = _inlined_size(defined[name], sizes, limits)
            del stack[name]
            if sizes[name].depth > limits.max_depth:
                raise TooDeep(f"The function {name} nests more than {limits.max_depth} calls; flatten it.")
        elif callee in stack:
            raise RecursiveFunction(
                f"The function {callee} calls itself; export the model without recursion."
            )
        else:
            stack[callee] = _callees(defined[callee], defined)


def _callees(counts: OperatorCounts, defined: dict[Operator, OperatorCounts]) -> Iterator[Operator]:
    return (used for used in counts.operators if used in defined)


def _inlined_size(
    counts: OperatorCounts, sizes: dict[Operator, InlinedSize], limits: ScanLimits
) -> InlinedSize:
    nodes, depth = 0, 0
    for used, times in counts.operators.items():
        callee = sizes.get(used, _EMPTY)
        nodes += times * (1 + callee.nodes)
        depth = max(depth, callee.depth)
    return InlinedSize(min(nodes, limits.max_nodes + 1), depth + 1)


@dataclass(slots=True)
class Node:
    """What is known about a node so far; its fields can be in any order."""

    number: int
    name: bytes = b""
    op_type: bytes = b""
    domain: bytes = b""
    overload: bytes = b""

    def __str__(self) -> str:
        return f"node {quote_name(self.name)}" if self.name else f"node {self.number:,}"


@dataclass(slots=True)
class GraphInterface:
    """The names of a graph's inputs and outputs."""

    inputs: list[bytes]
    outputs: list[bytes]


class GraphWalk:
    """Checks the graphs of one file."""

    def __init__(self, file: WireFile, limits: ScanLimits, items: ItemCounts) -> None:
        self._file, self._limits, self._items = file, limits, items
        self._tensors = TensorCheck(file, limits, items)
        self._list_bytes = 0
        self.main = OperatorCounts()
        self.functions: list[tuple[Operator, OperatorCounts]] = []
        self.initializers = self.initializer_bytes = 0
        self.opsets: list[tuple[bytes, int]] = []

    @property
    def number_bytes(self) -> int:
        """Bytes of the file that are numbers: tensors, and lists in attributes."""
        return self._tensors.data_bytes + self._list_bytes

    def graph(self, start: int, end: int, counts: OperatorCounts) -> GraphInterface:
        """Check a graph, counting its operators in `counts`."""
        interface, outputs = GraphInterface([], []), set[bytes]()
        for what, begin, stop in self._file.fields(GRAPH, start, end):
            if what == "node":
                self._node(begin, stop, counts, outputs)
            elif what == "initializer":
                self._initializer(self._tensors.check, begin, stop)
            elif what == "sparse_initializer":
                self._initializer(self._tensors.check_sparse, begin, stop)
            elif what == "input":
                interface.inputs.append(self._value(begin, stop))
            elif what == "output":
                interface.outputs.append(self._value(begin, stop))
            elif what == "metadata_props":
                self.entry(begin, stop, "a graph")
        return interface

    def function(self, start: int, end: int) -> None:
        """Check a function; its name may follow its nodes."""
        self._items.add("functions")
        counts, outputs, name = OperatorCounts(), set[bytes](), Node(0)
        for what, begin, stop in self._file.fields(FUNCTION, start, end):
            if what == "node":
                self._node(begin, stop, counts, outputs)
            elif what == "attribute_proto":
                self._attribute(begin, stop, counts, "function")
            elif what == "opset_import":
                self.opset(begin, stop)
            elif what == "metadata_props":
                self.entry(begin, stop, "a function")
            else:
                self._read_name(name, what, begin, stop)
        self.functions.append((operator(name.domain, name.name, name.overload), counts))

    def training(self, start: int, end: int) -> None:
        """Check training graphs: nothing here runs them, but other readers of the file may."""
        for what, begin, stop in self._file.fields(TRAINING, start, end):
            if what in {"initialization", "algorithm"}:
                self.graph(begin, stop, self.main)
            else:
                self.entry(begin, stop, "the training information")

    def opset(self, start: int, end: int) -> None:
        self._items.add("operator sets")
        domain, version = b"", 0
        for what, begin, stop in self._file.fields(OPSET, start, end):
            if what == "domain":
                domain = self._file.text(begin, stop)
            else:
                version = self._file.number(begin)
        self.opsets.append((domain or _STANDARD_DOMAIN, version))

    def entry(self, start: int, end: int, owner: object) -> bytes:
        return check_entry(self._file, self._limits, start, end, owner)

    def _initializer(self, check: Callable[[int, int, Where], object], start: int, end: int) -> None:
        before = self._tensors.data_bytes
        check(start, end, lambda name: f"The initializer {quote_name(name)}")
        self.initializers += 1
        self.initializer_bytes += self._tensors.data_bytes - before

    def _value(self, start: int, end: int) -> bytes:
        self._items.add("inputs and outputs")
        name = b""
        for what, begin, stop in self._file.fields(VALUE, start, end):
            if what == "name":
                name = self._file.text(begin, stop)
            elif what == "metadata_props":
                self.entry(begin, stop, "a value")
        return name

    def _node(self, start: int, end: int, counts: OperatorCounts, outputs: set[bytes]) -> None:
        node, spans = Node(self._items.add("nodes")), []
        for what, begin, stop in self._file.fields(NODE, start, end):
            if what == "input":
                continue
            if what == "output":
                self._items.add("outputs of nodes")
                spans.append((begin, stop))
            elif what == "attribute":
                self._attribute(begin, stop, counts, node)
            elif what == "metadata_props":
                self.entry(begin, stop, node)
            else:
                self._read_name(node, what, begin, stop)
        self._check_outputs(node, spans, outputs)
        if counts.add(operator(node.domain, node.op_type, node.overload), node):
            self._items.add("distinct operators")

    def _read_name(self, node: Node, what: str, start: int, end: int) -> None:
        if what in {"name", "op_type", "domain", "overload"}:
            setattr(node, what, self._file.text(start, end))

    def _check_outputs(self, node: Node, spans: list[tuple[int, int]], outputs: set[bytes]) -> None:
        for begin, stop in spans:
            name = self._file.text(begin, stop)
            key = name if len(name) <= _KEPT_BYTES else blake2b(name, digest_size=_KEPT_BYTES).digest()
            if key in outputs:
                raise DuplicateName(
                    f"The {node} has the output {quote_name(name)}, which another node has too; make names unique."
                )
            if name:  # an omitted output has no name
                outputs.add(key)

    def _attribute(self, start: int, end: int, counts: OperatorCounts, owner: object) -> None:
        self._items.add("attributes")
        attribute = b""
        for what, begin, stop in self._file.fields(ATTRIBUTE, start, end):
            if what == "name":
                attribute = self._file.text(begin, stop)
            elif what in {"t", "tensors"}:
                self._tensors.check(begin, stop, partial(_in_attribute, attribute, owner))
            elif what in {"sparse_tensor", "sparse_tensors"}:
                self._tensors.check_sparse(begin, stop, partial(_in_attribute, attribute, owner))
            elif what in {"g", "graphs"}:
                self.graph(begin, stop, counts)
            elif what.startswith(("ints", "floats")):
                self._list_bytes += stop - begin


def _in_attribute(name: bytes, owner: object, _: bytes) -> str:
    return f"The tensor in {quote_name(name)} of {owner}"
