"""Entities: names, numbers and the like in a text, from a label for each token, and from regular expressions beside it."""

import time
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice, pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from inference.pipelines.errors import InvalidItem, PatternTimedOut, UnusableOutput
from inference.pipelines.golden import SPAN_ROWS
from inference.pipelines.labels import LONGEST_LABEL, find_scores, read_labels, read_output
from inference.pipelines.patterns import check_pattern, compiled
from inference.pipelines.pipeline import (
    Config,
    Encoded,
    Fields,
    Files,
    FilesBeside,
    ItemPipeline,
    RowOutputs,
    item_list,
)
from inference.pipelines.scores import Scores, softmax
from inference.pipelines.spans import Characters, OffsetUnit, in_unit
from inference.pipelines.texts import (
    MAX_TEXTS,
    SAMPLE_TEXTS,
    TOKENIZER_FILES,
    TextFields,
    TokenRows,
    prefilled,
)
from inference.pipelines.tokenization import TokenizedText
from inference.tensors.arrays import Array, Tensors, is_finite
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature, TensorSpec

Choice = TypeVar("Choice", bound=StrEnum)

OUTSIDE = "O"
_BEGINS, _CONTINUES, _ENDS, _ALONE = "B", "I", "LE", "US"  # BIO; BILOU; BIOES
_MAX_LABELS = 1_000
_MAX_PATTERNS = 64
_PATTERN_LIMIT_S = 0.5  # for all of them together, on all texts of a request


class Grouping(StrEnum):
    """How tokens become entities.

    `none`: each token is one. `simple`: neighbours of one type are one. The others first give each word one label: that of
    its first token, that of the mean of its tokens' scores, or that of its surest token.
    """

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Entity:
    """`text` is the piece of the caller's text from `start` to `end`, which count code points."""

    label: str
    text: str
    start: int
    end: int
    score: float


class TokenTag(NamedTuple):
    """A label in two parts, such as B and PER. Labels without a beginning, such as PER, continue."""

    place: str
    type: str

    @classmethod
    def of(cls, label: str) -> "TokenTag":
        place, dash, kind = label.partition("-")
        if dash and kind and place in {*_BEGINS, *_CONTINUES, *_ENDS, *_ALONE}:
            return cls(place, kind)
        return cls(_CONTINUES, label)

    @property
    def begins(self) -> bool:
        return self.place in {*_BEGINS, *_ALONE}

    @property
    def ends(self) -> bool:
        return self.place in {*_ENDS, *_ALONE}


def entity_types(labels: Iterable[str], ignored: Collection[str] | None, more: Iterable[str]) -> list[str]:
    """The labels that entities can have: those of tokens without their B- and I-, then those of patterns."""
    left_out = ignored or [OUTSIDE]
    types = [TokenTag.of(label).type for label in labels if label not in left_out]
    return list(dict.fromkeys([*(one for one in types if one not in left_out), *more]))


class _LabelledPiece(NamedTuple):
    """A token, or a word of several, with its best label."""

    place: int  # among the tokens or words
    start: int
    end: int
    label: int
    score: float


