"""What a task is: how a request in words becomes a model's inputs, and its outputs become an answer.

pipeline = TextClassification(config, files, signature)    # raises BadTaskConfig
encoded = pipeline.encode({"text": "Lovely!"})             # where the request arrived
inputs = pipeline.prepare(encoded.groups[0].tensors)       # beside the engine, for rows of equal shapes
answers = pipeline.decode(rows, encoded)                   # from the outputs of this request's rows
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, overload

import numpy as np
import orjson

from inference.pipelines.errors import BadTaskConfig, InvalidItem, TooManyItems, UnusableOutput
from inference.pipelines.golden import TENSOR_ROWS, GoldenRows
from inference.tensors.arrays import Array, Tensors
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature, TensorSpec

Files = Mapping[str, bytes]  # what was uploaded beside the model, by name
Config = Mapping[str, Any]
EXAMPLE_BYTES = 64 << 10  # of each file, from which pages make an example
C = TypeVar("C")


MAX_JSON = 8 << 20  # in the texts of a tensor: as much as a body of JSON may have

_UNKNOWN = Signature((), ())


@dataclass(frozen=True, slots=True)
class FilesBeside:
    """What came with a model file: other files by name, and the labels of a ZipMap that was removed from it.

    And what the file itself declares: its metadata, and its inputs and outputs, if they are known.
    """

    files: Files = field(default_factory=dict)
    labels: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    signature: Signature = _UNKNOWN


class TokenReader(Protocol):
    """What a check tries on a model that reads tokens. All rows are inputs of the model."""

    max_tokens: int
    may_pad: bool  # whether rows are filled up to widths that many share

    @property
    def largest_id(self) -> int:
        """Of the tokenizer."""

    def row_of(self, token_id: int, tokens: int) -> Tensors:
        """A row that repeats one token, as many times as it may at most have."""

    def longest_row(self) -> Tensors:
        """A row with as many tokens as the model reads."""

    def random_rows(self, like: Tensors, rng: np.random.Generator, count: int) -> Tensors:
        """Rows of any tokens, as wide as these."""

    def padding_is_harmless(self, run: Callable[[Tensors], Tensors], output: str) -> bool:
        """Whether this output stays the same for a row that is filled up to a greater width."""

    def read(self, texts: Sequence[str]) -> object:
        """Turn texts into rows."""


class OneNumber(NamedTuple):
    """A prediction as one number, and how likely it is: the index of the likeliest class, or any number, with 0."""

    prediction: float
    confidence: float


class FieldChoice(NamedTuple):
    """One value of a field, for people who choose among several."""

    title: str
    details: str = ""

    @property
    def in_words(self) -> str:
        return f"{self.title} ({self.details})" if self.details else self.title


class Pipeline(ABC):
    """One version's task, with its configuration. May be used by several threads at once.

    This base is for models whose callers send and receive the model's own tensors.
    """

    task: ClassVar[str]
    title: ClassVar[str]
    kept_files: ClassVar[tuple[str, ...]] = ()  # endings of the names of files that a version needs to answer
    asked: ClassVar[tuple[str, ...]] = ()  # fields that a person fills in if no file states them
    choices: ClassVar[
        Mapping[str, Mapping[str, FieldChoice]]
    ] = {}  # of those with few values: each value in words
    serving: ClassVar[
        Mapping[str, Any]
    ] = {}  # serving settings of its versions that differ from the usual ones
    golden: ClassVar[GoldenRows] = TENSOR_ROWS  # what rows of its golden sets look like
    labels: Sequence[str] = ()  # of a classification, in the order of its scores
    model_outputs: Sequence[str] | None = None  # those that answers are made of, the scores first; None: all
    token_rows: TokenReader | None = None  # how items become rows, if the model reads tokens

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        """Raises BadTaskConfig if the configuration does not fit the files or the signature."""
        self.signature = signature  # the model's

    @classmethod
    @abstractmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        """Raise BadTaskConfig for what is wrong whatever the model is. `files`: the names of those that are kept."""

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        """The part of a configuration that the model file and those beside it state. What they do not state is left out."""
        return {}

    @classmethod
    def is_stated(cls, beside: FilesBeside) -> bool:
        """Whether the model file says that it is for this task."""
        return False

    @property
    def callers_signature(self) -> Signature:
        """What callers send and receive as tensors."""
        return self.signature

    @cached_property
    def digest(self) -> str:
        """The pre-processing hash: versions with the same one turn requests and outputs into the same things.

        Empty for a task that changes neither.
        """
        return ""

    def one_number(self, row: Array) -> OneNumber:
        """A row of the only output, for callers who want one number: its first, where there are no classes."""
        if not row.size:
            raise UnusableOutput("The model answered with an empty tensor, which is not a prediction.")
        first = row.flat[0].item()
        return OneNumber(int(first) if isinstance(first, bool) else first, 0.0)

    def padding_is_harmless(self, run: Callable[[Tensors], Tensors]) -> bool:
        """Whether rows that are filled up to a greater width get the same answer, so that rows may share widths."""
        if self.token_rows is None or not self.model_outputs:
            return True
        return self.token_rows.padding_is_harmless(run, self.model_outputs[0])

    def forbid_padding(self) -> None:
        """Give each row exactly the width that it needs from now on."""
        if self.token_rows is not None:
            self.token_rows.may_pad = False


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of a request that have equal shapes, so that they may share runs of the model, also with other requests' rows."""

    tensors: Tensors  # small enough to be sent around
    places: Sequence[int]  # which rows of the request they are
    is_whole: bool = False  # they must share one run, because they belong to one item

    def split(self, most: int) -> Iterator["RowGroup"]:
        """Groups of at most `most` rows."""
        if self.is_whole:
            yield self
            return
        for start in range(0, len(self.places), most):
            part = slice(start, start + most)
            yield RowGroup({name: rows[part] for name, rows in self.tensors.items()}, self.places[part])


