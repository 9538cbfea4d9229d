"""Adds examples and golden sets, and records how versions did on them."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from registry.access.policies import Right
from registry.catalogue import artifacts
from registry.catalogue.models import Model, Version
from registry.catalogue.route_changes import lock_model
from registry.catalogue.task_kinds import TASK_KINDS
from registry.catalogue.transitions import Status
from registry.catalogue.validation import checked_reason
from registry.errors import Conflict, Invalid, StaleState
from registry.intake.checklist.services import storable_facts
from registry.intake.examples.golden_results import checked_floor, checked_margin, judge
from registry.intake.examples.models import (
    MAX_WRONG,
    ConformanceExample,
    GoldenResult,
    GoldenSet,
    Metric,
)
from registry.intake.examples.rows import (
    MAX_EXAMPLE_BYTES,
    MAX_EXAMPLES,
    Example,
    NamedLine,
    checked_examples,
    checked_lines,
    size_of,
)
from registry.intake.examples.selectors import champion_of
from registry.kit.actors import Actor
from registry.record.audit import record_change

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BEFORE_READY = {Status.UPLOADED, Status.CHECKING}


@transaction.atomic
def add_examples(
    *, version: Version, examples: Iterable[Mapping[str, Any]], by: Actor
) -> list[ConformanceExample]:
    """Add inputs with their expected outputs to a version that has not passed a check yet."""
    by.check(Right.WRITE, model_id=version.model_id)
    new = checked_examples(examples)
    lock_model(version.model)
    status = Version.objects.values_list("status", flat=True).get(pk=version.pk)
    if status not in _BEFORE_READY:
        raise Conflict(f"{version} is {status}; examples can only be added before a version is checked.")
    present = list(version.conformance_examples.all())
    _check_limits([*present, *new])
    last = max((example.position for example in present), default=0)
    rows = [
        ConformanceExample(
            version=version, position=position, inputs=example.inputs, expected=example.expected,
            atol=example.atol, rtol=example.rtol,
        )
        for position, example in enumerate(new, start=last + 1)
    ]  # fmt: skip
    added = ConformanceExample.objects.bulk_create(rows)
    record_change(
        action="add_examples",
        subject=version,
        before={"examples": len(present)},
        after={"examples": len(present) + len(added)},
        by=by,
    )
    return added


def put_golden_set(
    *,
    model: Model,
    lines: Iterable[bytes | NamedLine],
    metric: str,
    floor: float | None,
    margin: float | None,
    reason: str,
    version: Version | None = None,
    by: Actor,
) -> GoldenSet:
    """Make these rows, as `rows_in` reads them from a file, the Model's golden set from now on.

    It judges versions whose pre-processing is that of `version`; without one, that of the live version, or else of the
    newest that is ready. If none of these has a hash, the live version decides when one is measured, or else the first
    one that passes.

    The file is read, checked and stored before the transaction starts, so that this does not block other writers.
    """
    by.check(Right.WRITE, model_id=model.pk)
    why = checked_reason(reason)
    if metric not in Metric.values:
        raise Invalid(f"{metric!r} is not a metric; use one of {', '.join(Metric.values)}.")
    kind = Metric(metric)
    task = TASK_KINDS[model.task]
    if kind not in task.metrics:
        raise Invalid(
            f"{metric} does not fit the task of {model.slug}, {model.task}; use {' or '.join(task.metrics)}."
        )
    preprocessing = _preprocessing_for(model, version)
    thresholds = {"floor": checked_floor(floor, kind), "margin": checked_margin(margin)}
    rows = 0

    def counted() -> Iterable[bytes]:
        nonlocal rows
        for line in checked_lines(lines, kind, task.check_row, has_pictures=task.has_pictures):
            rows += 1
            yield line

    file = artifacts.store(counted())
    with transaction.atomic():
        present = lock_model(model)
        old = present.golden_sets.filter(is_current=True).first()
        last = present.golden_sets.aggregate(last=Max("revision"))["last"] or 0
        if old is not None and not GoldenSet.objects.filter(pk=old.pk, is_current=True).update(
            is_current=False
        ):
            raise StaleState(
                f"The golden set of {model.slug} was replaced at the same moment; reload and try again."
            )
        new = GoldenSet.objects.create(
            model=present, revision=last + 1, rows=rows, metric=kind, sha256=file.sha256,
            preprocessing=preprocessing, reason=why, made_by=by.name[:200], **thresholds,
        )  # fmt: skip
        before = _audit_fields(old) if old is not None else None
        record_change(
            action="put_golden_set", subject=new, before=before, after=_audit_fields(new), reason=why, by=by
        )
    return new


def _preprocessing_for(model: Model, version: Version | None) -> str:
    """The hash of the versions that a new set judges."""
    if version is None:
        newest = model.versions.filter(status=Status.READY).order_by("-number").first()
        chosen = champion_of(model) or newest
        return chosen.preprocessing if chosen is not None else ""
    if version.model_id != model.pk:
        raise Invalid(f"{version} is not a version of {model.slug}.")
    if version.status != Status.READY:
        raise Conflict(
            f"{version} is {version.status}; only the check of a ready version knows its pre-processing."
        )
    return version.preprocessing


@transaction.atomic
def record_golden_result(
    *,
    version: Version,
    golden_set: GoldenSet,
    value: float,
    rows: int,
    wrong: Sequence[Mapping[str, Any]],
    answers_sha256: str | None = None,
    preprocessing: str = "",
    by: Actor,
) -> GoldenResult:
    """Store a version's result, replacing an earlier one. `wrong` holds {row, expected, got}, and the text if there is one.

    `preprocessing` is the version's hash: a set that has none yet may get it.
    """
    by.check(Right.WRITE, model_id=version.model_id)
    if golden_set.model_id != version.model_id:
        raise Invalid(f"{golden_set} belongs to a different Model from {version}.")
    if storable_facts(float(value)) != value:
        raise Invalid(f"{value} is not a valid metric value.")
    if answers_sha256 is not None and not _SHA256.fullmatch(answers_sha256):
        raise Invalid("The SHA-256 of the answers is not valid.")
    lock_model(version.model)
    before = GoldenResult.objects.filter(version=version, golden_set=golden_set).first()
    result, _ = GoldenResult.objects.update_or_create(
        version=version,
        golden_set=golden_set,
        defaults={
            "value": value,
            "rows": rows,
            "wrong": [_storable_answer(answer) for answer in wrong[:MAX_WRONG]],
            "answers_sha256": answers_sha256,
            "created_at": timezone.now(),
        },
    )
    adopted = _adopt_preprocessing(result, preprocessing)
    record_change(
        action="record_golden_result",
        subject=version,
        before={"value": before.value} if before is not None else None,
        after={
            "golden_set": golden_set.revision,
            "metric": golden_set.metric,
            "value": value,
            "rows": rows,
            "wrong": len(wrong),
            **({"preprocessing": adopted} if adopted else {}),
        },
        by=by,
    )
    return result


def _adopt_preprocessing(result: GoldenResult, preprocessing: str) -> str:
    """Give a set that has no hash the live version's; without a live version, the hash of one that passes.

    A version that fails may have its labels swapped: its hash would lock out the right one. Returns the hash, or nothing.
    """
    version, golden_set = result.version, result.golden_set
    champion = champion_of(version.model)
    if champion is not None and champion.pk != version.pk:
        decisive = champion.preprocessing
    elif (
        champion is not None
        or judge(
            version=version.number, golden_set=golden_set, result=result, champion=None, champion_result=None
        ).passes
    ):
        decisive = preprocessing
    else:
        decisive = ""
    has_none = GoldenSet.objects.filter(pk=golden_set.pk, preprocessing="")
    return decisive if decisive and has_none.update(preprocessing=decisive) else ""


def _storable_answer(wrong: Mapping[str, Any]) -> dict[str, Any]:
    names = ("text", "expected", "got") if "text" in wrong else ("expected", "got")
    return {"row": int(wrong["row"]), **{name: storable_facts(wrong.get(name)) for name in names}}


def _check_limits(examples: Collection[ConformanceExample | Example]) -> None:
    if len(examples) > MAX_EXAMPLES:
        raise Invalid(
            f"A version may have at most {MAX_EXAMPLES} examples; with these it would have {len(examples)}."
        )
    size = sum(size_of(example.inputs, example.expected) for example in examples)
    if size > MAX_EXAMPLE_BYTES:
        raise Invalid(
            f"The examples of a version may have at most {MAX_EXAMPLE_BYTES:,} bytes; these have {size:,}."
        )


def _audit_fields(golden_set: GoldenSet) -> dict[str, Any]:
    return {
        name: getattr(golden_set, name)
        for name in ("revision", "rows", "metric", "floor", "margin", "sha256")
    } | ({"preprocessing": golden_set.preprocessing} if golden_set.preprocessing else {})