class EntityReader:
    """Finds the entities that a model's outputs name."""

    def __init__(
        self, labels: Sequence[str], *, grouping: Grouping, ignored: Iterable[str] = (OUTSIDE,)
    ) -> None:
        self._labels = tuple(labels)
        self._tags = [TokenTag.of(label) for label in self._labels]
        ignored = frozenset(ignored)
        self._is_ignored = np.array(
            [bool(ignored & {label, tag.type}) for label, tag in zip(self._labels, self._tags, strict=True)]
        )
        self._grouping = grouping

    def read(self, text: str, tokens: TokenizedText, outputs: Sequence[NDArray[Any]]) -> list[Entity]:
        """The entities in order; none overlaps another. `outputs` has one array (tokens, labels) for each window."""
        spans, words, scores = _joined(tokens, outputs)
        characters = Characters(text)
        found: list[Entity] = []
        for label, score, start, end in self._groups(self._pieces(spans, words, scores)):
            start, end = characters.span(start, end)
            start = max(start, found[-1].end if found else 0)
            if start < end:
                found.append(Entity(label, text[start:end], start, end, score))
        return found

    def _pieces(
        self, spans: NDArray[np.int32], words: NDArray[np.int32], scores: Scores
    ) -> Iterator[_LabelledPiece]:
        """The tokens or words that belong to an entity; most belong to none."""
        if self._grouping in {Grouping.NONE, Grouping.SIMPLE}:
            best = scores.argmax(axis=-1)
            for row in np.flatnonzero(~self._is_ignored[best]):
                label = int(best[row])
                yield _LabelledPiece(
                    int(row), int(spans[row, 0]), int(spans[row, 1]), label, float(scores[row, label])
                )
            return
        firsts = np.flatnonzero(np.diff(words, prepend=-1))
        for place, (first, end) in enumerate(pairwise([*firsts, len(words)])):
            chosen = self._scores_of_word(scores[first:end])
            label = int(chosen.argmax())
            if not self._is_ignored[label]:
                yield _LabelledPiece(
                    place, int(spans[first, 0]), int(spans[end - 1, 1]), label, float(chosen[label])
                )

    def _scores_of_word(self, scores: Scores) -> Scores:
        if self._grouping is Grouping.FIRST:
            return np.asarray(scores[0])
        if self._grouping is Grouping.AVERAGE:
            return np.asarray(scores.mean(axis=0))
        return np.asarray(scores[scores.max(axis=-1).argmax()])

    def _groups(self, pieces: Iterable[_LabelledPiece]) -> Iterator[tuple[str, float, int, int]]:
        """Label, score, start and end of each entity."""
        group: list[_LabelledPiece] = []
        for piece in pieces:
            if group and not self._continues(group[-1], piece):
                yield self._entity(group)
                group = []
            group.append(piece)
        if group:
            yield self._entity(group)

    def _continues(self, before: _LabelledPiece, piece: _LabelledPiece) -> bool:
        if self._grouping is Grouping.NONE or piece.place != before.place + 1:
            return False
        last, tag = self._tags[before.label], self._tags[piece.label]
        return tag.type == last.type and not tag.begins and not last.ends

    def _entity(self, group: Sequence[_LabelledPiece]) -> tuple[str, float, int, int]:
        first = group[0].label
        label = self._labels[first] if self._grouping is Grouping.NONE else self._tags[first].type
        return label, float(np.mean([piece.score for piece in group])), group[0].start, group[-1].end


def _joined(
    tokens: TokenizedText, outputs: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.int32], NDArray[np.int32], Scores]:
    """Spans, words and scores of all tokens that stand in the text, each once.

    A token of two windows is taken from the one in which it stands further from the edge, and so has more context.
    """
    spans, words, scores = [], [], []
    windows = [
        (window, softmax(output[: len(window.ids)].astype(np.float64)), window.words >= 0)
        for window, output in zip(tokens.windows, outputs, strict=True)
    ]
    begins = 0  # the place in the text from which on the next window is read
    for number, (window, values, is_text) in enumerate(windows):
        ends = np.iinfo(np.int32).max
        if number + 1 < len(windows):
            following, _, following_is_text = windows[number + 1]
            ends = _middle(window.spans[is_text], following.spans[following_is_text])
        kept = is_text & (window.spans[:, 0] >= begins) & (window.spans[:, 0] < ends)
        spans.append(window.spans[kept])
        words.append(window.words[kept])
        scores.append(values[kept])
        begins = ends
    return np.concatenate(spans), np.concatenate(words), np.concatenate(scores)


