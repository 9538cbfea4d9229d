"""What ONNX Runtime does not report about a file: undeclared shapes, operators, and the texts that it contains."""

from collections.abc import Iterator
from itertools import islice

from inference.tensors.protobuf import read_varint

GRAPH, FUNCTION = 7, 25  # ModelProto
NODE, FUNCTION_NODE = 1, 7  # GraphProto, FunctionProto
OPERATOR, ATTRIBUTE = 4, 5  # NodeProto
SUBGRAPHS, TEXTS = (6, 11), 9  # AttributeProto
INPUTS_AND_OUTPUTS = (11, 12)  # GraphProto
NAME, TYPE = 1, 2  # ValueInfoProto
TENSOR = 1  # TypeProto
LOOPS_AND_BRANCHES = frozenset({"If", "Loop", "Scan"})
SHAPE = 2  # TypeProto.Tensor


def names_without_shape(model: bytes) -> frozenset[str]:
    """Names of the graph's inputs and outputs that may have any rank.

    The runtime reports both a scalar and an undeclared shape as []. Pass only bytes that the runtime has parsed. This
    walks protobuf fields and skips weights without reading them.
    """
    names: set[str] = set()
    for graph in _messages(memoryview(model), GRAPH):
        for field in INPUTS_AND_OUTPUTS:
            for value in _messages(graph, field):
                shapes = [
                    shape
                    for kind in _messages(value, TYPE)
                    for tensor in _messages(kind, TENSOR)
                    for shape in _messages(tensor, SHAPE)
                ]
                if not shapes:
                    names.update(bytes(name).decode(errors="replace") for name in _messages(value, NAME))
    return frozenset(names)


def known_texts(model: bytes, limit: int = 8) -> tuple[str, ...]:
    """The first text of each list in the main graph's attributes, such as an encoder's categories."""
    firsts: dict[str, None] = {}
    for graph in _messages(memoryview(model), GRAPH):
        for node in _messages(graph, NODE):
            for attribute in _messages(node, ATTRIBUTE):
                for text in islice(_messages(attribute, TEXTS), 1):
                    firsts[bytes(text).decode(errors="replace")] = None
                if len(firsts) == limit:
                    return tuple(firsts)
    return tuple(firsts)


def operators(model: bytes) -> frozenset[str]:
    """Names of all operators in the graph, its subgraphs and its functions. Pass only bytes that the runtime has parsed."""
    names: set[str] = set()
    file = memoryview(model)
    nodes = [node for graph in _messages(file, GRAPH) for node in _messages(graph, NODE)]
    nodes += [node for function in _messages(file, FUNCTION) for node in _messages(function, FUNCTION_NODE)]
    while nodes:
        node = nodes.pop()
        names.update(bytes(name).decode(errors="replace") for name in _messages(node, OPERATOR))
        for attribute in _messages(node, ATTRIBUTE):
            for field in SUBGRAPHS:
                for graph in _messages(attribute, field):
                    nodes += _messages(graph, NODE)
    return frozenset(names)


def _messages(data: memoryview, field: int) -> Iterator[memoryview]:
    """Yield the length-delimited fields with this number."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 2:
            size, at = read_varint(data, at)
            if number == field:
                yield data[at : at + size]
            at += size
        elif wire == 0:
            _, at = read_varint(data, at)
        else:
            at += 8 if wire == 1 else 4
