"""Verdicts as labelled data: a JSON line for each content that people judged, the newest verdict first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from moderation.cases.models import CaseItem, Guideline
from moderation.deciding.findings import Findings
from moderation.policies.models import Policy
from moderation.policies.rules import Ruling
from moderation.quality.judged_contents import SAMPLE_SOURCES, ReceivedPeriod, items_with_verdicts, of_tenant
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.record.audit import AuditSubject, record_change

MEDIA_TYPE = "application/x-ndjson"
_AT_ONCE = 500
_COLUMNS = (
    "decision_id", "case__verdicts__ruling", "case__verdicts__codes", "case__verdicts__made_at", "case__source",
    "decision__policy__name", "decision__revision__number", "decision__content_id", "decision__context",
    "decision__language", "decision__ruling", "decision__codes", "decision__received_at", "decision__audit_weight",
    "decision__findings", "is_restricted", "is_sampled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class VerdictExport:
    """What is exported: contents by when they were received; of one policy, if one is named."""

    period: ReceivedPeriod
    policy: Policy | None = None
    has_contents: bool = False


def verdict_lines(*, export: VerdictExport, by: Actor) -> Iterator[bytes]:
    """Lines as they are read, however many there are. Exporting contents is recorded.

    Restricted contents, and those whose texts are not stored, are left out of an export with contents.
    """
    by.check(ModerationRight.READ_QUALITY)
    if export.has_contents:
        by.check(ModerationRight.READ_DECISIONS)
        _record(export, by)
    return _lines(export, by.tenant_id)


@transaction.atomic
def _record(export: VerdictExport, by: Actor) -> None:
    record_change(
        action="export_verdicts",
        subject=AuditSubject("verdict", "", "contents that people judged"),
        before=None,
        after={
            "since": export.period.since.isoformat(),
            "until": export.period.until.isoformat(),
            "policy": export.policy.name if export.policy is not None else "",
        },
        by=by,
    )


def _lines(export: VerdictExport, tenant_id: int | None) -> Iterator[bytes]:
    restricted = set(Guideline.objects.filter(is_restricted=True).values_list("code", flat=True))
    columns = (
        (*_COLUMNS, "decision__content__text", "decision__content__title")
        if export.has_contents
        else _COLUMNS
    )
    seen = set[UUID]()
    for values in _items(export, tenant_id).values_list(*columns).iterator(chunk_size=_AT_ONCE):
        row = dict(zip(columns, values, strict=True))
        if row["decision_id"] in seen:  # an earlier verdict about it
            continue
        seen.add(row["decision_id"])
        codes = (*row["case__verdicts__codes"], *row["decision__codes"])
        if export.has_contents and (row["is_restricted"] or restricted.intersection(codes)):
            continue
        yield orjson.dumps(_line(row, has_contents=export.has_contents)) + b"\n"


def _items(export: VerdictExport, tenant_id: int | None) -> QuerySet[CaseItem]:
    of_decision = CaseItem.objects.filter(decision=OuterRef("decision"))
    sampled = items_with_verdicts().filter(decision=OuterRef("decision"), case__source__in=SAMPLE_SOURCES)
    items = items_with_verdicts().filter(
        of_tenant(tenant_id, "decision__tenant"),
        decision__received_at__gte=export.period.since,
        decision__received_at__lt=export.period.until,
    )
    if export.policy is not None:
        items = items.filter(decision__policy=export.policy)
    if export.has_contents:
        empty = Q(decision__content__text="", decision__content__title="")
        items = items.filter(decision__content__isnull=False).exclude(empty)
    return items.annotate(
        is_restricted=Exists(of_decision.filter(case__is_restricted=True)), is_sampled=Exists(sampled)
    ).order_by("-case__verdicts__pk", "-pk")


def _line(row: dict[str, Any], *, has_contents: bool) -> dict[str, Any]:
    line = {
        "request_id": row["decision_id"].hex,
        "content_id": row["decision__content_id"] or None,
        "received_at": row["decision__received_at"],
        "context": row["decision__context"] or None,
        "language": row["decision__language"] or None,
        "policy": row["decision__policy__name"],
        "policy_revision": row["decision__revision__number"],
        "decision": row["decision__ruling"],
        "verdict": row["case__verdicts__ruling"],
        "violations": row["case__verdicts__codes"],
        "judged_at": row["case__verdicts__made_at"],
        "source": row["case__source"],
        "weight": _weight(row),
        "detectors": _scores(row["decision__findings"]),
    }
    if has_contents:
        line |= {"text": row["decision__content__text"], "title": row["decision__content__title"] or None}
    return line


def _weight(row: dict[str, Any]) -> float | None:
    """None for contents that people only saw because somebody complained."""
    is_sample = row["is_sampled"] or row["decision__ruling"] == Ruling.REVIEW
    return (row["decision__audit_weight"] or 1.0) if is_sample else None


def _scores(findings: bytes) -> dict[str, Any]:
    """The highest score of each label, by detector."""
    scores: dict[str, Any] = {}
    for name, answer in Findings.from_bytes(findings).detectors.items():
        labels: dict[str, float] = {}
        for _part, label, score, _place in answer.found:
            labels[label] = max(score, labels.get(label, 0.0))
        scores[name] = {"version": answer.version, "scores": labels}
    return scores