def _middle(spans: NDArray[np.int32], following: NDArray[np.int32]) -> int:
    """Where the overlap of two windows is divided."""
    shared = spans[spans[:, 0] >= following[0, 0]]
    return int(shared[len(shared) // 2, 0]) if len(shared) else int(following[0, 0])


class EntityPatterns:
    """Regular expressions with a label each, for what has a form: numbers of cards, addresses of mail."""

    def __init__(self, patterns: Sequence[tuple[str, str]]) -> None:
        """`patterns` are pairs of label and expression. Raises BadTaskConfig."""
        self._patterns = [
            (label, compiled(pattern, f"patterns[{number}]"))
            for number, (label, pattern) in enumerate(patterns)
        ]

    def find(self, texts: Sequence[str]) -> list[list[Entity]]:
        """What the expressions match in each text, in order; of matches that overlap, the first and longest.

        Raises PatternTimedOut if all the texts together take too long.
        """
        ends_at = time.monotonic() + _PATTERN_LIMIT_S
        return [self._find(text, ends_at) for text in texts]

    def _find(self, text: str, ends_at: float) -> list[Entity]:
        matches = self._matches(text, ends_at)
        found: list[Entity] = []
        for label, (start, end) in sorted(matches, key=lambda match: (match[1][0], -match[1][1])):
            if start < end and start >= (found[-1].end if found else 0):
                found.append(Entity(label, text[start:end], start, end, 1.0))
        return found

    def _matches(self, text: str, ends_at: float) -> list[tuple[str, tuple[int, int]]]:
        characters = Characters(text)
        matches = []
        for label, pattern in self._patterns:
            try:
                for match in pattern.finditer(text, timeout=_left(ends_at), concurrent=True):
                    _left(ends_at)  # many short matches take their time, too
                    matches.append((label, characters.span(*match.span())))
            except TimeoutError:
                raise PatternTimedOut(
                    f"The expressions of the version took longer than {_PATTERN_LIMIT_S:g} s on the texts of this request,"
                    f" at {label!r}. Send fewer or shorter texts."
                ) from None
        return matches


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def merged(first: Sequence[Entity], second: Sequence[Entity]) -> list[Entity]:
    """Both in order; where two overlap, the one of `first`. Each list is in order, and its entities are apart."""
    starts = [entity.start for entity in first]

    def overlaps(entity: Entity) -> bool:
        at = bisect_right(starts, entity.end - 1)  # the last one that starts before it ends
        return at > 0 and first[at - 1].end > entity.start

    kept = [entity for entity in second if not overlaps(entity)]
    return sorted([*first, *kept], key=lambda entity: entity.start)


@dataclass(frozen=True, slots=True)
class TextEntities:
    """A text's entities in order, what their places count, and how many of its tokens the model read."""

    entities: Sequence[Entity]
    offset_unit: OffsetUnit
    tokens_given: int
    tokens_used: int


@dataclass(frozen=True, slots=True)
class EntitiesAsked:
    texts: Sequence[str]
    tokens: Sequence[TokenizedText]
    unit: OffsetUnit
    grouping: Grouping


class Entities(ItemPipeline[EntitiesAsked]):
    task = "entities"
    title = "names, numbers and the like in texts"
    kept_files = TOKENIZER_FILES
    golden = SPAN_ROWS
    one, several, options = "text", "texts", {"offset_unit": str, "grouping": str}
    most_items = MAX_TEXTS

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        said = _EntityFields(config)
        self.token_rows = self._texts = TokenRows(said.texts, files, signature)
        self._output = find_scores(signature, len(said.labels), rank=3, name=said.output).name
        self._readers = {
            grouping: EntityReader(said.labels, grouping=grouping, ignored=said.ignored)
            for grouping in Grouping
        }
        self.grouping, self.ignored = said.grouping, said.ignored
        self.found_labels = entity_types(said.labels, said.ignored, [label for label, _ in said.patterns])
        self._patterns = EntityPatterns(said.patterns)
        self.is_slow_to_decode = bool(said.patterns)
        self._said = said
        self.labels, self.model_outputs = said.labels, (self._output,)
        super().__init__(config, files, signature)

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        said = _EntityFields(config)
        said.texts.check_files(files)

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        return prefilled(beside.files)

    @classmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        return Signature(
            (TensorSpec("text", "BYTES", (None,)),),
            (
                TensorSpec("entities", "BYTES", (None,)),
                TensorSpec("tokens_given", "INT32", (None,)),
                TensorSpec("tokens_used", "INT32", (None,)),
            ),
            json_outputs=frozenset({"entities"}),
        )

    @property
    def _hashed(self) -> Sequence[Any]:
        said = self._said
        return [
            self._texts.hashed,
            said.labels,
            self._output,
            said.grouping,
            sorted(said.ignored),
            said.patterns,
        ]

    @classmethod
    def example_of(
        cls, config: Config, files: Files, signature: Signature, sample: Sample = EMPTY_SAMPLE
    ) -> dict[str, Any]:
        return {"text": "Ada Lovelace met Charles Babbage in London."}

    def samples(self) -> dict[str, Any]:
        return {"texts": SAMPLE_TEXTS}

    def encode(self, body: Mapping[str, Any]) -> Encoded[EntitiesAsked]:
        texts = item_list(body, "text", "texts", most=MAX_TEXTS)
        unit = _choice(body, "offset_unit", OffsetUnit.CODEPOINT)
        grouping = _choice(body, "grouping", self.grouping)
        read = self._texts.read(texts)
        tokens = [one for one in read.tokens if one is not None]
        return Encoded(read.groups, EntitiesAsked(texts, tokens, unit, grouping))

    def prepare(self, tensors: Tensors) -> Tensors:
        return self._texts.prepare(tensors)

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[EntitiesAsked]) -> list[TextEntities]:
        scores = iter(read_output(rows, self._output, len(self.labels), rank=2))
        matched = self._patterns.find(encoded.context.texts)
        reader = self._readers[encoded.context.grouping]
        answers = []
        for text, tokens, matches in zip(encoded.context.texts, encoded.context.tokens, matched, strict=True):
            windows = list(islice(scores, len(tokens.windows)))
            _check_windows(tokens, windows)
            found = merged(matches, reader.read(text, tokens, windows))
            entities = in_offset_unit(text, found, encoded.context.unit)
            answers.append(TextEntities(entities, encoded.context.unit, tokens.given, tokens.used))
        return answers

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        return {"texts": tensors["text"].tolist()}

    def tensors_of(self, answers: Sequence[TextEntities]) -> Tensors:
        return {
            "entities": np.array([orjson.dumps(answer.entities).decode() for answer in answers], object),
            "tokens_given": np.array([answer.tokens_given for answer in answers], np.int32),
            "tokens_used": np.array([answer.tokens_used for answer in answers], np.int32),
        }


def _choice(body: Mapping[str, Any], name: str, default: Choice) -> Choice:
    """An option of a request."""
    try:
        return type(default)(body.get(name, default))
    except ValueError:
        raise InvalidItem(f"`{name}` must be one of {', '.join(type(default))}.", field=name) from None


def _check_windows(tokens: TokenizedText, outputs: Sequence[Array]) -> None:
    """Raise UnusableOutput if the outputs do not have finite scores for each token."""
    for window, output in zip(tokens.windows, outputs, strict=True):
        if len(output) < len(window.ids):
            raise UnusableOutput(
                f"The model gives scores of {len(output):,} tokens for a row of {len(window.ids):,}."
            )
        if not is_finite(output):
            raise UnusableOutput


class _EntityFields:
    """What a task configuration says about entities."""

    def __init__(self, config: Config) -> None:
        fields = Fields(config)
        self.labels = read_labels(fields, most=_MAX_LABELS)
        self.output = fields.text("output")
        self.grouping = Grouping(fields.choice("grouping", list(Grouping), Grouping.SIMPLE))
        self.ignored = fields.texts("ignored", most=_MAX_LABELS, longest=LONGEST_LABEL) or [OUTSIDE]
        self.patterns = fields.pairs("patterns", most=_MAX_PATTERNS)
        for number, (_, pattern) in enumerate(self.patterns):
            check_pattern(pattern, f"patterns[{number}]")
        self.texts = TextFields(fields, may_use_windows=True)
        fields.end()


def in_offset_unit(text: str, entities: Sequence[Entity], unit: OffsetUnit) -> list[Entity]:
    places = in_unit(text, [place for entity in entities for place in (entity.start, entity.end)], unit)
    return [
        replace(entity, start=places[2 * number], end=places[2 * number + 1])
        for number, entity in enumerate(entities)
    ]
