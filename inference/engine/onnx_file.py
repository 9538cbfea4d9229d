"""What ONNX Runtime does not tell of a file: inputs and outputs that declare no shape, its operators, the texts it knows."""

from collections.abc import Iterator
from itertools import islice

from inference.engine.protobuf import varint

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
    """Name the graph's inputs and outputs that may have any rank.

    The runtime reports a scalar and an undeclared shape alike, as []. Call it only with bytes that the
    runtime has parsed: it walks protobuf fields and steps over weights without reading them.
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


def known_texts(model: bytes, most: int = 8) -> tuple[str, ...]:
    """The first of every list of texts in the main graph's attributes, such as an encoder's categories."""
    firsts: dict[str, None] = {}
    for graph in _messages(memoryview(model), GRAPH):
        for node in _messages(graph, NODE):
            for attribute in _messages(node, ATTRIBUTE):
                for text in islice(_messages(attribute, TEXTS), 1):
                    firsts[bytes(text).decode(errors="replace")] = None
                if len(firsts) == most:
                    return tuple(firsts)
    return tuple(firsts)


def operators(model: bytes) -> frozenset[str]:
    """Name every operator in the graph, its subgraphs and its functions; as above, only of parsed bytes."""
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


def _messages(data: memoryview, wanted: int) -> Iterator[memoryview]:
    """Yield the length-delimited fields of one number."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 2:
            size, at = varint(data, at)
            if number == wanted:
                yield data[at : at + size]
            at += size
        elif wire == 0:
            _, at = varint(data, at)
        else:
            at += 8 if wire == 1 else 4
