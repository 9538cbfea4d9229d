"""Rows of golden sets whose inputs are items: which labels they have, and what an answer is compared as."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from inference.pipelines.entities import Entities, TextEntities
from inference.pipelines.plain import PlainClassification, PlainTensors
from inference.pipelines.text_classification import TextClassification
from registry.errors import Invalid
from registry.intake.examples.models import Metric

MAX_SPANS, MAX_LABEL = 10_000, 200

METRICS: Mapping[str, Sequence[Metric]] = {
    PlainTensors.task: (Metric.ACCURACY, Metric.F1, Metric.ERROR),
    PlainClassification.task: (Metric.ACCURACY, Metric.F1, Metric.ERROR),
    TextClassification.task: (Metric.ACCURACY, Metric.F1),
    Entities.task: (Metric.SPAN_F1,),
}


TENSOR_ROW = '{"inputs": {"x": [1, 2]}, "label": "cat"}'
ROW_EXAMPLES: Mapping[str, str] = {
    TextClassification.task: '{"inputs": {"text": "Lovely!"}, "label": "positive"}',
    Entities.task: '{"inputs": {"text": "Ada met Bob."}, "label": [{"label": "PER", "start": 0, "end": 3}, …]}',
}


class GoldenSpan(NamedTuple):
    """An entity of a text; places count code points."""

    label: str
    start: int
    end: int


def check_text_row(inputs: Mapping[str, Any], label: Any) -> None:
    """Raise Invalid if this is not a text with the name of its label."""
    _check_text(inputs)
    if not isinstance(label, str) or not 0 < len(label) <= MAX_LABEL:
        raise Invalid(f"`label` must be the name of a label, a string of at most {MAX_LABEL} characters.")


def check_entities_row(inputs: Mapping[str, Any], label: Any) -> None:
    """Raise Invalid if this is not a text with the list of its entities."""
    text = _check_text(inputs)
    if not isinstance(label, list) or len(label) > MAX_SPANS:
        raise Invalid(f"`label` must be a list of at most {MAX_SPANS:,} entities; an empty list means none.")
    seen = set()
    for number, entity in enumerate(label):
        span = _checked_span(entity, f"label[{number}]", len(text))
        if span in seen:
            raise Invalid(f"`label[{number}]` is there twice.")
        seen.add(span)


ROW_CHECKS: Mapping[str, Callable[[Mapping[str, Any], Any], None]] = {
    TextClassification.task: check_text_row,
    Entities.task: check_entities_row,
}


def golden_label(label: Any) -> Any:
    """The label of a row as `label_of_answer` gives it."""
    return _ordered(map(_span, label)) if isinstance(label, list) else label


def label_of_answer(answer: Any) -> Any:
    """What of an answer is compared with a row's label: the label's name, or the entities."""
    if isinstance(answer, TextEntities):
        return _ordered(GoldenSpan(entity.label, entity.start, entity.end) for entity in answer.entities)
    return answer.label


def text_of(inputs: Mapping[str, Any]) -> str:
    text = inputs.get("text")
    return text if isinstance(text, str) else ""


def _check_text(inputs: Mapping[str, Any]) -> str:
    if set(inputs) != {"text"} or not isinstance(inputs["text"], str):
        raise Invalid('`inputs` must be an object with a text, as in {"text": "…"}.')
    return inputs["text"]


def _checked_span(entity: Any, where: str, length: int) -> GoldenSpan:
    if not isinstance(entity, dict) or set(entity) != set(GoldenSpan._fields):
        raise Invalid(f'`{where}` must be an object like {{"label": "PER", "start": 0, "end": 12}}.')
    label, start, end = _span(entity)
    if not isinstance(label, str) or not 0 < len(label) <= MAX_LABEL:
        raise Invalid(f"`{where}.label` must be a string of at most {MAX_LABEL} characters.")
    for name, place in (("start", start), ("end", end)):
        if type(place) is not int:
            raise Invalid(f"`{where}.{name}` must be a whole number.")
    if not 0 <= start < end <= length:
        raise Invalid(
            f"`{where}` goes from {start:,} to {end:,}, which is not a piece of the text; it has {length:,} characters"
            " (code points)."
        )
    return GoldenSpan(label, start, end)


def _ordered(spans: Iterable[GoldenSpan]) -> list[GoldenSpan]:
    return sorted(spans, key=lambda span: (span.start, span.end, span.label))


def _span(entity: Mapping[str, Any]) -> GoldenSpan:
    return GoldenSpan(*(entity[name] for name in GoldenSpan._fields))
