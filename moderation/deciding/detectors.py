"""Asking detectors: Models whose answers name labels, entities or boxes. Runs on the event loop."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import structlog

from inference.doors.entry import admit, run_on_loop_or_thread
from inference.doors.request_counts import code_of, counted
from inference.engine.combiner import Priority
from inference.engine.errors import RunFailed
from inference.errors import TooManyRequests
from inference.jobs.running.predictor import RETRYABLE
from inference.pipelines.errors import InvalidItem, TextTooLong, UnusableOutput
from inference.pipelines.labels import MAX_LABELS
from inference.pipelines.pipeline import ItemPipeline, Pipeline
from inference.serving import services
from inference.serving.calls import Call, Items, ModelRequest, Prediction
from inference.tensors.errors import InferenceError, InvalidInput
from moderation.deciding.findings import Failure
from moderation.deciding.judgements import MOST_LABELS
from moderation.errors import NotADetector
from moderation.policies.rules import READS_OF_TASK, Part, split_detector
from registry.access.key_ring import Principal
from registry.errors import Invalid, RoundhouseError

log = structlog.get_logger("roundhouse.moderation")

MAX_FOUND = 2_000  # in a part
_LEAST_SCORE = 0.001  # of labels beyond the first ones
_TEXTS_AT_ONCE, _PICTURES_AT_ONCE = 256, 8  # in one call
_CHARACTERS_AT_ONCE = 200_000
_PIECES, _OVERLAP = 64, 0.1  # of a text that is longer than the model reads
_MARGIN = 0.8  # a piece has about so many of the tokens that the model reads
_OF_THE_ITEM = (Invalid, InvalidInput, UnusableOutput)  # asking again would not help
_PAUSE_S = 0.2
_SPLIT_AFTER = (InvalidInput, UnusableOutput, RunFailed)  # one item may have caused it

# Label, score and place of each thing that was found in an item
ItemFound = list[tuple[str, float, Sequence[float] | None]]


# For what nobody waits for.
OURSELVES = Principal(
    key_id=0,
    name="moderation",
    tenant_id=0,
    tenant="",
    scopes=frozenset(),
    models=None,
    expires_at=None,
)


@dataclass(frozen=True, slots=True)
class Asking:
    """On whose behalf detectors are asked, and until when. Bulk work is not admitted."""

    by: Principal
    ends_at: float  # on the monotonic clock
    priority: Priority = Priority.LIVE
    hold: Callable[[int], None] = lambda nbytes: None
    routing_key: str | None = None
    version: int | None = None  # by its number, to try it; None: as the policy says
    waits: bool = False  # for room, rather than failing at once

    @property
    def left_s(self) -> float:
        return self.ends_at - time.monotonic()


class DetectorFacts(NamedTuple):
    """Which version answered."""

    version: int = 0
    preprocessing: str = ""
    arm: str = ""


@dataclass(slots=True)
class Answers:
    """What a detector said about each item, or why it said nothing."""

    facts: DetectorFacts
    items: list[ItemFound | Failure]

    @classmethod
    def of_failure(cls, failure: Failure, count: int) -> "Answers":
        return cls(DetectorFacts(), [failure] * count)


async def ask(detector: str, items: Sequence[str] | Sequence[bytes], asking: Asking) -> Answers:
    """Ask about texts or pictures. Only TooManyRequests is raised; all else becomes a failure of the items that it is about.

    What one item causes does not fail the others.
    """
    answers: list[Answers] = []
    for part in _parts(items):
        answers.append(await _ask_part(detector, part, asking))
    facts = next((one.facts for one in answers if one.facts.version), DetectorFacts())
    return Answers(facts, [found for one in answers for found in one.items])


def _parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    """Items that go into one call."""
    parts: list[list[Any]] = [[]]
    held = 0
    for item in items:
        size, most = (len(item), _TEXTS_AT_ONCE) if isinstance(item, str) else (0, _PICTURES_AT_ONCE)
        if parts[-1] and (len(parts[-1]) >= most or held + size > _CHARACTERS_AT_ONCE):
            parts.append([])
            held = 0
        parts[-1].append(item)
        held += size
    return [part for part in parts if part]


async def _ask_part(detector: str, items: Sequence[Any], asking: Asking) -> Answers:
    try:
        prediction = await _predict_patiently(detector, items, asking)
        found, cut = _read(prediction)
        if len(found) != len(items):
            raise UnusableOutput(f"{detector} answered about {len(found)} of {len(items)} items.")
        answers = Answers(_facts(prediction), found)
        for number, share in cut.items():
            answers.items[number] = await _ask_pieces(detector, items[number], share, asking)
        return answers
    except TooManyRequests:
        raise
    except _SPLIT_AFTER as error:
        if len(items) == 1:
            return Answers.of_failure(failure_of(error), 1)
        place = error.place if isinstance(error, InvalidItem) else None
        return await _ask_around(detector, items, place, error, asking)
    except Exception as error:  # noqa: BLE001 (whatever it is, a person decides)
        return Answers.of_failure(failure_of(error), len(items))


async def _ask_around(
    detector: str, items: Sequence[Any], place: int | None, error: Exception, asking: Asking
) -> Answers:
    """Ask again without the item that the error is about; in halves if it names none."""
    middle = place if place is not None else len(items) // 2
    before = await ask(detector, items[:middle], asking) if middle else Answers(DetectorFacts(), [])
    skipped = 0 if place is None else 1
    failed: list[ItemFound | Failure] = [failure_of(error)] * skipped
    rest = items[middle + skipped :]
    after = await ask(detector, rest, asking) if rest else Answers(DetectorFacts(), [])
    facts = before.facts if before.facts.version else after.facts
    return Answers(facts, [*before.items, *failed, *after.items])


async def _ask_pieces(detector: str, text: str, share: float, asking: Asking) -> ItemFound | Failure:
    """Read a text that is longer than the model reads in overlapping pieces. `share`: how much of it the model has read."""
    spans = _pieces(text, max(1, int(len(text) * share * _MARGIN)))
    if len(spans) > _PIECES:
        return failure_of(
            TextTooLong(f"It is more than {_PIECES} times as long as {detector} reads at once.")
        )
    answers = await ask(detector, [text[start:end] for start, end in spans], asking)
    best: dict[tuple[str, Any], tuple[str, float, Any]] = {}
    for (start, _), found in zip(spans, answers.items, strict=True):
        if isinstance(found, Failure):
            return found
        for label, score, place in found:
            moved = None if place is None else (place[0] + start, place[1] + start)
            known = best.get((label, moved))
            if known is None or score > known[1]:
                best[label, moved] = (label, score, moved)
    return list(best.values())


def _pieces(text: str, length: int) -> list[tuple[int, int]]:
    """Where pieces of about this length begin and end, cut at white space if there is some."""
    spans, start = [], 0
    while start < len(text):
        end = min(len(text), start + length)
        if end < len(text):
            space = max(text.rfind(" ", start + length // 2, end), text.rfind("\n", start + length // 2, end))
            end = space + 1 if space > start else end
        spans.append((start, end))
        if end == len(text):
            break
        start = max(start + 1, end - math.ceil(length * _OVERLAP))
    return spans


async def _predict_patiently(detector: str, items: Sequence[Any], asking: Asking) -> Prediction:
    while True:
        try:
            return await _predict(detector, items, asking)
        except RETRYABLE:
            if not asking.waits or asking.left_s < 2 * _PAUSE_S:
                raise
            await asyncio.sleep(_PAUSE_S)


async def _predict(detector: str, items: Sequence[Any], asking: Asking) -> Prediction:
    model, alias = split_detector(detector)
    request = ModelRequest(asking.by, model, asking.version, alias or None)
    if asking.priority is not Priority.LIVE:
        route, target = services.find(asking.by, model, version=asking.version, alias=alias or None)
        flight = None
    else:
        route, target, flight = await admit(request)
    try:
        if flight is not None:
            flight.begin()
        call = Call(
            request,
            route,
            Items(partial(_body, detector, items)),
            asking.hold,
            target,
            routing_key=asking.routing_key,
            within_s=max(0.001, asking.left_s),
            priority=asking.priority,
        )
        with counted(request):
            return await run_on_loop_or_thread(route, target, partial(services.predict, call))
    finally:
        if flight is not None:
            flight.end()


def _body(detector: str, items: Sequence[Any], pipeline: Pipeline) -> Mapping[str, Any]:
    part, what = (Part.TEXT, "texts") if isinstance(items[0], str) else (Part.IMAGE, "pictures")
    if part not in READS_OF_TASK.get(pipeline.task, ()):
        raise NotADetector(f"The task of {detector} is {pipeline.task}; it does not read {what}.")
    asked = cast("ItemPipeline[Any]", pipeline)
    body: dict[str, Any] = {asked.several: list(items)}
    return {**body, "top_k": MAX_LABELS} if "top_k" in asked.options else body


def _facts(prediction: Prediction) -> DetectorFacts:
    return DetectorFacts(prediction.version, prediction.pipeline.digest, prediction.arm)


def _read(prediction: Prediction) -> tuple[list[ItemFound | Failure], dict[int, float]]:
    """What was found in each item; and of texts that the model did not read to their end, how much it read."""
    found: list[ItemFound | Failure] = []
    cut: dict[int, float] = {}
    for place, answer in enumerate(prediction.answers or ()):
        things = _things(answer)
        if not all(math.isfinite(score) for _, score, _ in things):
            found.append(failure_of(UnusableOutput()))
            continue
        if len(things) > MAX_FOUND:
            detail = f"{len(things):,} things were found in it; at most {MAX_FOUND:,} are decided about."
            found.append(Failure("too_much_found", detail, False))
            continue
        found.append(things)
        given, used = getattr(answer, "tokens_given", None), getattr(answer, "tokens_used", None)
        if given and used is not None and used < given:
            cut[place] = used / given
    return found, cut


def _things(answer: Any) -> ItemFound:
    if hasattr(answer, "entities"):
        return [(one.label, one.score, (one.start, one.end)) for one in answer.entities]
    if hasattr(answer, "objects"):
        return [(one.label, one.confidence, _corners(one.box)) for one in answer.objects]
    labels = answer.labels  # best first
    if len(labels) > MOST_LABELS:
        labels = [*labels[:MOST_LABELS], *(one for one in labels[MOST_LABELS:] if one.score > _LEAST_SCORE)]
    return [(one.label, one.score, None) for one in labels]


def _corners(box: Any) -> tuple[float, float, float, float]:
    return (box.x1, box.y1, box.x2, box.y2)


def failure_of(error: Exception) -> Failure:
    """An error as it is told with a decision. Texts of unexpected errors are for the log only."""
    if isinstance(error, (RoundhouseError, InferenceError)):
        return Failure(error.code, str(error), not isinstance(error, _OF_THE_ITEM))
    log.error("a detector failed", exc_info=error)
    return Failure(code_of(error), "Something went wrong on the server; its log has the error.", True)
