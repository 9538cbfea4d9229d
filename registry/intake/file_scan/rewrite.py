"""Rewrites a model file without loading it: merges in weights from other files, or removes a ZipMap.

Standard library only, and as careful as the scan: it first plans spans, limited in number and size, and only then
copies bytes in pieces. The result passes the scan like any other file.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from registry.intake.file_scan import drafts
from registry.intake.file_scan.drafts import REMOVED, Draft, ExternalSpan, Rule, Span, redraft
from registry.intake.file_scan.errors import (
    BadDataLocation,
    DataMissing,
    DataNotNamed,
    TooMuch,
    ZipMapRefused,
    quote_name,
)
from registry.intake.file_scan.limits import DEFAULT, ItemCounts, ScanLimits
from registry.intake.file_scan.schema import (
    ATTRIBUTE,
    ENTRY,
    FUNCTION,
    GRAPH,
    MODEL,
    NODE,
    SPARSE,
    TENSOR,
    TRAINING,
)
from registry.intake.file_scan.sent_files import SentFile
from registry.intake.file_scan.tensors import TensorCheck
from registry.intake.file_scan.wire import WireFile
from registry.intake.file_scan.zipmaps import ZipMap, find_zipmaps, scores_value, value_name

_RAW_DATA = 9
_MAX_LISTED = 10  # files named one by one
_LOCATION_KEYS = frozenset({"location", "offset", "length", "checksum"})
_EXTERNAL = 1
_MAX_FILE_NAME_BYTES = 255  # a file system's limit
_MAX_DIGITS = 18


class DataLocation(NamedTuple):
    """Where the data of a tensor is: in a file with a plain name, which is never opened."""

    file: str
    offset: int
    length: int | None  # None: as many bytes as the tensor needs


class Rewrite:
    """How a model file is rewritten."""

    def __init__(
        self, model: SentFile, draft: Draft | None, locations: Sequence[str], zipmaps: Sequence[ZipMap]
    ):
        self._model, self._draft = model, draft
        self.locations = tuple(locations)  # the data files, as the model names them
        self.labels = tuple(zipmaps[0].labels) if zipmaps else ()
        self._zipmaps = zipmaps
        self._data: dict[str, SentFile] = {}

    @property
    def size(self) -> int:
        return self._draft.size if self._draft is not None else self._model.size

    @property
    def changes(self) -> list[str]:
        """Sentences that describe the changes; empty if the file stays as it is."""
        return _merged_sentences(self.locations) + [zipmap.change for zipmap in self._zipmaps]

    def use(self, data: Sequence[SentFile]) -> None:
        """Set the data files; raise FileRefused unless they are the ones the model names, and long enough."""
        self._data = _match_files(self.locations, data)
        for part in self._draft.parts if self._draft is not None else ():
            if isinstance(part, ExternalSpan):
                _check_length(part, self._data[part.location])

    def chunks(self) -> Iterator[bytes]:
        """Yield the new file in pieces; call `use` first."""
        parts = self._draft.parts if self._draft is not None else [Span(0, self._model.size)]
        for part in parts:
            if isinstance(part, bytes):
                yield part
            elif isinstance(part, Span):
                yield from self._model.read(part.start, part.size)
            else:
                yield from self._data[part.location].read(part.start, part.size)


def plan_rewrite(model: SentFile, *, drop_zipmap: bool = False, limits: ScanLimits = DEFAULT) -> Rewrite:
    """Read a model file and plan its rewrite; raise FileRefused. The data files are not needed yet."""
    file = WireFile(model.descriptor, model.size, limits)
    return _Planner(file, limits).plan(model, drop_zipmap)


class _Planner:
    """Walks one file, and drafts every message that contains a change."""

    def __init__(self, file: WireFile, limits: ScanLimits) -> None:
        self._file, self._limits = file, limits
        self._tensors = TensorCheck(file, limits, ItemCounts(limits))
        self._locations: dict[str, str] = {}
        self._outside = self._outside_bytes = 0
        self._zipmaps: dict[int, ZipMap] = {}
        self._removed: dict[bytes, ZipMap] = {}  # by output name
        self._outputs: set[bytes] = set()
        tensor, sparse, graph = self._tensor, self._sparse, self._graph
        self._attribute_rules: dict[str, Rule] = {
            "t": tensor, "tensors": tensor, "sparse_tensor": sparse, "sparse_tensors": sparse, "g": graph, "graphs": graph
        }  # fmt: skip
        self._graph_rules: dict[str, Rule] = {
            "node": self._node, "initializer": tensor, "sparse_initializer": sparse
        }  # fmt: skip
        self._node_rules: dict[str, Rule] = {"attribute": self._attribute}

    def plan(self, model: SentFile, drop_zipmap: bool) -> Rewrite:
        if drop_zipmap:
            self._find_zipmaps(model.size)
        rules = {"graph": self._main_graph, "functions": self._function, "training_info": self._training}
        draft = redraft(self._file, MODEL, 0, model.size, rules)
        if draft is not None and draft.size > self._limits.max_file_bytes:
            raise self._too_large(draft.size)
        return Rewrite(model, draft, tuple(self._locations), tuple(self._zipmaps.values()))

    def _find_zipmaps(self, size: int) -> None:
        for what, begin, stop in self._file.fields(MODEL, 0, size):
            if what == "graph":
                zipmaps, self._outputs = find_zipmaps(self._file, begin, stop, self._limits)
                self._zipmaps = {zipmap.at: zipmap for zipmap in zipmaps}
                self._removed = {zipmap.outputs[0]: zipmap for zipmap in zipmaps}
        for zipmap in self._zipmaps.values():
            self._check_unused(zipmap.inputs[0])
        self._node_rules = {"attribute": self._attribute, "input": self._input}

    def _main_graph(self, start: int, end: int) -> Draft | None:
        rules = self._graph_rules
        if self._zipmaps:
            rules = {**rules, "node": self._main_node, "output": self._output, "value_info": self._value_info}
        return redraft(self._file, GRAPH, start, end, rules)

    def _graph(self, start: int, end: int) -> Draft | None:
        rules = {**self._graph_rules, "output": self._inner_output} if self._zipmaps else self._graph_rules
        return redraft(self._file, GRAPH, start, end, rules)

    def _function(self, start: int, end: int) -> Draft | None:
        return redraft(
            self._file, FUNCTION, start, end, {"node": self._node, "attribute_proto": self._attribute}
        )

    def _training(self, start: int, end: int) -> Draft | None:
        return redraft(
            self._file, TRAINING, start, end, {"initialization": self._graph, "algorithm": self._graph}
        )

    def _node(self, start: int, end: int) -> Draft | None:
        return redraft(self._file, NODE, start, end, self._node_rules)

    def _attribute(self, start: int, end: int) -> Draft | None:
        return redraft(self._file, ATTRIBUTE, start, end, self._attribute_rules)

    def _sparse(self, start: int, end: int) -> Draft | None:
        return redraft(self._file, SPARSE, start, end, {"values": self._tensor, "indices": self._tensor})

    # --- weights

    def _tensor(self, start: int, end: int) -> Draft | None:
        tensor = self._tensors.read(start, end)
        if not tensor.is_external:
            return None
        label = f"The tensor {quote_name(tensor.name)}"
        if tensor.raw_bytes or tensor.numbers:
            raise BadDataLocation(f"{label} has data in the file and outside it; export the model again.")
        location = read_location(self._file, self._limits, start, end, label)
        external = self._external_span(location, self._tensors.raw_bytes(tensor, label), label)
        draft, at = Draft(), start
        for what, _, stop in self._file.fields(TENSOR, start, end):
            if what not in {"external_data", "data_location", "raw_data"}:
                draft.copy(at, stop)
            at = stop
        draft.write(drafts.varint(_RAW_DATA << 3 | 2) + drafts.varint(external.size))
        draft.take(external)
        return draft

    def _external_span(self, location: DataLocation, needed: int, label: str) -> ExternalSpan:
        if location.length is not None and location.length != needed:
            raise BadDataLocation(
                f"{label} needs {needed:,} bytes for its shape, but the model gives it {location.length:,} bytes of"
                f" {quote_name(location.file)}; export the model again."
            )
        self._outside += 1
        self._outside_bytes += needed
        if self._outside > self._limits.max_outside_tensors:
            raise TooMuch(
                f"More than {self._limits.max_outside_tensors:,} tensors have their data outside the file; export the model"
                " as one file."
            )
        if self._outside_bytes > self._limits.max_file_bytes:
            raise self._too_large(self._outside_bytes)
        file = self._locations.setdefault(location.file, location.file)
        if len(self._locations) > self._limits.max_data_files:
            raise TooMuch(
                f"The model names more than {self._limits.max_data_files} files with weights; export it as one file."
            )
        return ExternalSpan(file, location.offset, needed, label)

    def _too_large(self, size: int) -> TooMuch:
        return TooMuch(
            f"With its weights inside, the file would have at least {size:,} bytes; an ONNX file may have at most"
            f" {self._limits.max_file_bytes:,}. Send a smaller model."
        )

    # --- ZipMaps

    def _main_node(self, start: int, end: int) -> Draft | None:
        return REMOVED if start in self._zipmaps else self._node(start, end)

    def _input(self, start: int, end: int) -> None:
        self._check_unused(self._file.text(start, end))

    def _inner_output(self, start: int, end: int) -> None:
        self._check_unused(value_name(self._file, start, end))

    def _check_unused(self, name: bytes) -> None:
        if name in self._removed:
            raise ZipMapRefused(
                f"The model itself uses {quote_name(name)}, the output of its ZipMap, so the ZipMap must stay; import the"
                " file as it is."
            )

    def _output(self, start: int, end: int) -> Draft | None:
        zipmap = self._removed.get(value_name(self._file, start, end))
        if zipmap is None:
            return None
        scores = zipmap.inputs[0]
        if scores in self._outputs:  # the scores are already an output
            return REMOVED
        self._outputs.add(scores)
        return scores_value(zipmap)

    def _value_info(self, start: int, end: int) -> Draft | None:
        """Drop the descriptions of removed values, and of the scores, which the new output describes."""
        name = value_name(self._file, start, end)
        is_stale = name in self._removed or any(name == zipmap.inputs[0] for zipmap in self._removed.values())
        return REMOVED if is_stale else None


def _match_files(locations: Sequence[str], data: Sequence[SentFile]) -> dict[str, SentFile]:
    """Match the files that the model names with those that were sent, by name only."""
    if len(locations) == 1 and len(data) == 1:  # the name it was sent under does not matter
        return {locations[0]: data[0]}
    by_label: dict[str, SentFile] = {}
    for file in data:
        if file.label in by_label:
            raise DataNotNamed(
                f"Two files named {quote_name(file.label)} were sent with the model; send each once."
            )
        by_label[file.label] = file
    if missing := [name for name in locations if name not in by_label]:
        raise DataMissing(missing_sentence(missing))
    if others := [label for label in by_label if label not in locations]:
        named = f"names {_listed(locations)}" if locations else "has its weights inside"
        raise DataNotNamed(
            f"{quote_name(others[0])} is not used by the model, which {named}; leave it out, or send the right file."
        )
    return by_label


def missing_sentence(names: Sequence[str]) -> str:
    """Which files a model lacks, and what to do about it."""
    files = "that file" if len(names) == 1 else "those files"
    return (
        f"The model has weights in {_listed(names)}; send {files} as well, or export the model with"
        " external_data=False."
    )


def _merged_sentences(names: Sequence[str]) -> list[str]:
    if len(names) > _MAX_LISTED:
        return [f"The weights of {len(names):,} files were merged into the file."]
    return [f"The weights of {name} were merged into the file." for name in names]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(quote_name, names[:3])) + more


def _check_length(part: ExternalSpan, file: SentFile) -> None:
    if part.start + part.size > file.size:
        raise BadDataLocation(
            f"{part.label} needs data up to byte {part.start + part.size:,} of {quote_name(part.location)}, which has"
            f" {file.size:,} bytes; send the whole file, or export the model again."
        )


def read_location(file: WireFile, limits: ScanLimits, start: int, end: int, label: str) -> DataLocation:
    """Read the data location of the tensor between two offsets; raise BadDataLocation."""
    entries: dict[str, bytes] = {}
    location_kind = 0
    for what, begin, stop in file.fields(TENSOR, start, end):
        if what == "data_location":
            location_kind = file.number(begin)
        elif what == "external_data":
            key, text = _entry(file, limits, begin, stop, label)
            if key in entries:
                raise BadDataLocation(f"{label} gives its {key} twice; export the model again.")
            entries[key] = text
    if location_kind != _EXTERNAL or "location" not in entries:
        raise BadDataLocation(f"{label} does not say clearly where its data is; export the model again.")
    length = _number(entries["length"], "length", label) if "length" in entries else None
    offset = _number(entries.get("offset", b"0"), "offset", label)
    return DataLocation(_file_name(entries["location"], label), offset, length)


def _entry(file: WireFile, limits: ScanLimits, start: int, end: int, label: str) -> tuple[str, bytes]:
    texts = {"key": b"", "value": b""}
    for what, begin, stop in file.fields(ENTRY, start, end):
        if stop - begin > limits.max_name_bytes:
            raise BadDataLocation(
                f"{label} has an entry of {stop - begin:,} bytes for its data, which is too long; export it again."
            )
        texts[what] = file.text(begin, stop)
    key = texts["key"].decode(errors="replace")
    if key not in _LOCATION_KEYS:
        raise BadDataLocation(
            f"{label} has the unknown key {quote_name(key)} for its data; the valid keys are"
            f" {', '.join(sorted(_LOCATION_KEYS))}. Export the model again."
        )
    return key, texts["value"]


def _number(text: bytes, what: str, label: str) -> int:
    if not text.isdigit() or len(text) > _MAX_DIGITS:
        raise BadDataLocation(
            f"{label} has the {what} {quote_name(text)}, which is not a whole number; export it again."
        )
    return int(text)


def _file_name(name: bytes, label: str) -> str:
    text = name.decode(errors="replace")
    is_plain = text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text and not set(text) & {"/", "\\"}
    if not is_plain or text in {"", ".", ".."} or len(name) > _MAX_FILE_NAME_BYTES:
        raise BadDataLocation(
            f"{label} has its data in {quote_name(name)}, which is not a plain file name; export the model with its data in"
            " one file next to it."
        )
    return text