@dataclass(frozen=True, slots=True)
class Encoded(Generic[C]):
    """A request, made small."""

    groups: Sequence[RowGroup]
    context: C  # what `decode` needs to know about it


RowOutputs = Mapping[str, Array]  # of one row


class ItemPipeline(Pipeline, Generic[C]):
    """A task whose callers send items, such as texts, instead of a model's tensors."""

    one: ClassVar[str]  # the field of a request with one item
    several: ClassVar[str]  # the field of a request with a list of items
    # Fields that belong to an item; each is a list with one entry for each item, where there are several.
    companions: ClassVar[tuple[str, ...]] = ()
    most_items: int  # of a request
    most_item_bytes: int = 0  # of one that is fetched from its URL
    options: ClassVar[Mapping[str, type]] = {}  # the other fields, and what their values are
    address: ClassVar[str] = (
        ""  # the field of a request with an item's URL; `address` + "s" of one with several
    )
    other_items: ClassVar[
        tuple[TensorSpec, ...]
    ] = ()  # tensors in which items may be sent instead of those of `items_of`
    reads_files: ClassVar[bool] = False  # encode takes long, and mostly without Python's lock
    row_bytes: int = 0  # of an encoded row, where that may be more than the item's own bytes
    run_bytes: int = 0  # of the model's inputs for such a row, if they are large
    output_bytes: int = 0  # of its outputs for such a row, if they are large: those of all rows are kept
    row_values: int = 0  # how many values a row has, where reading each takes time
    takes_missing: bool = False  # NaN in an item sent as tensors is a missing value
    is_slow_to_decode: bool = False  # decode may take more than a millisecond, whatever the request is

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        super().__init__(config, files, signature)
        self.item_signatures = self.signatures_of(config, signature)
        self.items = self.item_signatures[0]
        self.example = self.example_of(config, files, signature)

    @classmethod
    @abstractmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        """Items as tensors: a row for each, as jobs, the Open Inference Protocol and gRPC send them."""

    @classmethod
    def signatures_of(cls, config: Config, signature: Signature) -> tuple[Signature, ...]:
        """That of `items_of`, and the same with each of the other tensors."""
        items = cls.items_of(config, signature)
        return (items, *(replace(items, inputs=(spec,)) for spec in cls.other_items))

    @classmethod
    def request_fields(cls) -> dict[str, bool]:
        """The fields that hold the items of a request, and whether they hold several."""
        addresses = {cls.address: False, f"{cls.address}s": True} if cls.address else {}
        return {cls.one: False, cls.several: True, **addresses}

    def signature_for(self, inputs: Mapping[str, Any]) -> Signature | None:
        """Which of the signatures these tensors are for; None if they are the model's own."""
        return next((one for one in self.item_signatures if _may_fit(one, inputs)), None)

    @property
    def callers_signature(self) -> Signature:
        return self.items

    @property
    @abstractmethod
    def _hashed(self) -> Sequence[Any]:
        """What `digest` depends on."""

    @cached_property
    def digest(self) -> str:
        return hash_of(self.task, self._hashed)

    @classmethod
    @abstractmethod
    def example_of(
        cls, config: Config, files: Files, signature: Signature, sample: Sample = EMPTY_SAMPLE
    ) -> dict[str, Any]:
        """The body of a request with one item. `sample`: a row on which the model has run.

        Of each file there may be only the first EXAMPLE_BYTES: pages ask this, and files of ids are large.
        """

    @abstractmethod
    def samples(self) -> dict[str, Any] | None:
        """The body of a request with a dozen different items, on which checks run a version.

        None if any values of the model's inputs are as good.
        """

    @classmethod
    def joined_body(cls, bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The body of a request with the items of these, each of which has one."""
        companions = {name: [body.get(name, []) for body in bodies] for name in cls.companions}
        return {cls.several: [body.get(cls.one) for body in bodies], **companions}

    @classmethod
    def row_of(cls, body: Mapping[str, Any]) -> dict[str, Any]:
        """The item of a body as a row of tensors: a value for each."""
        return dict(body)

    def count_rows(self, body: Mapping[str, Any]) -> int:
        """How many rows a request will have at most; it is not checked yet."""
        items = body.get(self.several)
        return min(len(items), self.most_items) if isinstance(items, list) else 1

    @abstractmethod
    def encode(self, body: Mapping[str, Any]) -> Encoded[C]:
        """Check a request and make it small. Raises InvalidItem."""

    @abstractmethod
    def prepare(self, tensors: Tensors) -> Tensors:
        """The model's inputs for encoded rows of equal shapes."""

    @abstractmethod
    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[C]) -> list[Any]:
        """The answers of a request, one for each of its items, from the outputs of its rows."""

    @abstractmethod
    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        """Items that were sent as tensors, as the body of a request."""

    @abstractmethod
    def tensors_of(self, answers: Sequence[Any]) -> Tensors:
        """Answers as tensors, for those who sent tensors."""

    def answer(
        self, body: Mapping[str, Any], run: Callable[[Tensors], Tensors], *, most_rows: int = 1
    ) -> list[Any]:
        """Answer a request with this function, which runs the model on its inputs."""
        encoded = self.encode(body)
        groups = [part for group in encoded.groups for part in group.split(most_rows)]
        return self.decode(rows_of(groups, [run(self.prepare(group.tensors)) for group in groups]), encoded)


