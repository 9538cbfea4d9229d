"""ZipMaps, which converters append to classifiers: they turn a tensor of scores into maps, which cannot be served."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from registry.intake.file_scan import drafts
from registry.intake.file_scan.errors import Malformed, TooMuch, ZipMapRefused, quote_name
from registry.intake.file_scan.limits import ScanLimits
from registry.intake.file_scan.schema import ATTRIBUTE, GRAPH, NODE, PACKED, VALUE
from registry.intake.file_scan.wire import WireFile

_DOMAIN, _OPERATOR = b"ai.onnx.ml", b"ZipMap"
_MAX_ZIPMAPS = 100  # per graph
_MAX_LABEL_BYTES = 4 << 20
_FLOAT = 1


@dataclass(slots=True)
class ZipMap:
    """A ZipMap node: its input, its output, and the class names, if any."""

    at: int  # the start of the node's content
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    @property
    def change(self) -> str:
        """A sentence that describes what removing the ZipMap changed."""
        scores = f"{len(self.labels):,} scores" if self.labels else "scores"
        return (
            f"The ZipMap was removed: instead of {quote_name(self.outputs[0])}, a list of maps, the model outputs"
            f" {quote_name(self.inputs[0])}, a tensor with {scores} per row."
        )


def find_zipmaps(file: WireFile, start: int, end: int, limits: ScanLimits) -> tuple[list[ZipMap], set[bytes]]:
    """The ZipMaps of a graph, and the names of the graph's outputs."""
    zipmaps: list[ZipMap] = []
    outputs: set[bytes] = set()
    for what, begin, stop in file.fields(GRAPH, start, end):
        if what == "node":
            zipmap = _read_zipmap(file, begin, stop)
            zipmaps += [zipmap] if zipmap is not None else []
            if len(zipmaps) > _MAX_ZIPMAPS:
                raise TooMuch(f"The file has more than {_MAX_ZIPMAPS} ZipMaps; export it without them.")
        elif what == "output":
            outputs.add(value_name(file, begin, stop))
            if len(outputs) > limits.max_ends:
                raise TooMuch(f"The file has more than {limits.max_ends:,} outputs; send a smaller model.")
    if not zipmaps:
        raise ZipMapRefused("The file has no ZipMap to remove; import it as it is.")
    return zipmaps, outputs


def value_name(file: WireFile, start: int, end: int) -> bytes:
    """The name of a graph's input, output or value."""
    name = b""
    for what, begin, stop in file.fields(VALUE, start, end):
        if what == "name":
            name = file.text(begin, stop)
    return name


def scores_value(zipmap: ZipMap) -> drafts.Draft:
    """The scores as an output of the graph: any number of rows, a column per class."""
    columns = drafts.number_field(1, len(zipmap.labels)) if zipmap.labels else b""
    shape = drafts.field(1, b"") + drafts.field(1, columns)
    tensor = drafts.number_field(1, _FLOAT) + drafts.field(2, shape)
    draft = drafts.Draft()
    draft.write(drafts.field(1, zipmap.inputs[0]) + drafts.field(2, drafts.field(1, tensor)))
    return draft


def _read_zipmap(file: WireFile, start: int, end: int) -> ZipMap | None:
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
        raise Malformed(
            "A ZipMap in the file does not have exactly one input and one output; export the file again."
        )
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
    if end - start > _MAX_LABEL_BYTES:
        raise TooMuch(
            f"The labels of the ZipMap have more than {_MAX_LABEL_BYTES:,} bytes; export the file without it."
        )
    yield from (file.text(begin, stop).decode(errors="replace") for begin, stop in strings)
    for begin, stop, tags in numbers:  # each unpacked number follows its tag
        yield from map(str, file.numbers(begin, stop)[tags :: 1 + tags])
