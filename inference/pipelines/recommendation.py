"""Items for users, best first, from a model that scores all items for a user."""

from codecs import BOM_UTF8
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from inference.pipelines.errors import BadTaskConfig, InvalidItem, TooManyItems, UnknownUser, UnusableOutput
from inference.pipelines.ids import IdTable, Places
from inference.pipelines.labels import find_scores, read_output, shown
from inference.pipelines.pipeline import (
    Config,
    Encoded,
    Fields,
    Files,
    FilesBeside,
    ItemPipeline,
    RowGroup,
    RowOutputs,
    item_list,
    read_json,
    read_top_k,
)
from inference.pipelines.scored_rows import ITEM_ROWS
from inference.tensors.arrays import Array, Tensors
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature, TensorSpec

USERS, ITEMS = "users.txt", "items.txt"
ID_KINDS = ("texts", "numbers")
MAX_USERS, MAX_EXCLUDED, MAX_TOP_K = 256, 100_000, 1_000
_OUTPUT_BYTES = 128 << 20  # of the scores of a request
_SAMPLES = 12


@dataclass(frozen=True, slots=True)
class RecommendedItems:
    """Items, best first, and their scores. `fallback`: the user is not known, and these are for the fallback user."""

    items: Sequence[str | int]
    scores: Sequence[float]
    fallback: bool


@dataclass(frozen=True, slots=True)
class UsersAsked:
    excluded: Sequence[Places]  # of each user
    are_fallbacks: Sequence[bool]
    top_k: int


