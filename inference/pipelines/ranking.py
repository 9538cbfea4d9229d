"""Candidates for a user, best first, from a model that scores rows of a user's and a candidate's features."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson

from inference.pipelines.columns import ColumnFields, Columns, Row
from inference.pipelines.errors import BadTaskConfig, InvalidItem, TooManyItems, UnusableOutput
from inference.pipelines.labels import shown
from inference.pipelines.pipeline import (
    Config,
    Encoded,
    Fields,
    Files,
    ItemPipeline,
    RowGroup,
    RowOutputs,
    item_list,
)
from inference.pipelines.scored_rows import CANDIDATE_ROWS
from inference.pipelines.scores import ScoreFunction, Scores
from inference.tensors.arrays import Array, Tensors
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature, TensorSpec

MAX_USERS, MAX_CANDIDATES = 256, 10_000  # of a request
_BOTH_CLASSES = 2


@dataclass(frozen=True, slots=True)
class RankedCandidates:
    """The places of candidates in the request, best first, and their scores."""

    indices: Sequence[int]
    scores: Sequence[float]


@dataclass(frozen=True, slots=True)
class CandidatesAsked:
    counts: Sequence[int]  # of candidates, for each user
    top_k: int | None


class Ranking(ItemPipeline[CandidatesAsked]):
    task = "ranking"
    title = "candidates for a user, best first"
    golden = CANDIDATE_ROWS
    one, several, beside = "user", "users", ("candidates",)
    options = {"candidates": list, "top_k": int}
    most_items = MAX_USERS
    runs_whole = True

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        said = _RankingFields(config)
        self._columns = Columns(said.columns, signature)
        self._output, self._function, self._top_k = (
            _find_score(signature, said.output),
            said.function,
            said.top_k,
        )
        self.model_outputs = (self._output.name,)
        self.takes_missing, self.row_bytes = self._columns.takes_missing, self._columns.row_bytes
        super().__init__(config, files, signature)

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        _RankingFields(config)

    @classmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        return Signature(
            (TensorSpec("user", "BYTES", (None,)), TensorSpec("candidates", "BYTES", (None,))),
            (TensorSpec("indices", "BYTES", (None,)), TensorSpec("scores", "BYTES", (None,))),
            json_outputs=frozenset({"indices", "scores"}),
            json_inputs=frozenset({"user", "candidates"}),
        )

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self._columns.hashed, self._output.name, self._function, self._top_k]

    @classmethod
    def example_of(
        cls, config: Config, files: Files, signature: Signature, sample: Sample = EMPTY_SAMPLE
    ) -> dict[str, Any]:
        """The first column is about the user, all others about candidates: nobody knows which are whose."""
        row = Columns(_RankingFields(config).columns, signature).example(sample)
        if not isinstance(row, Mapping):
            return {"user": list(row[:1]), "candidates": [list(row[1:])] * 2}
        (first, value), *others = row.items()
        return {"user": {first: value}, "candidates": [dict(others)] * 2}

    def samples(self) -> None:
        return None

    def count_rows(self, body: Mapping[str, Any]) -> int:
        lists = body.get("candidates") if "users" in body else [body.get("candidates")]
        counts = [len(one) for one in lists if isinstance(one, list)] if isinstance(lists, list) else []
        return min(sum(counts), MAX_CANDIDATES)

    def encode(self, body: Mapping[str, Any]) -> Encoded[CandidatesAsked]:
        users = item_list(body, "user", "users", most=self.most_items)
        lists = _lists_of_candidates(body, len(users))
        self._columns.check_count(sum(map(len, lists)))
        places = [(user, at) for user, candidates in enumerate(lists) for at in range(len(candidates))]

        def place(row: int) -> str:
            return f"candidates[{places[row]['users' not in body]}]"

        rows = [
            _joined(users[user], lists[user][at], partial(place, row))
            for row, (user, at) in enumerate(places)
        ]
        tensors = self._columns.encode(rows, place)
        asked = CandidatesAsked([len(candidates) for candidates in lists], self._read_top_k(body))
        return Encoded([RowGroup(tensors, range(len(rows)))], asked)

    def _read_top_k(self, body: Mapping[str, Any]) -> int | None:
        """None: all candidates."""
        top_k = body.get("top_k", self._top_k)
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
            raise InvalidItem("`top_k` must be a whole number, 1 or more.", field="top_k")
        return top_k

    def prepare(self, tensors: Tensors) -> Tensors:
        return tensors

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[CandidatesAsked]) -> list[RankedCandidates]:
        scores = self._scores(rows)
        if not np.isfinite(scores).all():
            raise UnusableOutput
        ends = np.cumsum(encoded.context.counts)
        return [_ranked(part, encoded.context.top_k) for part in np.split(scores, ends[:-1])]

    def _scores(self, rows: Sequence[RowOutputs]) -> Scores:
        """Of both classes' scores the last one is that of a click."""
        outputs: list[Array] = []
        for row in rows:
            output = row.get(self._output.name)
            if output is None or output.dtype.kind != "f" or not 1 <= output.size <= _BOTH_CLASSES:
                raise UnusableOutput(f"The model did not give a score in its output {self._output.name!r}.")
            outputs.append(output.ravel())
        return self._function(np.stack(outputs))[:, -1]

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        return {
            "users": [
                _parsed(text, f"users[{number}]") for number, text in enumerate(tensors["user"].tolist())
            ],
            "candidates": [
                _parsed(text, f"candidates[{number}]")
                for number, text in enumerate(tensors["candidates"].tolist())
            ],
        }

    def tensors_of(self, answers: Sequence[RankedCandidates]) -> Tensors:
        return {
            name: np.array([orjson.dumps(getattr(answer, name)).decode() for answer in answers], object)
            for name in ("indices", "scores")
        }


