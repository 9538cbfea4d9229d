"""Contents that people judged, with what the machine had said about them: the rows that report cards are made of.

The truth about a content is its latest final verdict. Second reviews are left out: they only open a case for a lead if
they disagree, and that verdict counts.

How a content came to a person decides what it can tell. All that policies send to review are looked at, and a random
share of what they allow: these are samples of known weight. What was blocked at once is only looked at after an appeal,
and what authors or readers complain about is no random choice: that is counted, and estimates nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db.models import Q, QuerySet

from moderation.cases.models import CaseItem, CaseSource
from moderation.deciding.judgements import Evidence
from moderation.policies.models import PolicyRevision
from moderation.policies.rules import RuleEffect, RuleState, Ruling
from moderation.review.models import FinalDecision
from moderation.review.statements import DecisionMaker
from moderation.review.transitions import VerdictStatus

MOST = 50_000  # contents with a verdict, and as many that were blocked at once: the newest ones say enough
_AT_ONCE = 2_000
SAMPLE_SOURCES = (CaseSource.REVIEW, CaseSource.FAILURE, CaseSource.AUDIT)
_STOPS = frozenset({RuleEffect.REVIEW.value, RuleEffect.BLOCK.value})


class Sampling(Enum):
    """How a content came to its verdict."""

    REVIEWED = "reviewed"  # the policy sent it to people
    AUDITED = "audited"  # allowed, and drawn at random
    BLOCKED = "blocked"  # by the machine alone; it has a verdict only after an appeal or a report
    COMPLAINED = "complained"  # allowed, and reported


# A policy's own word: a report changes what the case comes from, but people would have judged the content anyway.
_USUAL_SAMPLING = {
    Ruling.ALLOW: Sampling.COMPLAINED, Ruling.REVIEW: Sampling.REVIEWED, Ruling.BLOCK: Sampling.BLOCKED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReceivedPeriod:
    """By when contents were received, so that what was found and what was missed are of the same time."""

    since: datetime
    until: datetime


class Stop(NamedTuple):
    """Evidence that kept a content from being allowed: of a detector's version, or of a list, which has no detector."""

    detector: str
    version: int | None
    code: str


@dataclass(slots=True)
class JudgedContent:
    """`is_violation` and `violations` are the truth; of contents that were blocked at once and never looked at, what the
    machine said."""

    received_at: datetime
    policy_id: int
    revision_id: int
    language: str
    was_allowed: bool
    sampling: Sampling
    case_id: int  # equal contents of a case got one verdict
    weight: float
    stops: frozenset[Stop]
    asked: dict[str, int]  # the version of each detector that answered
    is_violation: bool
    violations: frozenset[str]
    verdict_id: int = 0
    was_appealed: bool = False


@dataclass(slots=True)
class JudgedContents:
    """`since`: when the oldest could have been received. It is later than was asked for if `is_cut`: there were too many."""

    since: datetime
    contents: list[JudgedContent] = field(default_factory=list)
    is_cut: bool = False


_COLUMNS = (
    "decision_id", "case__verdicts", "case__verdicts__ruling", "case__verdicts__codes", "case__source", "case_id",
    "decision__received_at", "decision__policy_id", "decision__revision_id", "decision__language", "decision__ruling",
    "decision__audit_weight", "decision__evidence", "decision__findings",
)  # fmt: skip


def read_judged_contents(
    period: ReceivedPeriod, *, tenant_id: int | None, most: int = MOST
) -> JudgedContents:
    """All that is known about the contents of a period; of one tenant, if one is named."""
    judged, found = JudgedContents(period.since), dict[UUID, JudgedContent]()
    for add, rows in (
        (_add_verdict, _rows_with_verdicts(period, tenant_id, most + 1)),
        (_add_blocked, _rows_blocked_alone(period, tenant_id, most + 1)),
    ):
        for number, row in enumerate(rows, start=1):
            content = add(found, row)
            if number > most:
                judged.is_cut = True
                judged.since = max(judged.since, content.received_at)
    # Both kinds from the same time on: otherwise one of them would weigh more than it should.
    judged.contents = [one for one in found.values() if not judged.is_cut or one.received_at > judged.since]
    return judged


def items_with_verdicts() -> QuerySet[CaseItem]:
    """Contents in decided cases, one for each final verdict that can be the truth."""
    items = CaseItem.objects.filter(is_withdrawn=False, case__verdicts__status=VerdictStatus.FINAL)
    return items.exclude(case__source=CaseSource.SECOND_REVIEW)


def of_tenant(tenant_id: int | None, path: str) -> Q:
    return Q() if tenant_id is None else Q(**{path: tenant_id})