def _may_fit(signature: Signature, inputs: Mapping[str, Any]) -> bool:
    """Whether names and kinds of values fit; lists, as in JSON, are texts or numbers of any kind."""
    specs = {spec.name: spec for spec in signature.inputs}
    return inputs.keys() <= specs.keys() and all(
        not isinstance(value, np.ndarray)
        or (
            value.dtype == specs[name].dtype
            if value.dtype.kind not in "OSUV"
            else specs[name].dtype == object
        )
        for name, value in inputs.items()
    )


def hash_of(task: str, parts: Sequence[Any]) -> str:
    """The pre-processing hash of a task and what else it depends on."""
    return hashlib.sha256(orjson.dumps([task, *parts])).hexdigest()[:16]


def rows_of(groups: Sequence[RowGroup], outputs: Iterable[Tensors]) -> list[RowOutputs]:
    """The outputs of each row, in the order of the request's rows. Raises UnusableOutput."""
    rows: list[RowOutputs] = [{} for group in groups for _ in group.places]
    for group, tensors in zip(groups, outputs, strict=True):
        for name, tensor in tensors.items():
            if not tensor.ndim or len(tensor) != len(group.places):
                raise UnusableOutput(
                    f"The model's output {name!r} does not have one row for each row of its inputs."
                )
        for at, place in enumerate(group.places):
            rows[place] = {name: tensor[at] for name, tensor in tensors.items()}
    return rows


