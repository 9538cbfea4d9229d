"""Golden sets from verdicts: contents that people judged, with the labels that a detector should have given them."""

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db.models import Exists, OuterRef, QuerySet

from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.text_classification import TextClassification
from moderation.cases.models import CaseItem, Guideline
from moderation.deciding.models import StoredContent, StoredPicture
from moderation.policies.rules import Part, Ruling, split_detector
from moderation.quality.judged_contents import items_with_verdicts, versions_asked
from moderation.quality.models import VerdictGoldenSet
from moderation.rights import ModerationRight
from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.transitions import Status
from registry.errors import Invalid
from registry.intake.examples.selectors import champion_of
from registry.intake.examples.services import put_golden_set
from registry.kit.actors import Actor
from registry.kit.text import storable

MOST_ROWS = 2_000
USUAL_ROWS = 500
_MOST_READ = 100_000  # verdicts that are looked through, the newest ones
_AT_ONCE = 500
# What a content may consist of, so that the verdict is about what the detector reads.
_PARTS = {TextClassification.task: [Part.TEXT.value], ImageClassification.task: [Part.IMAGE.value]}


class GoldenLabels(NamedTuple):
    """What a detector should say about contents with the violation, and about those without any."""

    violating: str
    other: str


class _Example(NamedTuple):
    decision_id: UUID
    received_at: datetime


@dataclass(slots=True)
class _Examples:
    """Contents without duplicates, the ones with the newest verdicts first."""

    violating: list[_Example] = field(default_factory=list)
    others: list[_Example] = field(default_factory=list)

    def balanced(self) -> tuple[list[_Example], list[_Example]]:
        size = min(len(self.violating), len(self.others))
        return self.violating[:size], self.others[:size]


def can_be_made_for(model: Model) -> bool:
    return model.task in _PARTS


def known_labels(model: Model) -> list[str]:
    """Those of the live version, or else of the newest that is ready."""
    newest = model.versions.filter(status=Status.READY).order_by("-number").first()
    version = champion_of(model) or newest
    return [str(label) for label in version.task_config.get("labels") or []] if version is not None else []