class Recommendation(ItemPipeline[UsersAsked]):
    task = "recommendation"
    title = "items for users, best first"
    kept_files = (USERS, ITEMS)
    golden = ITEM_ROWS
    one, several, companions = "user", "users", ("exclude",)
    options = {"exclude": list, "top_k": int}

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        said = _Fields(config)
        said.check_files(files)
        self._users = IdTable(files[USERS], USERS)
        self._items = IdTable(files[ITEMS], ITEMS, are_numbers=said.item_ids == "numbers")
        self._input = _user_input(signature)
        output = find_scores(signature, len(self._items), rank=2, name=said.output, of="items")
        self.model_outputs = (output.name,)
        self.output_bytes = len(self._items) * output.dtype.itemsize
        self.most_items = max(1, min(MAX_USERS, _OUTPUT_BYTES // self.output_bytes))
        self._ids = said.item_ids
        self._top_k, self._fallback = said.top_k, self._place_of_fallback(said.fallback)
        super().__init__(config, files, signature)

    def _place_of_fallback(self, user: str) -> int | None:
        if not user:
            return None
        (place,) = self._users.find([user])
        if place < 0:
            raise BadTaskConfig(f"{USERS} has no user {user[:80]!r}.", field="fallback_user")
        return int(place)

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        _Fields(config).check_files(files)

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        ids = beside.metadata.get("item_ids")
        return {"item_ids": ids} if ids in ID_KINDS else {}

    @classmethod
    def is_stated(cls, beside: FilesBeside) -> bool:
        return {USERS, ITEMS} <= beside.files.keys()

    @classmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        return Signature(
            (TensorSpec("user", "BYTES", (None,)), TensorSpec("exclude", "BYTES", (None,), optional=True)),
            (
                TensorSpec("items", "BYTES", (None,)),
                TensorSpec("scores", "BYTES", (None,)),
                TensorSpec("fallback", "BOOL", (None,)),
            ),
            json_outputs=frozenset({"items", "scores"}),
            json_inputs=frozenset({"exclude"}),
            id_inputs=frozenset({"user"}),
            may_lack=frozenset({"exclude"}),
        )

    @property
    def _hashed(self) -> Sequence[Any]:
        names = [self._input.name, *(self.model_outputs or ())]
        return [self._users.digest, self._items.digest, self._ids, *names, self._top_k, self._fallback]

    @classmethod
    def example_of(
        cls, config: Config, files: Files, signature: Signature, sample: Sample = EMPTY_SAMPLE
    ) -> dict[str, Any]:
        first = files[USERS].removeprefix(BOM_UTF8).partition(b"\n")[0].rstrip(b"\r")
        return {"user": first.decode()}

    def samples(self) -> dict[str, Any]:
        return {
            "users": [self._users[place] for place in range(min(_SAMPLES, len(self._users), self.most_items))]
        }

    def encode(self, body: Mapping[str, Any]) -> Encoded[UsersAsked]:
        users = item_list(body, "user", "users", most=self.most_items)
        field = "users" if "users" in body else ""
        texts = [_id(user, f"users[{number}]" if field else "user") for number, user in enumerate(users)]
        places = self._users.find(texts)
        unknown = np.flatnonzero(places < 0)
        if unknown.size and self._fallback is None:
            number = int(unknown[0])
            raise UnknownUser(
                f"This version knows no user {texts[number][:80]!r}.",
                field=f"users[{number}]" if field else "user",
            )
        are_fallbacks = (places < 0).tolist()
        if self._fallback is not None:
            places[unknown] = self._fallback
        asked = UsersAsked(self._excluded(body, len(users)), are_fallbacks, self._read_top_k(body))
        return Encoded([RowGroup({"user": places}, range(len(users)))], asked)

    def _read_top_k(self, body: Mapping[str, Any]) -> int:
        return read_top_k(body, self._top_k, most=MAX_TOP_K) or self._top_k

    def _excluded(self, body: Mapping[str, Any], users: int) -> list[Places]:
        """The items that each user does not get. Unknown ones would not be recommended anyway."""
        lists = _lists_of_ids(body, users)
        found = self._items.find([one for ids in lists for one in ids])
        ends = np.cumsum([len(ids) for ids in lists])
        parts = [places[places >= 0] for places in np.split(found, ends[:-1])]
        return parts * users if len(parts) < users else parts

    def prepare(self, tensors: Tensors) -> Tensors:
        users = tensors["user"].astype(self._input.dtype)
        return {self._input.name: users if len(self._input.shape) == 1 else users[:, np.newaxis]}

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[UsersAsked]) -> list[RecommendedItems]:
        asked, (name,) = encoded.context, self.model_outputs or ("",)
        answers = []
        outputs = read_output(rows, name, len(self._items), rank=1, of="items")
        for scores, excluded, is_fallback in zip(outputs, asked.excluded, asked.are_fallbacks, strict=True):
            places = best_places(scores, asked.top_k, excluded, self._items.order)
            items = [self._items[place] for place in places.tolist()]
            answers.append(RecommendedItems(items, scores[places].astype(float).tolist(), is_fallback))
        return answers

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        body: dict[str, Any] = {"users": tensors["user"].tolist()}
        if "exclude" in tensors:
            body["exclude"] = [ids or [] for ids in read_json(tensors["exclude"], "exclude")]
        return body

    def tensors_of(self, answers: Sequence[RecommendedItems]) -> Tensors:
        return {
            "items": np.array([orjson.dumps(answer.items).decode() for answer in answers], object),
            "scores": np.array([orjson.dumps(answer.scores).decode() for answer in answers], object),
            "fallback": np.array([answer.fallback for answer in answers], bool),
        }


def best_places(scores: Array, top_k: int, excluded: Places, order: Array) -> Places:
    """The places of the best scores, best first; of equal ones those whose `order` is lower.

    A score of minus infinity is the model's own way to exclude an item. Raises UnusableOutput for NaN and infinity.
    """
    if not scores.max() < np.inf:  # NaN is not below anything
        raise UnusableOutput
    if excluded.size:
        scores = scores.copy()
        scores[excluded] = -np.inf
    least = np.partition(scores, -top_k)[-top_k] if top_k < len(scores) else -np.inf
    better, equal = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
    wanted = min(len(equal), top_k - len(better)) if least > -np.inf else 0
    if wanted < len(equal):  # perhaps of millions
        equal = equal[np.argpartition(order[equal], wanted)[:wanted]]
    places = np.concatenate([better, equal])
    found: Places = places[np.lexsort((order[places], -scores[places]))]
    return found


class _Fields:
    """What a task configuration says about recommendations."""

    def __init__(self, config: Config) -> None:
        fields = Fields(config)
        self.item_ids = fields.choice("item_ids", ID_KINDS, "texts")
        self.output = fields.text("output")
        self.top_k = fields.number("top_k", 10, least=1, most=MAX_TOP_K)
        self.fallback = fields.text("fallback_user")
        fields.end()

    def check_files(self, files: Collection[str]) -> None:
        for name in (USERS, ITEMS):
            if name not in files:
                raise BadTaskConfig(
                    f"Send {name} with the model: an id in each line, in the order of the model's rows.",
                    field=name,
                )


def _user_input(signature: Signature) -> TensorSpec:
    required = signature.required_inputs
    if len(required) == 1:
        (spec,) = required
        is_column = (
            not spec.any_rank
            and len(spec.shape) in {1, 2}
            and all(size in {None, 1} for size in spec.shape[1:])
        )
        if spec.datatype in {"INT32", "INT64"} and is_column and spec.shape[0] is None:
            return spec
    raise BadTaskConfig(
        f"The model must take the number of a user for each row, INT64 [-1] or [-1, 1]; it takes {shown(required)}.",
        field="inputs",
    )


def _lists_of_ids(body: Mapping[str, Any], users: int) -> list[list[str]]:
    """One list for all users, or one for each."""
    lists = body.get("exclude", [])
    is_for_each = "users" in body and isinstance(lists, list) and any(isinstance(one, list) for one in lists)
    if is_for_each and len(lists) != users:
        raise InvalidItem(
            f"`exclude` must have a list for each of the {users:,} users; it has {len(lists):,}.",
            field="exclude",
        )
    checked: list[list[str]] = []
    for number, ids in enumerate(lists if is_for_each else [lists]):
        field = f"exclude[{number}]" if is_for_each else "exclude"
        if not isinstance(ids, list):
            raise InvalidItem(f"`{field}` must be a list of ids.", field=field)
        checked.append([_id(one, field) for one in ids])
    if (count := sum(map(len, checked))) > MAX_EXCLUDED:
        raise TooManyItems(
            f"A request may exclude at most {MAX_EXCLUDED:,} items; this one excludes {count:,}.",
            field="exclude",
        )
    return checked


def _id(value: Any, field: str) -> str:
    """Ids that are numbers may be sent as numbers or texts."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidItem(f"`{field}` must be an id, a text or a whole number.", field=field)
    try:
        return str(value) if isinstance(value, int) else value.encode().decode()
    except (UnicodeEncodeError, ValueError):  # half of a surrogate pair, or an integer too long to print
        raise InvalidItem(f"`{field}` is not an id that this version can have.", field=field) from None
