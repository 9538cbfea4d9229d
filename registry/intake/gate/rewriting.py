"""Rewrites a model file without loading it: weights of other files come in, a ZipMap goes out, all else is copied.

Standard library only, and as careful as the gate: what it writes is a plan of spans first, bounded in number and in
size, and only then bytes, read in pieces. What it wrote passes the gate like any other file.
"""

from collections.abc import Iterator, Sequence

from registry.intake.gate import drafts
from registry.intake.gate.drafts import GONE, Draft, Outside, Rule, Span, redraft
from registry.intake.gate.errors import (
    BadDataPlace,
    DataMissing,
    DataNotNamed,
    TooMuch,
    ZipMapRefused,
)
from registry.intake.gate.limits import DEFAULT, GateLimits, Tally
from registry.intake.gate.places import Place, read_place
from registry.intake.gate.schema import (
    ATTRIBUTE,
    FUNCTION,
    GRAPH,
    MODEL,
    NODE,
    SPARSE,
    TENSOR,
    TRAINING,
)
from registry.intake.gate.sent_files import SentFile
from registry.intake.gate.tensors import TensorCheck
from registry.intake.gate.wire import WireFile
from registry.intake.gate.wording import shown
from registry.intake.gate.zipmaps import ZipMap, find_zipmaps, scores_value, value_name

_RAW_DATA = 9
_TOLD = 10  # files that are named one by one


class Rewriting:
    """What becomes of a model file."""

    def __init__(
        self, model: SentFile, draft: Draft | None, places: Sequence[str], zipmaps: Sequence[ZipMap]
    ):
        self._model, self._draft = model, draft
        self.locations = tuple(places)  # the files that the model names, as it calls them
        self.labels = tuple(zipmaps[0].labels) if zipmaps else ()
        self._zipmaps = zipmaps
        self._data: dict[str, SentFile] = {}

    @property
    def size(self) -> int:
        return self._draft.size if self._draft is not None else self._model.size

    @property
    def changes(self) -> list[str]:
        """Say in sentences what is different; empty where the file stays as it is."""
        return _inside(self.locations) + [zipmap.change for zipmap in self._zipmaps]

    def use(self, data: Sequence[SentFile]) -> None:
        """Say which files came along; raise GateRefused unless they are the ones that the model names, and long enough."""
        self._data = _matched(self.locations, data)
        for part in self._draft.parts if self._draft is not None else ():
            if isinstance(part, Outside):
                _check_inside(part, self._data[part.location])

    def chunks(self) -> Iterator[bytes]:
        """Yield the new file in pieces; call `use` before."""
        parts = self._draft.parts if self._draft is not None else [Span(0, self._model.size)]
        for part in parts:
            if isinstance(part, bytes):
                yield part
            elif isinstance(part, Span):
                yield from self._model.read(part.start, part.size)
            else:
                yield from self._data[part.location].read(part.start, part.size)


def plan_rewriting(model: SentFile, *, drop_zipmap: bool = False, limits: GateLimits = DEFAULT) -> Rewriting:
    """Read a model file through and plan its rewriting; raise GateRefused. Its data files are not needed for that."""
    file = WireFile(model.descriptor, model.size, limits)
    return _Planner(file, limits).plan(model, drop_zipmap)


