"""Previews: what a draft would make of the decisions that are stored, from what the detectors said then."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from moderation.deciding import dispatch
from moderation.deciding.answers import codes_of
from moderation.deciding.changes import Changes
from moderation.deciding.comparisons import begin
from moderation.deciding.examination import match_lists
from moderation.deciding.findings import Findings, kind_of_part
from moderation.deciding.judgements import decide, needed_lists
from moderation.deciding.models import Decision, PolicyPreview
from moderation.policies.models import Policy
from moderation.policies.rules import HashRule, PolicyRules, Ruling, read_rules
from moderation.policies.selectors import editable_content
from moderation.rights import ModerationRight, ModerationRole
from registry.errors import RoundhouseError
from registry.kit.actors import Actor
from registry.kit.registrations import Registrations
from registry.kit.text import storable

log = structlog.get_logger("roundhouse.moderation")

MOST = 100_000  # decisions of a preview, the newest ones
_AT_ONCE, _TELL_EVERY = 2_000, 10_000
_KEPT = 20  # previews of each policy
ASSUMED_SECONDS = 30  # of a review, as long as no handling time was measured
ASSUMED_HOURS = 5  # of a reviewer, a day


@dataclass(frozen=True, slots=True)
class ReviewCapacity:
    """How long a review takes, None if that is not known yet, and how many hours the reviewers have on a day."""

    seconds_per_review: float | None
    reviewers: int
    hours_a_day: float


# What a room above measured; the first one counts. Without any, the capacity is assumed.
CAPACITY: Registrations[Callable[[], ReviewCapacity]] = Registrations("review capacity")


class StoredRow(NamedTuple):
    """What a preview reads of a decision."""

    pk: UUID
    tenant_id: int | None
    content_id: str
    redecides_id: UUID | None
    revision_id: int
    ruling: str
    codes: list[str]
    received_at: datetime
    findings: bytes
    text: str | None = None
    title: str | None = None


_COLUMNS = StoredRow._fields[:-2]


def request_preview(*, policy: Policy, by: Actor) -> PolicyPreview:
    """Have a worker decide the policy's stored decisions again with the draft."""
    by.check(ModerationRight.EDIT_POLICIES)
    content = editable_content(policy)
    read_rules(content)
    with transaction.atomic():
        preview = PolicyPreview.objects.create(
            policy=policy,
            content=content,
            draft_edits=policy.draft_edits,
            made_by=storable(by.name, 200),
        )
        old = list(policy.previews.order_by("-pk").values_list("pk", flat=True)[_KEPT:])
        PolicyPreview.objects.filter(pk__in=old).delete()
        dispatch.run_preview(preview.pk)
    return preview


def run_preview(preview_id: int) -> None:
    """Fill in the preview's result. Done once, by whichever worker is first."""
    begun = begin(PolicyPreview, preview_id, "policy__current")
    if begun is None:
        return
    preview = begun.comparison
    try:
        changes = preview_changes(preview.policy, read_rules(preview.content), tell=begun.tell)
        result = changes.result(_people)
    except RoundhouseError as error:
        begun.fail(str(error))
        return
    except Exception as error:
        log.error("a preview failed", policy=preview.policy.name, exc_info=error)
        begun.fail("Something went wrong; the worker's log has the error.")
        raise
    begun.finish(result)


def preview_changes(
    policy: Policy,
    rules: PolicyRules,
    *,
    most: int = MOST,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Changes:
    """Decide the newest decisions of a policy again, with other rules."""
    current = read_rules(policy.current.content) if policy.current is not None else None
    known = {rule.digest for rule in current.list_rules} if current is not None else set()
    needs_texts = any(rule.digest not in known for rule in rules.list_rules)
    changes = Changes()
    total = Decision.objects.filter(policy=policy).order_by().values("pk")[:most].count()
    tell(0, total)
    for row in _rows(policy, most, with_texts=needs_texts):
        _add(changes, row, rules, current if row.revision_id != policy.current_id else None)
        if changes.considered % _TELL_EVERY == 0:
            tell(changes.considered, total)
    tell(total, total)
    return changes


def _rows(policy: Policy, most: int, *, with_texts: bool) -> Iterator[StoredRow]:
    """The decisions that count, newest first: neither superseded, nor decided again."""
    columns = (*_COLUMNS, "content__text", "content__title") if with_texts else _COLUMNS
    decisions = Decision.objects.filter(policy=policy).order_by("-pk")[:most]
    seen: set[tuple[int | None, str]] = set()
    overtaken: set[UUID] = set()
    for values in decisions.values_list(*columns).iterator(chunk_size=_AT_ONCE):
        row = StoredRow(*values)
        content = (row.tenant_id, row.content_id)
        if row.redecides_id is not None:
            overtaken.add(row.redecides_id)
        if row.pk in overtaken or (row.content_id and content in seen):
            continue
        seen.add(content)
        yield row


def _add(changes: Changes, row: StoredRow, rules: PolicyRules, current: PolicyRules | None) -> None:
    """`current`: the rules that are in force, if others decided then."""
    findings = Findings.from_bytes(row.findings)
    before, codes = Ruling(row.ruling), row.codes
    if current is not None:
        present = decide_stored(findings, row, current)
        if not isinstance(present, str):
            before, codes = present.ruling, codes_of(present)
    judgement = decide_stored(findings, row, rules)
    if isinstance(judgement, str):
        changes.note_undecided(judgement, row.received_at, before)
        return
    after = codes_of(judgement)
    changes.add(row.pk.hex, row.received_at, judgement.language, (before, judgement.ruling), (codes, after))


def decide_stored(findings: Findings, row: StoredRow, rules: PolicyRules) -> Any:
    """The judgement of these rules; or why a stored content cannot be decided again, in words."""
    lists = [
        rule
        for rule in needed_lists(rules, findings)
        if rule.digest not in findings.matches and rule.digest not in findings.failures
    ]
    if lists:
        texts = _stored_texts(findings, row)
        if texts is None and any(not isinstance(rule, HashRule) for rule in lists):
            return "The text is not stored any more."
        match_lists(lists, findings, texts or {})
    judgement = decide(rules, findings)
    return f"{judgement.missing[0]} was not asked then." if judgement.missing else judgement


def _stored_texts(findings: Findings, row: StoredRow) -> dict[Any, str] | None:
    if row.text is None:
        return None
    texts = {"text": row.text, "title": row.title or ""}
    return {part: texts[part] for part in findings.parts if kind_of_part(part) in texts}


def _people(more_per_day: float) -> dict[str, Any]:
    """Reviews as hours of people."""
    capacity = next((measure() for measure in CAPACITY), None) or _assumed_capacity()
    measured = capacity.seconds_per_review
    seconds = ASSUMED_SECONDS if measured is None else measured
    return {
        "seconds_per_review": seconds,
        "is_measured": measured is not None,
        "hours_more": more_per_day * seconds / 3600,
        "reviewers": capacity.reviewers,
        "hours_available": capacity.hours_a_day,
    }


def _assumed_capacity() -> ReviewCapacity:
    count = reviewing_people().count()
    return ReviewCapacity(None, count, count * ASSUMED_HOURS)


def reviewing_people() -> QuerySet[User]:
    """The people who review; others with a right to could, but it is not their work."""
    roles = [ModerationRole.REVIEWER, ModerationRole.LEAD]
    return User.objects.filter(is_active=True, groups__name__in=roles).distinct()
