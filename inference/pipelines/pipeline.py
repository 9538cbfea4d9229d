"""What a task is: how a request in words becomes a model's inputs, and its outputs become an answer.

pipeline = TextClassification(config, files, signature)    # raises BadTaskConfig
encoded = pipeline.encode({"text": "Lovely!"})             # where the request arrived
inputs = pipeline.prepare(encoded.tensors)                 # beside the engine, for a whole batch
answers = pipeline.decode(outputs, encoded)                # for the outputs of this request's rows
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import orjson

from inference.pipelines.errors import BadTaskConfig, InvalidItem, TooManyItems
from inference.tensors.arrays import Tensors

Files = Mapping[str, bytes]  # what was uploaded beside the model, by name
Config = Mapping[str, Any]
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Encoded(Generic[C]):
    """A request. Its tensors hold rows that can be merged with those of other requests, small enough to be sent around."""

    tensors: Tensors
    context: C  # what `decode` needs to know about it


class Pipeline(ABC, Generic[C]):
    """One version's task, with its configuration. May be used by several threads at once."""

    task: ClassVar[str]

    @property
    @abstractmethod
    def _hashed(self) -> Sequence[Any]:
        """What `digest` depends on."""

    @property
    def digest(self) -> str:
        """The pre-processing hash: versions with the same one turn requests and outputs into the same things."""
        return hashlib.sha256(orjson.dumps([self.task, *self._hashed])).hexdigest()[:16]

    @abstractmethod
    def example(self) -> dict[str, Any]:
        """A request that the version answers."""

    @abstractmethod
    def encode(self, body: Mapping[str, Any]) -> Encoded[C]:
        """Check a request and make it small. Raises InvalidItem."""

    @abstractmethod
    def prepare(self, tensors: Tensors) -> Tensors:
        """The model's inputs for a batch of encoded rows."""

    @abstractmethod
    def decode(self, outputs: Tensors, encoded: Encoded[C]) -> list[Any]:
        """The answers of a request, one for each of its items."""


class Fields:
    """Reads a task configuration, field by field; raises BadTaskConfig that names the field."""

    def __init__(self, config: Config) -> None:
        self._left = dict(config)

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

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        value = self._left.pop(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadTaskConfig(f"It must be a whole number from {least:,} to {most:,}.", field=name)
        return value

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