def _rows_with_verdicts(
    period: ReceivedPeriod, tenant_id: int | None, most: int
) -> Iterator[tuple[Any, ...]]:
    rows = items_with_verdicts().filter(
        of_tenant(tenant_id, "decision__tenant"),
        decision__received_at__gte=period.since,
        decision__received_at__lt=period.until,
    )
    newest = rows.order_by("-decision__received_at", "-pk")[:most]
    return iter(newest.values_list(*_COLUMNS).iterator(chunk_size=_AT_ONCE))


def _add_verdict(found: dict[UUID, JudgedContent], row: tuple[Any, ...]) -> JudgedContent:
    decision_id, verdict_id, ruling, codes, source, case_id, *rest = row
    content = found.get(decision_id)
    if content is None:
        content = found[decision_id] = _new_content(*rest, case_id=case_id)
    if source in SAMPLE_SOURCES:
        content.sampling = Sampling.AUDITED if content.was_allowed else Sampling.REVIEWED
        content.case_id = case_id
    elif source == CaseSource.REPORT and content.sampling is Sampling.REVIEWED:
        content.case_id = case_id
    content.was_appealed = content.was_appealed or source == CaseSource.APPEAL
    if verdict_id > content.verdict_id:
        content.verdict_id = verdict_id
        content.is_violation = ruling == Ruling.BLOCK
        content.violations = frozenset(codes)
    return content


def _new_content(
    received_at: datetime,
    policy_id: int,
    revision_id: int,
    language: str,
    ruling: str,
    audit_weight: float | None,
    evidence: bytes,
    findings: bytes,
    *,
    case_id: int,
) -> JudgedContent:
    return JudgedContent(
        received_at=received_at,
        policy_id=policy_id,
        revision_id=revision_id,
        language=language,
        was_allowed=ruling == Ruling.ALLOW,
        sampling=_USUAL_SAMPLING[Ruling(ruling)],
        case_id=case_id,
        weight=audit_weight or 1.0,
        stops=stops_in(evidence),
        asked=versions_asked(findings),
        is_violation=False,
        violations=frozenset(),
    )


def _rows_blocked_alone(
    period: ReceivedPeriod, tenant_id: int | None, most: int
) -> Iterator[tuple[Any, ...]]:
    rows = FinalDecision.objects.filter(
        of_tenant(tenant_id, "decision__tenant"),
        decided_by=DecisionMaker.MACHINE.value,
        ruling=Ruling.BLOCK.value,
        made_at__gte=period.since,  # by the index; nothing stands before it was received
        decision__received_at__gte=period.since,
        decision__received_at__lt=period.until,
    )
    columns = ("decision_id", *_COLUMNS[6:])
    newest = rows.order_by("-decision__received_at", "-pk")[:most]
    return iter(newest.values_list(*columns).iterator(chunk_size=_AT_ONCE))


def _add_blocked(found: dict[UUID, JudgedContent], row: tuple[Any, ...]) -> JudgedContent:
    decision_id, *rest = row
    if decision_id in found:
        return found[decision_id]
    content = _new_content(*rest, case_id=-len(found) - 1)  # of no case
    content.is_violation = True
    content.violations = frozenset(stop.code for stop in content.stops)
    found[decision_id] = content
    return content


def stops_in(evidence: bytes | memoryview) -> frozenset[Stop]:
    """What kept the content from being allowed, rules in shadow left out."""
    stored = orjson.loads(bytes(evidence))[0]
    found = (Evidence(*one) for one in stored)
    return frozenset(
        Stop(one.detector, one.version, one.code)
        for one in found
        if one.effect in _STOPS and not one.is_shadow
    )


def versions_asked(findings: bytes | memoryview) -> dict[str, int]:
    """The version of each detector that answered."""
    detectors = orjson.loads(bytes(findings))["detectors"]
    return {name: answer[0] for name, answer in detectors.items() if answer[0]}


def codes_by_detector(revision_ids: set[int]) -> dict[int, dict[str, set[str]]]:
    """Which violations each detector looks for, in the rules in force of each revision."""
    wanted: dict[int, dict[str, set[str]]] = {}
    revisions = PolicyRevision.objects.filter(pk__in=revision_ids).values_list("pk", "content")
    for revision_id, content in revisions.iterator():
        codes = wanted.setdefault(revision_id, {})
        for rule in content["rules"]:
            if rule["kind"] == "detector" and rule.get("state", RuleState.ON.value) == RuleState.ON:
                codes.setdefault(rule["detector"], set()).add(rule["code"])
    return wanted
