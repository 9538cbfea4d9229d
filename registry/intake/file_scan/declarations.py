"""Reads what a model file says about itself."""

from collections.abc import Iterable, Mapping, Sequence

from registry.intake.file_scan.errors import FileRefused, Malformed, TooMuch
from registry.intake.file_scan.limits import ScanLimits
from registry.intake.file_scan.schema import (
    DIMENSION,
    ENTRY,
    GRAPH,
    MODEL,
    SHAPE,
    TENSOR,
    TENSOR_TYPE,
    TYPE,
    VALUE,
)
from registry.intake.file_scan.sent_files import SentFile
from registry.intake.file_scan.wire import MessageSpec, WireFile
from registry.kit.declarations import NOTHING, Declaration, DeclaredTensor

_LIMITS = ScanLimits(max_fields=2_000_000)
_MAX_ENTRIES, _MAX_METADATA_BYTES = 64, 512 << 10
_MAX_TENSORS = 64
_MAX_RANK = 16

Span = tuple[int, int]


def read_declaration(model: SentFile) -> Declaration:
    """All that a file declares, or nothing if it is damaged or declares too much; the check says what is wrong with it."""
    try:
        return _Reader(WireFile(model.descriptor, model.size, _LIMITS)).read()
    except FileRefused:
        return NOTHING


class _Reader:
    """Reads one file: first where things are, then the few that are wanted."""

    def __init__(self, file: WireFile) -> None:
        self._file = file

    def read(self) -> Declaration:
        model = self._spans(MODEL, 0, self._file.size, {"metadata_props": _MAX_ENTRIES, "graph": 1})
        inputs, outputs = self._ends(*model["graph"][0]) if model["graph"] else ((), ())
        return Declaration(self._metadata(model["metadata_props"]), inputs, outputs)

    def _spans(
        self, message: MessageSpec, start: int, end: int, wanted: Mapping[str, int]
    ) -> dict[str, list[Span]]:
        """Where the wanted fields are; raise TooMuch if one is there more often than allowed."""
        found: dict[str, list[Span]] = {name: [] for name in wanted}
        for what, begin, stop in self._file.fields(message, start, end):
            if what in wanted:
                found[what].append((begin, stop))
                if len(found[what]) > wanted[what]:
                    raise TooMuch
        return found

    def _metadata(self, entries: Sequence[Span]) -> dict[str, str]:
        if sum(stop - begin for begin, stop in entries) > _MAX_METADATA_BYTES:
            raise TooMuch
        metadata: dict[str, str] = {}
        for begin, stop in entries:
            parts = {"key": "", "value": ""}
            for what, *span in self._file.fields(ENTRY, begin, stop):
                parts[what] = self._text(*span)
            if parts["key"] in metadata:
                raise Malformed  # readers differ in which of the two they take
            metadata[parts["key"]] = parts["value"]
        return metadata

    def _ends(self, start: int, end: int) -> tuple[tuple[DeclaredTensor, ...], tuple[DeclaredTensor, ...]]:
        wanted = {"input": _LIMITS.max_ends, "output": _MAX_TENSORS}
        spans = self._spans(GRAPH, start, end, wanted)
        inputs = {self._name(VALUE, *span): span for span in spans["input"]}
        for what, *span in self._file.fields(GRAPH, start, end):
            if what == "initializer":  # files of old versions list these as inputs, too
                inputs.pop(self._name(TENSOR, *span), None)
        if len(inputs) > _MAX_TENSORS:
            raise TooMuch
        return self._tensors(inputs.values()), self._tensors(spans["output"])

    def _tensors(self, spans: Iterable[Span]) -> tuple[DeclaredTensor, ...]:
        return tuple(self._tensor(*span) for span in spans)

    def _tensor(self, start: int, end: int) -> DeclaredTensor:
        (kind,) = self._spans(VALUE, start, end, {"type": 1})["type"] or [(end, end)]
        found = self._spans(TYPE, *kind, {"tensor_type": 1})["tensor_type"]
        if not found:
            raise Malformed  # a list or a map
        element_type, shape = 0, None
        for what, begin, stop in self._file.fields(TENSOR_TYPE, *found[0]):
            if what == "elem_type":
                element_type = self._file.number(begin)
            else:
                shape = self._shape(begin, stop)
        return DeclaredTensor(self._name(VALUE, start, end), element_type, shape)

    def _shape(self, start: int, end: int) -> tuple[int | None, ...]:
        axes = self._spans(SHAPE, start, end, {"dim": _MAX_RANK})["dim"]
        return tuple(self._size(*axis) for axis in axes)

    def _size(self, start: int, end: int) -> int | None:
        size = 0
        for what, begin, _ in self._file.fields(DIMENSION, start, end):
            if what != "denotation":  # of a size and a name, the last one counts
                size = self._file.number(begin) if what == "dim_value" else 0
        return size if size > 0 else None

    def _name(self, message: MessageSpec, start: int, end: int) -> str:
        """The name of a value or a tensor."""
        spans = self._spans(message, start, end, {"name": 1})["name"]
        return self._text(*spans[0]) if spans else ""

    def _text(self, start: int, end: int) -> str:
        try:
            return self._file.text(start, end).decode()
        except UnicodeDecodeError:
            raise Malformed from None
