"""Rows of golden sets: what a task's rows look like, and what of an answer is compared with a row's label."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from inference.pipelines.errors import InvalidItem

MAX_SPANS, MAX_LABEL = 10_000, 200
_ALL_LABELS = {"top_k": 10_000}  # a version has no more


class Compared(NamedTuple):
    """What a metric compares: `expected` makes of a row's label what `got` makes of an answer.

    `options` are those of a request whose answer has all that the metric needs.
    """

    expected: Callable[[Any], Any] = lambda label: label
    got: Callable[[Any], Any] = lambda answer: answer.label
    options: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class GoldenRows:
    """A task's golden rows. `check` raises InvalidItem for inputs and a label that are not of the task."""

    metrics: Mapping[str, Compared]
    example: str
    check: Callable[[Mapping[str, Any], Any], None] | None = None  # None: inputs are the model's own tensors
    shown: Callable[[Mapping[str, Any]], str] = lambda inputs: ""  # what people see of a row's inputs
    has_pictures: bool = False  # whether each row is a picture, in base64 as `image`


class Gains(NamedTuple):
    """How good each item or candidate is for a user; those that are left out are no good."""

    by_key: Mapping[Hashable, float]
    noun: str = ""  # before the keys, for people

    @property
    def in_words(self) -> str:
        good = sorted(((key, gain) for key, gain in self.by_key.items() if gain > 0), key=lambda one: -one[1])
        are_alike = len({gain for _, gain in good}) <= 1
        return _listed(self.noun, [f"{key}" if are_alike else f"{key} ({gain:g})" for key, gain in good])


class GoldenRanking(NamedTuple):
    """What was ranked, best first, and its scores."""

    keys: Sequence[Hashable]
    scores: Sequence[float]
    noun: str = ""

    @property
    def in_words(self) -> str:
        return _listed(self.noun, list(map(str, self.keys)))


class RightClasses(NamedTuple):
    """Which class is right for the row, or for each of its candidates."""

    classes: Sequence[Hashable]
    in_words: str


class ClassScores(NamedTuple):
    """The score of each class for the row, or for each of its candidates."""

    scores: Sequence[Mapping[Any, float]]
    in_words: str


_LISTED = 10


def _listed(noun: str, words: Sequence[str]) -> str:
    if not words:
        return "nothing"
    more = f" and {len(words) - _LISTED:,} more" if len(words) > _LISTED else ""
    return f"{noun} {', '.join(words[:_LISTED])}{more}".strip()


def _right_label(label: str) -> RightClasses:
    return RightClasses([label], label)


def _label_scores(answer: Any) -> ClassScores:
    best = [f"{one.label} {one.score:.3g}" for one in answer.labels[:_LISTED]]
    return ClassScores([{one.label: one.score for one in answer.labels}], ", ".join(best))


_SCORES = Compared(_right_label, _label_scores, _ALL_LABELS)
LABEL_METRICS = {"accuracy": Compared(), "f1": Compared(), "auc": _SCORES, "log_loss": _SCORES}


class GoldenSpan(NamedTuple):
    """An entity of a text; places count code points."""

    label: str
    start: int
    end: int


def check_label_row(inputs: Mapping[str, Any], label: Any) -> None:
    """A text with the name of its label."""
    check_text_of(inputs)
    check_label(label)


def check_span_row(inputs: Mapping[str, Any], label: Any) -> None:
    """A text with the list of its entities."""
    text = check_text_of(inputs)
    if not isinstance(label, list) or len(label) > MAX_SPANS:
        raise InvalidItem(
            f"`label` must be a list of at most {MAX_SPANS:,} entities; an empty list means none."
        )
    seen = set()
    for number, entity in enumerate(label):
        span = _checked_span(entity, f"label[{number}]", len(text))
        if span in seen:
            raise InvalidItem(f"`label[{number}]` is there twice.")
        seen.add(span)


def check_text_of(inputs: Mapping[str, Any]) -> str:
    if set(inputs) != {"text"} or not isinstance(inputs["text"], str):
        raise InvalidItem('`inputs` must be an object with a text, as in {"text": "…"}.')
    return inputs["text"]


def check_label(label: Any, where: str = "label") -> None:
    if not isinstance(label, str) or not 0 < len(label) <= MAX_LABEL:
        raise InvalidItem(
            f"`{where}` must be the name of a label, a string of at most {MAX_LABEL} characters."
        )


def _checked_span(entity: Any, where: str, length: int) -> GoldenSpan:
    if not isinstance(entity, dict) or set(entity) != set(GoldenSpan._fields):
        raise InvalidItem(f'`{where}` must be an object like {{"label": "PER", "start": 0, "end": 12}}.')
    label, start, end = _span(entity)
    check_label(label, f"{where}.label")
    for name, place in (("start", start), ("end", end)):
        if type(place) is not int:
            raise InvalidItem(f"`{where}.{name}` must be a whole number.")
    if not 0 <= start < end <= length:
        raise InvalidItem(
            f"`{where}` goes from {start:,} to {end:,}, which is not a piece of the text; it has {length:,} characters"
            " (code points)."
        )
    return GoldenSpan(label, start, end)


def _span(entity: Mapping[str, Any]) -> GoldenSpan:
    return GoldenSpan(*(entity[name] for name in GoldenSpan._fields))


def ordered_spans(spans: Iterable[GoldenSpan]) -> list[GoldenSpan]:
    return sorted(spans, key=lambda span: (span.start, span.end, span.label))


def _text_of(inputs: Mapping[str, Any]) -> str:
    return str(inputs["text"])


TENSOR_ROWS = GoldenRows(
    dict.fromkeys(("accuracy", "f1", "error"), Compared()), '{"inputs": {"x": [1, 2]}, "label": "cat"}'
)
LABEL_ROWS = GoldenRows(
    LABEL_METRICS,
    '{"inputs": {"text": "Lovely!"}, "label": "positive"}',
    check_label_row,
    _text_of,
)
SPAN_ROWS = GoldenRows(
    {
        "span_f1": Compared(
            lambda label: ordered_spans(map(_span, label)),
            lambda answer: ordered_spans(
                GoldenSpan(one.label, one.start, one.end) for one in answer.entities
            ),
        )
    },
    '{"inputs": {"text": "Ada met Bob."}, "label": [{"label": "PER", "start": 0, "end": 3}, …]}',
    check_span_row,
    _text_of,
)