def make_golden_set(
    *,
    model: Model,
    code: str,
    labels: GoldenLabels,
    most: int = USUAL_ROWS,
    metric: str,
    floor: float | None = None,
    margin: float | None = None,
    reason: str,
    by: Actor,
) -> VerdictGoldenSet:
    """Make the newest judged contents the Model's golden set: as many with the violation as without any, at most `most`.

    Only contents that the Model was asked about, that consist of nothing but what it reads, that are still stored, and
    that are not restricted.
    """
    by.check(ModerationRight.READ_QUALITY)
    by.check(ModerationRight.READ_DECISIONS)
    by.check(Right.WRITE, model_id=model.pk)
    _check(model, labels, most)
    violating, others = _examples(model, code, most // 2).balanced()
    if not violating:
        raise Invalid(
            f"There are not enough verdicts about contents that {model.slug} was asked about: a golden set needs at least one"
            f" content with {code}, and one without a violation. Restricted contents, and those that are not stored any"
            " more, do not count."
        )
    moments = [one.received_at for one in (*violating, *others)]
    # The row comes first: contents must not be copied without a trace, even if the process ends in between.
    made = VerdictGoldenSet.objects.create(
        model=model,
        code=code,
        violating_label=labels.violating,
        other_label=labels.other,
        violating=len(violating),
        others=len(others),
        oldest_at=min(moments),
        newest_at=max(moments),
        made_by=storable(by.name, 200),
    )
    try:
        made.golden_set = put_golden_set(
            model=model,
            lines=_lines(model, [(violating, labels.violating), (others, labels.other)]),
            metric=metric,
            floor=floor,
            margin=margin,
            reason=reason,
            by=by,
        )
    except Exception:
        made.delete()
        raise
    made.save(update_fields=["golden_set"])
    return made


def made_from_verdicts() -> QuerySet[VerdictGoldenSet]:
    return VerdictGoldenSet.objects.select_related("model", "golden_set__model")


def codes_to_choose() -> list[tuple[str, int]]:
    """The violations in the newest verdicts about contents, with the number of verdicts; the most frequent first."""
    newest = _items_with_violations().order_by("-case__verdicts__pk", "-pk")[:_MOST_READ]
    counts = Counter(
        code
        for codes in newest.values_list("case__verdicts__codes", flat=True).iterator(chunk_size=_AT_ONCE)
        for code in codes
    )
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def has_violations() -> bool:
    return _items_with_violations().exists()


def _items_with_violations() -> QuerySet[CaseItem]:
    return items_with_verdicts().filter(case__verdicts__ruling=Ruling.BLOCK.value)


def _check(model: Model, labels: GoldenLabels, most: int) -> None:
    if not can_be_made_for(model):
        raise Invalid(
            f"Verdicts can only become a golden set of {' or '.join(_PARTS)}; {model.slug} is for {model.task}."
        )
    if not 2 <= most <= MOST_ROWS:
        raise Invalid(f"A golden set from verdicts has 2 to {MOST_ROWS:,} rows.")
    if labels.violating == labels.other:
        raise Invalid("Contents with the violation and contents without one need different labels.")
    known = known_labels(model)
    for label in labels:
        if known and label not in known:
            raise Invalid(f"{model.slug} has no label {label!r}; it has {', '.join(known[:20])}.")


def _examples(model: Model, code: str, most_of_each: int) -> _Examples:
    examples, seen, digests = _Examples(), set[UUID](), set[bytes]()
    rows = _judged_items(model).values_list(
        "decision_id", "decision__received_at", "decision__digest", "decision__findings", "decision__codes",
        "case__verdicts__ruling", "case__verdicts__codes", "is_restricted",
    )  # fmt: skip
    restricted = set(Guideline.objects.filter(is_restricted=True).values_list("code", flat=True))
    for decision_id, at, digest, findings, said, ruling, codes, is_restricted in rows.iterator(
        chunk_size=_AT_ONCE
    ):
        if decision_id in seen:  # an earlier verdict about it
            continue
        seen.add(decision_id)
        kind = examples.violating if code in codes else examples.others if ruling == Ruling.ALLOW else None
        if kind is None or len(kind) >= most_of_each or bytes(digest) in digests:
            continue
        if is_restricted or restricted.intersection((*said, *codes)) or not _is_about(model, bytes(findings)):
            continue
        digests.add(bytes(digest))
        kind.append(_Example(decision_id, at))
        if len(examples.violating) >= most_of_each <= len(examples.others):
            break
    return examples


def _judged_items(model: Model) -> QuerySet[Any]:
    """The newest verdicts first: the first one about a content is the truth."""
    in_restricted_case = CaseItem.objects.filter(decision=OuterRef("decision"), case__is_restricted=True)
    of_decision = {"decision": OuterRef("decision")}
    if model.task == TextClassification.task:
        stored = Exists(StoredContent.objects.filter(**of_decision).exclude(text=""))
    else:
        stored = Exists(StoredPicture.objects.filter(**of_decision, file__isnull=False))
    items = items_with_verdicts().filter(stored).annotate(is_restricted=Exists(in_restricted_case))
    return items.order_by("-case__verdicts__pk", "-pk")[:_MOST_READ]


def _is_about(model: Model, findings: bytes) -> bool:
    """Whether the Model was asked about the content, and nothing else is in it."""
    if orjson.loads(findings)["parts"] != _PARTS[model.task]:
        return False
    return any(split_detector(name)[0] == model.slug for name in versions_asked(findings))


def _lines(model: Model, labelled: Sequence[tuple[Sequence[_Example], str]]) -> Iterator[bytes]:
    for examples, label in labelled:
        for start in range(0, len(examples), _AT_ONCE):
            batch = [one.decision_id for one in examples[start : start + _AT_ONCE]]
            for inputs in _inputs(model, batch):
                yield orjson.dumps({"inputs": inputs, "label": label})


def _inputs(model: Model, decision_ids: Sequence[UUID]) -> Iterator[dict[str, Any]]:
    if model.task == TextClassification.task:
        texts = StoredContent.objects.filter(decision__in=decision_ids).order_by("-pk")
        yield from ({"text": text} for text in texts.values_list("text", flat=True))
        return
    for decision_id in decision_ids:  # one at a time: each may be 10 MB
        file = (
            StoredPicture.objects.filter(decision=decision_id, file__isnull=False)
            .values_list("file", flat=True)
            .first()
        )
        if file is not None:
            yield {"image": base64.b64encode(bytes(file)).decode()}
