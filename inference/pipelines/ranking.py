"""Candidates for a user, best first, from a model that scores rows of a user's and a candidate's features."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson

from inference.pipelines.columns import ColumnFields, Columns
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
    read_json,
    read_top_k,
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
    one, several, companions = "user", "users", ("candidates",)
    options = {"candidates": list, "top_k": int}
    most_items = MAX_USERS
    # The candidates of a user share one run, so that many are asked about at once.
    serving = {"max_batch_rows": 1_024, "max_queue_rows": 4_096}

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        said = _RankingFields(config)
        self._columns = Columns(said.columns, signature)
        self._output = _find_score(signature, said.output)
        self._function, self._top_k = said.function, said.top_k
        if self._output.shape[1:] == (_BOTH_CLASSES,):
            self._check_function()
        self.model_outputs = (self._output.name,)
        self.takes_missing, self.row_bytes = self._columns.takes_missing, self._columns.row_bytes
        self.row_values = len(self._columns.specs)
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
        top_k = read_top_k(body, self._top_k)
        groups, first = [], 0
        for number, (user, candidates) in enumerate(zip(users, lists, strict=True)):
            if "users" in body:
                tensors = self._columns.encode_beside(
                    user, candidates, f"users[{number}]", partial(_place_of_user, number)
                )
            else:
                tensors = self._columns.encode_beside(user, candidates, "user", _place_of_candidate)
            groups.append(RowGroup(tensors, range(first, first + len(candidates)), is_whole=True))
            first += len(candidates)
        return Encoded(groups, CandidatesAsked([len(candidates) for candidates in lists], top_k))

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
        if len({output.size for output in outputs}) > 1:
            raise UnusableOutput
        if outputs[0].size == _BOTH_CLASSES:
            self._check_function()
        return self._function(np.stack(outputs))[:, -1]

    def _check_function(self) -> None:
        """Two scores are those of both classes: the sigmoid of one of them means nothing."""
        if self._function is ScoreFunction.SIGMOID:
            raise BadTaskConfig(
                "The model gives two scores for each row. Say whether they are probabilities (`none`) or need `softmax`.",
                field="function",
            )

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        return {
            "users": read_json(tensors["user"], "users"),
            "candidates": read_json(tensors["candidates"], "candidates"),
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
        and (spec.any_rank or len(spec.shape) in {1, 2})
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


def _place_of_user(number: int, _candidate: int) -> str:
    """All candidates of a user are one item."""
    return f"candidates[{number}]"


def _place_of_candidate(candidate: int) -> str:
    return f"candidates[{candidate}]"


def _ranked(scores: Scores, top_k: int | None) -> RankedCandidates:
    order = np.argsort(-scores, kind="stable")[:top_k]
    return RankedCandidates(order.tolist(), scores[order].tolist())