class Fields:
    """Reads a task configuration, field by field; raises BadTaskConfig that names the field."""

    def __init__(self, config: Config) -> None:
        self._left = dict(config)
        self.given = frozenset(config)

    def text(self, name: str, default: str = "") -> str:
        value = self._left.pop(name, default)
        if not isinstance(value, str):
            raise BadTaskConfig("It must be a text.", field=name)
        return value

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self._left.pop(name, default)
        if value not in choices:
            raise BadTaskConfig(f"It must be one of {', '.join(choices)}.", field=name)
        return str(value)

    @overload
    def number(self, name: str, default: int, *, least: int, most: int) -> int: ...

    @overload
    def number(self, name: str, default: None, *, least: int, most: int) -> int | None: ...

    def number(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        value = self._left.pop(name, default)
        if value is None and name not in self.given:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadTaskConfig(f"It must be a whole number from {least:,} to {most:,}.", field=name)
        return value

    def share(self, name: str, default: float) -> float:
        value = self._left.pop(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise BadTaskConfig("It must be a number from 0 to 1.", field=name)
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._left.pop(name, default)
        if not isinstance(value, bool):
            raise BadTaskConfig("It must be true or false.", field=name)
        return value

    def texts(self, name: str, *, most: int, longest: int) -> list[str]:
        values = self._left.pop(name, [])
        if not isinstance(values, list) or len(values) > most:
            raise BadTaskConfig(f"It must be a list of at most {most:,} texts.", field=name)
        for number, value in enumerate(values):
            if not isinstance(value, str) or not 0 < len(value) <= longest:
                raise BadTaskConfig(
                    f"It must be a text of at most {longest} characters.", field=f"{name}[{number}]"
                )
        return values

    def values(self, name: str, *, most: int, longest: int) -> dict[str, Any]:
        """An object with texts, numbers or null, as in `{"age": 40}`."""
        values = self._left.pop(name, {})
        if not isinstance(values, dict) or len(values) > most:
            raise BadTaskConfig(f"It must be an object with at most {most:,} members.", field=name)
        for key, value in values.items():
            if isinstance(value, (dict, list)) or (isinstance(value, str) and len(value) > longest):
                raise BadTaskConfig(
                    f"Its values must be numbers, texts of at most {longest} characters, or null.",
                    field=f"{name}.{str(key)[:80]}",
                )
        return values

    def pairs(self, name: str, *, most: int) -> list[tuple[str, str]]:
        """Objects with one member each, as in `[{"MAIL": "…"}]`."""
        values = self._left.pop(name, [])
        if not isinstance(values, list) or len(values) > most:
            raise BadTaskConfig(f"It must be a list of at most {most:,} objects.", field=name)
        found = []
        for number, value in enumerate(values):
            pair = list(value.items()) if isinstance(value, dict) else []
            if len(pair) != 1 or not all(isinstance(part, str) and part for part in pair[0]):
                raise BadTaskConfig("It must be an object like {label: text}.", field=f"{name}[{number}]")
            found.append(pair[0])
        return found

    def end(self) -> None:
        """No other field may be left: a misspelled one would have no effect."""
        for name in self._left:
            raise BadTaskConfig("This task has no such field.", field=str(name)[:80])


def read_top_k(body: Mapping[str, Any], usual: int | None, *, most: int | None = None) -> int | None:
    """How many of an answer's best the request wants; None for all."""
    top_k = body.get("top_k", usual)
    if top_k is None and "top_k" not in body:
        return None
    if not isinstance(top_k, int) or isinstance(top_k, bool) or not 1 <= top_k <= (most or top_k):
        limits = f"from 1 to {most:,}" if most is not None else "1 or more"
        raise InvalidItem(f"`top_k` must be a whole number, {limits}.", field="top_k")
    return top_k


def read_json(texts: Array, field: str) -> list[Any]:
    """What the texts of a tensor are as JSON; None for one that is empty or not there."""
    listed = texts.tolist()
    if sum(len(text or "") for text in listed) > MAX_JSON:
        raise TooManyItems(f"`{field}` may have at most {MAX_JSON >> 20} MiB of JSON.", field=field)
    found = []
    for number, text in enumerate(listed):
        try:
            found.append(orjson.loads(text) if text else None)
        except orjson.JSONDecodeError:
            raise InvalidItem(f"`{field}[{number}]` must be JSON.", field=f"{field}[{number}]") from None
    return found


def item_list(body: Mapping[str, Any], one: str, several: str, *, most: int) -> list[Any]:
    """What a request asks about: one item or a list, under their names."""
    if (one in body) == (several in body):
        raise InvalidItem(f"Send either `{one}` or `{several}`.", field=one)
    if one in body:
        return [body[one]]
    items = body[several]
    if not isinstance(items, list) or not items:
        raise InvalidItem(f"`{several}` must be a list with at least one item.", field=several)
    if len(items) > most:
        raise TooManyItems(
            f"A request may have at most {most:,} items; this one has {len(items):,}.", field=several
        )
    return items