class _RankingFields:
    """What a task configuration says about rankings."""

    def __init__(self, config: Config) -> None:
        fields = Fields(config)
        self.columns = ColumnFields(fields)
        self.output = fields.text("output")
        self.function = ScoreFunction(fields.choice("function", list(ScoreFunction), ScoreFunction.SIGMOID))
        self.top_k = fields.number("top_k", None, least=1, most=MAX_CANDIDATES)
        fields.end()


def _find_score(signature: Signature, name: str) -> TensorSpec:
    """The output with a score for each row."""
    fitting = [
        spec
        for spec in signature.outputs
        if spec.datatype in {"FP16", "FP32", "FP64"}
        and len(spec.shape) in {1, 2}
        and all(size in {None, 1, _BOTH_CLASSES} for size in spec.shape[1:])
        and name in {"", spec.name}
    ]
    if len(fitting) != 1:
        why = "Name the output with the scores" if fitting else "No output has one score for each row"
        raise BadTaskConfig(f"{why}; the model has {shown(signature.outputs)}.", field="output")
    return fitting[0]


def _lists_of_candidates(body: Mapping[str, Any], users: int) -> list[list[Any]]:
    lists = body.get("candidates") if "users" in body else [body.get("candidates")]
    if not isinstance(lists, list) or len(lists) != users:
        raise InvalidItem("`candidates` must be a list with the candidates of each user.", field="candidates")
    for number, candidates in enumerate(lists):
        field = f"candidates[{number}]" if "users" in body else "candidates"
        if not isinstance(candidates, list) or not candidates:
            raise InvalidItem(f"`{field}` must be a list with at least one candidate.", field=field)
    if (count := sum(map(len, lists))) > MAX_CANDIDATES:
        raise TooManyItems(
            f"A request may have at most {MAX_CANDIDATES:,} candidates; this one has {count:,}.",
            field="candidates",
        )
    return lists


def _joined(user: Any, candidate: Any, place: Callable[[], str]) -> Row:
    """A user's and a candidate's features as a row: objects by name, or lists one after the other."""
    if isinstance(user, list) and isinstance(candidate, list):
        return [*user, *candidate]
    if not isinstance(user, dict) or not isinstance(candidate, dict):
        raise InvalidItem(f"The user and `{place()}` must both be objects, or both lists.", field=place())
    if both := user.keys() & candidate.keys():
        raise InvalidItem(f"The user and `{place()}` both have {min(both)[:80]!r}.", field=place())
    return {**user, **candidate}


def _ranked(scores: Scores, top_k: int | None) -> RankedCandidates:
    order = np.argsort(-scores, kind="stable")[:top_k]
    return RankedCandidates(order.tolist(), scores[order].tolist())


def _parsed(text: Any, field: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidItem(f"`{field}` must be JSON.", field=field) from None