class _Planner:
    """Walks one file, and drafts every message on the way to something that changes."""

    def __init__(self, file: WireFile, limits: GateLimits) -> None:
        self._file, self._limits = file, limits
        self._tensors = TensorCheck(file, limits, Tally(limits))
        self._locations: dict[str, str] = {}
        self._outside = self._outside_bytes = 0
        self._zipmaps: dict[int, ZipMap] = {}
        self._removed: dict[bytes, ZipMap] = {}  # by the name of what it gave out
        self._outputs: set[bytes] = set()
        tensor, sparse, graph = self._tensor, self._sparse, self._graph
        self._attribute_rules: dict[str, Rule] = {
            "t": tensor, "tensors": tensor, "sparse_tensor": sparse, "sparse_tensors": sparse, "g": graph, "graphs": graph
        }  # fmt: skip
        self._graph_rules: dict[str, Rule] = {
            "node": self._node, "initializer": tensor, "sparse_initializer": sparse
        }  # fmt: skip
        self._node_rules: dict[str, Rule] = {"attribute": self._attribute}

    def plan(self, model: SentFile, drop_zipmap: bool) -> Rewriting:
        if drop_zipmap:
            self._find_zipmaps(model.size)
        rules = {"graph": self._main_graph, "functions": self._function, "training_info": self._training}
        draft = redraft(self._file, MODEL, 0, model.size, rules)
        if draft is not None and draft.size > self._limits.max_file_bytes:
            raise self._too_large(draft.size)
        return Rewriting(model, draft, tuple(self._locations), tuple(self._zipmaps.values()))

    def _find_zipmaps(self, size: int) -> None:
        for what, begin, stop in self._file.fields(MODEL, 0, size):
            if what == "graph":
                found, self._outputs = find_zipmaps(self._file, begin, stop, self._limits)
                self._zipmaps = {zipmap.at: zipmap for zipmap in found}
                self._removed = {zipmap.outputs[0]: zipmap for zipmap in found}
        for zipmap in self._zipmaps.values():
            self._check_unused(zipmap.inputs[0])
        self._node_rules = {"attribute": self._attribute, "input": self._used}

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
        told = f"The tensor {shown(tensor.name)}"
        if tensor.raw_bytes or tensor.numbers:
            raise BadDataPlace(f"{told} has data in the file and outside it; export the model again.")
        place = read_place(self._file, self._limits, start, end, told)
        outside = self._checked(place, self._tensors.raw_bytes(tensor, told), told)
        draft, at = Draft(), start
        for what, _, stop in self._file.fields(TENSOR, start, end):
            if what not in {"external_data", "data_location", "raw_data"}:
                draft.copy(at, stop)
            at = stop
        draft.write(drafts.varint(_RAW_DATA << 3 | 2) + drafts.varint(outside.size))
        draft.take(outside)
        return draft

    def _checked(self, place: Place, needed: int, told: str) -> Outside:
        if place.length is not None and place.length != needed:
            raise BadDataPlace(
                f"{told} needs {needed:,} bytes by its shape and type, and the model gives it {place.length:,} of"
                f" {shown(place.location)}; export the model again."
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
        location = self._locations.setdefault(place.location, place.location)
        if len(self._locations) > self._limits.max_data_files:
            raise TooMuch(
                f"The model names more than {self._limits.max_data_files} files with its weights; export it as one file."
            )
        return Outside(location, place.offset, needed, told)

    def _too_large(self, size: int) -> TooMuch:
        return TooMuch(
            f"With its weights inside, the file would have {size:,} bytes or more, of which an ONNX file may have"
            f" {self._limits.max_file_bytes:,}; send a smaller model."
        )

    # --- ZipMaps

    def _main_node(self, start: int, end: int) -> Draft | None:
        return GONE if start in self._zipmaps else self._node(start, end)

    def _used(self, start: int, end: int) -> None:
        self._check_unused(self._file.text(start, end))

    def _inner_output(self, start: int, end: int) -> None:
        self._check_unused(value_name(self._file, start, end))

    def _check_unused(self, name: bytes) -> None:
        if name in self._removed:
            raise ZipMapRefused(
                f"The model itself uses {shown(name)}, which its ZipMap gives out, so the ZipMap must stay; bring the file"
                " in as it is."
            )

    def _output(self, start: int, end: int) -> Draft | None:
        zipmap = self._removed.get(value_name(self._file, start, end))
        if zipmap is None:
            return None
        scores = zipmap.inputs[0]
        if scores in self._outputs:  # the model gives them out already
            return GONE
        self._outputs.add(scores)
        return scores_value(zipmap)

    def _value_info(self, start: int, end: int) -> Draft | None:
        """What a removed value was, nobody asks any more; what the scores are, the new output says."""
        name = value_name(self._file, start, end)
        is_stale = name in self._removed or any(name == each.inputs[0] for each in self._removed.values())
        return GONE if is_stale else None


def _matched(locations: Sequence[str], data: Sequence[SentFile]) -> dict[str, SentFile]:
    """Find each file that the model names among those that came along, by its name and by nothing else."""
    if len(locations) == 1 and len(data) == 1:  # whatever it was called when it was sent
        return {locations[0]: data[0]}
    by_label: dict[str, SentFile] = {}
    for file in data:
        if file.label in by_label:
            raise DataNotNamed(f"Two files called {shown(file.label)} came with the model; send each once.")
        by_label[file.label] = file
    if missing := [name for name in locations if name not in by_label]:
        raise DataMissing(missing_sentence(missing))
    if others := [label for label in by_label if label not in locations]:
        named = f"names {_listed(locations)}" if locations else "has its weights inside"
        raise DataNotNamed(
            f"{shown(others[0])} is not named by the model, which {named}; leave it out, or send the right one."
        )
    return by_label


def missing_sentence(names: Sequence[str]) -> str:
    """Say which files a model lacks, and what to do about it."""
    files = "that file" if len(names) == 1 else "those files"
    return (
        f"The model has weights in {_listed(names)}, which did not come with it; send {files} along, or export the"
        " model with external_data=False."
    )


def _inside(names: Sequence[str]) -> list[str]:
    if len(names) > _TOLD:
        return [f"The weights of {len(names):,} files were put inside the file."]
    return [f"The weights of {name} were put inside the file." for name in names]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(shown, names[:3])) + more


def _check_inside(part: Outside, file: SentFile) -> None:
    if part.start + part.size > file.size:
        raise BadDataPlace(
            f"{part.told} has its data up to byte {part.start + part.size:,} of {shown(part.location)}, which has"
            f" {file.size:,} bytes; send the whole file, or export the model again."
        )
