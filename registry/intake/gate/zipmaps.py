"""The ZipMap that converters put at the end of classifiers: it turns a tensor of scores into maps, which cannot be sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from registry.intake.gate import drafts
from registry.intake.gate.errors import Malformed, TooMuch, ZipMapRefused
from registry.intake.gate.limits import GateLimits
from registry.intake.gate.schema import ATTRIBUTE, GRAPH, NODE, PACKED, VALUE
from registry.intake.gate.wire import WireFile
from registry.intake.gate.wording import shown

_DOMAIN, _OPERATOR = b"ai.onnx.ml", b"ZipMap"
_MOST = 100  # ZipMaps of a graph
_MOST_LABEL_BYTES = 4 << 20
_FLOAT = 1


@dataclass(slots=True)
class ZipMap:
    """One node: what goes in, what comes out, and the names of its classes, if it has them."""

    at: int  # where the node's content begins
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    @property
    def change(self) -> str:
        """Say what removing it changed."""
        scores = f"{len(self.labels):,} scores" if self.labels else "scores"
        return (
            f"The ZipMap was removed: instead of {shown(self.outputs[0])}, a list of maps, the model gives out"
            f" {shown(self.inputs[0])}, a tensor with {scores} in each row."
        )


def find_zipmaps(file: WireFile, start: int, end: int, limits: GateLimits) -> tuple[list[ZipMap], set[bytes]]:
    """Give the ZipMaps of a graph, and the names of the graph's outputs."""
    found: list[ZipMap] = []
    outputs: set[bytes] = set()
    for what, begin, stop in file.fields(GRAPH, start, end):
        if what == "node":
            zipmap = _zipmap(file, begin, stop)
            found += [zipmap] if zipmap is not None else []
            if len(found) > _MOST:
                raise TooMuch(f"The file holds more than {_MOST} ZipMaps; export it without them.")
        elif what == "output":
            outputs.add(value_name(file, begin, stop))
            if len(outputs) > limits.max_ends:
                raise TooMuch(
                    f"The file gives out more than {limits.max_ends:,} values; send a smaller model."
                )
    if not found:
        raise ZipMapRefused("The file has no ZipMap to remove; bring it in as it is.")
    return found, outputs


def value_name(file: WireFile, start: int, end: int) -> bytes:
    """Give the name of a graph's input, output or value."""
    name = b""
    for what, begin, stop in file.fields(VALUE, start, end):
        if what == "name":
            name = file.text(begin, stop)
    return name


def scores_value(zipmap: ZipMap) -> drafts.Draft:
    """Describe the tensor of scores as an output of the graph: any rows, a column for each class."""
    columns = drafts.number_field(1, len(zipmap.labels)) if zipmap.labels else b""
    shape = drafts.field(1, b"") + drafts.field(1, columns)
    tensor = drafts.number_field(1, _FLOAT) + drafts.field(2, shape)
    draft = drafts.Draft()
    draft.write(drafts.field(1, zipmap.inputs[0]) + drafts.field(2, drafts.field(1, tensor)))
    return draft


def _zipmap(file: WireFile, start: int, end: int) -> ZipMap | None:
    node, texts, attributes = ZipMap(start), dict[str, bytes](), []
    for what, begin, stop in file.fields(NODE, start, end):
        if what in {"op_type", "domain"}:
            texts[what] = file.text(begin, stop)
        elif what == "attribute":
            attributes.append((begin, stop))
        elif what in {"input", "output"} and len(node.inputs) + len(node.outputs) < 3:
            (node.inputs if what == "input" else node.outputs).append(file.text(begin, stop))
    if (texts.get("op_type"), texts.get("domain")) != (_OPERATOR, _DOMAIN):
        return None
    if len(node.inputs) != 1 or len(node.outputs) != 1 or not node.inputs[0] or not node.outputs[0]:
        raise Malformed("A ZipMap of the file has not one input and one output; export the file again.")
    for begin, stop in attributes:
        node.labels += _labels(file, begin, stop)
    return node


def _labels(file: WireFile, start: int, end: int) -> Iterator[str]:
    name, strings, numbers = b"", [], []
    for what, begin, stop in file.fields(ATTRIBUTE, start, end):
        if what == "name":
            name = file.text(begin, stop)
        elif what == "strings":
            strings.append((begin, stop))
        elif what in {"ints", "ints" + PACKED}:
            numbers.append((begin, stop, 1 if what == "ints" else 0))
    if name not in {b"classlabels_strings", b"classlabels_int64s"}:
        return
    if end - start > _MOST_LABEL_BYTES:
        raise TooMuch(
            f"The labels of the ZipMap have more than {_MOST_LABEL_BYTES:,} bytes; export it without it."
        )
    yield from (file.text(begin, stop).decode(errors="replace") for begin, stop in strings)
    for begin, stop, tags in numbers:  # those that are not packed have a tag before each
        yield from map(str, file.numbers(begin, stop)[tags :: 1 + tags])
