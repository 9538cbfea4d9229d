"""Erasing: what is stored about contents goes for good, in batches, and is continued if a process dies."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Count
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.appeals.services import appeal_answer
from moderation.appeals.transitions import AppealStatus
from moderation.cases.likeness import likeness_of
from moderation.cases.models import Case, CaseItem
from moderation.cases.transitions import CaseStatus
from moderation.deciding.findings import Findings
from moderation.deciding.models import Decision
from moderation.errors import OnLegalHold
from moderation.policies.models import MAX_ACTOR
from moderation.privacy import dispatch
from moderation.privacy.job_files import jobs_with, remove_ended_jobs
from moderation.privacy.leftovers import scrub_cases
from moderation.privacy.models import Erasure, ErasureKind
from moderation.privacy.subjects import (
    decisions_of,
    finals_left,
    holding_cases,
    is_on_hold,
    proposals_left,
    reports_by,
    rows_left,
    strikes_left,
)
from moderation.privacy.transitions import ErasureStatus
from moderation.privacy.wiping import wipe_free_pages
from moderation.reports.models import Report
from moderation.reports.services import report_answer
from moderation.reports.transitions import ReportStatus
from moderation.review.finals import erased_key
from moderation.review.models import AccountProposal, FinalDecision, Strike, Verdict
from moderation.review.transitions import ProposalStatus, VerdictStatus
from moderation.rights import ModerationRight
from registry.access.models import ApiKey, Tenant
from registry.access.policies import task_actor
from registry.errors import Invalid, NotAllowed, StaleState
from registry.kit.actors import Actor
from registry.kit.api.models import IdempotencyRecord
from registry.kit.text import MAX_REASON, checked_line, storable
from registry.record import leases
from registry.record.audit import record_change
from registry.record.events import emit
from registry.record.leases import HeldLease
from registry.record.models import Event

log = structlog.get_logger("roundhouse.moderation")

_AT_ONCE = 200
_TRIES = 5  # of a batch: whoever decides about the same contents may take locks in another order
_LEASE, _LEASE_S = "moderation.erase", 60.0
# Decisions are written a moment after they are made, and later while the database is busy.
SETTLES_AFTER = timedelta(minutes=1)
_IN_PROGRESS = (CaseStatus.WAITING, CaseStatus.DECIDED)


class ErasurePreview(NamedTuple):
    """What an erasure would remove, and what is on legal hold, in which cases."""

    contents: int
    others: int  # final decisions, strikes, and reports
    kept: int
    kept_cases: Sequence[int]

    @property
    def is_empty(self) -> bool:
        return not (self.contents or self.others)


def preview_erasure(*, tenant: Tenant | None, kind: ErasureKind, subject: str, by: Actor) -> ErasurePreview:
    """How much there is to erase."""
    _check(tenant, by)
    erasure = Erasure(tenant=tenant, kind=kind, subject=_checked_subject(kind, subject))
    decisions = decisions_of(erasure)
    kept = decisions.filter(is_on_hold())
    return ErasurePreview(
        contents=decisions.exclude(is_on_hold()).count(),
        others=sum(rows.count() for rows in rows_left(erasure)),
        kept=kept.count(),
        kept_cases=holding_cases(kept),
    )


def request_erasure(
    *, tenant: Tenant | None, kind: ErasureKind, subject: str, reason: str, by: Actor
) -> Erasure:
    """Have everything erased that is stored about an author's contents, a content, or a request. A worker begins at once.

    Asked again while that one works, it is the same erasure. What is on legal hold is kept, and the cases are named.
    Raises OnLegalHold if there is nothing else.
    """
    _check(tenant, by)
    subject = _checked_subject(kind, subject)
    reason = checked_line(reason, what="reason", longest=MAX_REASON)
    if _names(reason, subject):
        raise Invalid("Leave the id out of the reason: the reason goes into the audit log, which keeps it.")
    preview = preview_erasure(tenant=tenant, kind=kind, subject=subject, by=by)
    if preview.kept and preview.is_empty:
        raise OnLegalHold(
            f"Everything is on legal hold, in {named_cases(preview.kept_cases)}: nothing is erased."
        )
    with transaction.atomic():
        dispatch.erase()
        new = Erasure(tenant=tenant, kind=kind, subject=subject)
        erasure, is_new = Erasure.objects.get_or_create(
            tenant=tenant,
            kind=kind,
            subject=subject,
            status=ErasureStatus.WORKING,
            defaults={
                "reason": reason,
                "made_by": storable(by.name, MAX_ACTOR),
                "salt": new.salt,
                "subject_hash": new.salted_subject(subject),
            },
        )
        if not is_new:
            return erasure
        record_change(
            action="request_erasure",
            subject=erasure,
            before=None,
            after={"by": erasure.get_kind_display(), "salted_hash": erasure.subject_hash},
            reason=reason,
            by=by,
        )
    return erasure


def erase_pending(*, now: datetime | None = None) -> int:
    """Go on with all erasures; return how many were done. One thread of one process at a time does this."""
    with leases.held(_LEASE, for_s=_LEASE_S) as lease:
        if lease is None:
            return 0
        working = Erasure.objects.filter(status=ErasureStatus.WORKING).order_by("pk")
        return sum(_erase_alone(erasure, lease, now or timezone.now()) for erasure in working)


def named_cases(case_ids: Iterable[int]) -> str:
    ids = list(case_ids)
    return f"{'case' if len(ids) == 1 else 'cases'} {', '.join(map(str, ids))}"


def _check(tenant: Tenant | None, by: Actor) -> None:
    by.check(ModerationRight.ERASE)
    if by.tenant_id is not None and (tenant is None or tenant.pk != by.tenant_id):
        raise NotAllowed("A key can only erase its own tenant's contents.")


def _names(reason: str, subject: str) -> bool:
    """Whether the id is a word of the reason. Letters beyond ASCII end no word: not all languages put spaces between words."""
    word = subject.strip().casefold()
    as_word = rf"(?:(?<!\w)|(?!\w)){re.escape(word)}(?:(?!\w)|(?<!\w))"
    return bool(word) and re.search(as_word, reason.casefold(), re.ASCII) is not None


def _checked_subject(kind: ErasureKind, subject: str) -> str:
    """As it was sent: contents keep ids with spaces at their ends."""
    if not subject:
        raise Invalid("Say whose contents, or which content, to erase.")
    if kind is not ErasureKind.REQUEST:
        return subject
    try:
        return UUID(hex=subject.strip()).hex
    except ValueError:
        raise Invalid("A request id has 32 hexadecimal digits; it is in each answer.") from None


def _erase_alone(erasure: Erasure, lease: HeldLease, now: datetime) -> bool:
    try:
        return _erase(erasure, lease, now)
    except StaleState:  # this one was too slow, and another has taken over
        return False


def _erase(erasure: Erasure, lease: HeldLease, now: datetime) -> bool:
    """Erase until nothing is left; return whether it is done."""
    _check_lease(lease)
    while _tried(_erase_decisions, erasure) or _tried(_erase_finals, erasure):
        _check_lease(lease)
    _tried(_erase_about_author, erasure)
    _remove_jobs(erasure)
    if now < erasure.made_at + SETTLES_AFTER or erasure.open_jobs or not wipe_free_pages():
        return False
    return _finish(erasure, now)


def _check_lease(lease: HeldLease) -> None:
    if not lease.renew():
        raise StaleState


def _lock(erasure: Erasure) -> None:
    """Read it again and lock it: a step adds to what is stored, not to what a step that failed had counted.

    Call it first in the transaction. Raises StaleState if the erasure is done: then it has no id, and without one it
    would be about all contents that have no author.
    """
    erasure.refresh_from_db(from_queryset=Erasure.objects.select_for_update(of=("self",)))
    if erasure.status != ErasureStatus.WORKING:
        raise StaleState


def _tried(step: Callable[[Erasure], bool], erasure: Erasure) -> bool:
    for _ in range(_TRIES - 1):
        try:
            return step(erasure)
        except (OperationalError, IntegrityError) as error:  # a deadlock, or a row that was added meanwhile
            log.warning("a part of an erasure is tried again", erasure=erasure.pk, reason=str(error))
    return step(erasure)


@transaction.atomic
def _erase_decisions(erasure: Erasure) -> bool:
    """Erase one batch of contents with all that was decided about them; return whether there may be more."""
    _lock(erasure)
    wanted = decisions_of(erasure).exclude(is_on_hold()).order_by("pk")
    rows = wanted if erasure.kind == ErasureKind.REQUEST else wanted[:_AT_ONCE]
    ids = list(rows.values_list("pk", flat=True))
    items = CaseItem.objects.filter(decision__in=ids)
    case_ids = sorted(set(items.values_list("case_id", flat=True)))
    # Nobody decides these cases, puts them on hold, or writes what stands, before this is committed.
    list(Case.objects.select_for_update().filter(pk__in=case_ids).order_by("pk"))
    list(Decision.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk").values_list("pk"))
    decisions = list(Decision.objects.filter(pk__in=ids).exclude(is_on_hold()).order_by("pk"))
    if not decisions:
        return False
    ids = [one.pk for one in decisions]
    # Callers know what was decided again by the request id of the decision that goes now.
    again = Decision.objects.filter(redecides__in=ids).values_list("pk", flat=True)
    _forget_answers(erasure, _in_answers(again))
    jobs = {str(pk) for pk in jobs_with(decisions)}
    removed: Counter[str] = Counter({"contents": len(ids)})
    finals = list(FinalDecision.objects.filter(decision__in=ids).values_list("pk", flat=True))
    removed += _dismiss_reports(erasure, list(Report.objects.filter(decision__in=ids)))
    removed += _anonymise_finals(erasure, finals)
    hashes = [erasure.salted(bytes(one.digest)) for one in decisions]
    Decision.objects.filter(pk__in=ids).delete()
    _leave_cases(case_ids)
    erasure.open_jobs = sorted({*erasure.open_jobs, *jobs})
    _count(erasure, removed, {"contents": len(ids), "salted_hashes": hashes})
    return True


@transaction.atomic
def _erase_finals(erasure: Erasure) -> bool:
    """The same for what stands about contents that were removed before, as they were old."""
    _lock(erasure)
    finals = list(finals_left(erasure).order_by("pk").values_list("pk", flat=True)[:_AT_ONCE])
    if not finals:
        return False
    # Their reports, too, which are known by the case alone now.
    verdicts = FinalDecision.objects.filter(pk__in=finals, decision=None, verdict__isnull=False)
    cases = sorted(set(verdicts.values_list("verdict__case", flat=True)))
    reports = _dismiss_reports(erasure, list(Report.objects.filter(decision=None, case__in=cases)))
    removed = reports + _anonymise_finals(erasure, finals)
    _leave_cases(cases)
    _count(erasure, removed, {"final_decisions": len(finals)})
    return True


@transaction.atomic
def _erase_about_author(erasure: Erasure) -> bool:
    """Strikes, proposed account actions, and what the author reported about others."""
    _lock(erasure)
    if erasure.kind != ErasureKind.AUTHOR:
        return False
    strikes, _ = strikes_left(erasure).delete()
    proposals = list(proposals_left(erasure).values_list("pk", flat=True))
    _remove_events("accountproposal", proposals)
    ours = AccountProposal.objects.filter(pk__in=proposals)
    ours.filter(status=ProposalStatus.OPEN).update(
        status=ProposalStatus.DISMISSED, decided_at=timezone.now(), decided_by=erasure.made_by
    )
    ours.update(author_id="", reason="")
    reports = list(reports_by(erasure).values_list("pk", flat=True))
    _remove_events("report", reports)
    Report.objects.filter(pk__in=reports).update(reporter_id="", text="")
    if reports:
        reporter = json.dumps(erasure.subject, ensure_ascii=False)
        _forget_answers(erasure, [f'"reporter_id":{reporter}'])
    removed = Counter({"strikes": strikes, "account_proposals": len(proposals), "reports": len(reports)})
    if not removed.total():
        return False
    _count(erasure, removed, dict(+removed))
    return True


def _dismiss_reports(erasure: Erasure, reports: Sequence[Report]) -> Counter[str]:
    """What others wrote about the contents goes, too; who waits for an answer is told that there will be none."""
    ids = [report.pk for report in reports]
    _remove_events("report", ids)
    _forget_answers(erasure, _in_answers(report.decision_id for report in reports))
    rows = Report.objects.filter(pk__in=ids)
    waiting = list(rows.filter(status=ReportStatus.OPEN).values_list("pk", flat=True))
    rows.update(text="", answer=None, decision=None)
    rows.filter(pk__in=waiting).update(status=ReportStatus.DISMISSED, answered_at=timezone.now())
    for report in rows.filter(pk__in=waiting).select_related("tenant"):
        emit(
            "report.answered",
            subject=report,
            data=report_answer(report),
            summary=f"Report {report.pk}: dismissed, as the content was erased.",
            order_key=f"report:{report.pk}",
        )
    return Counter(reports=len(ids))


def _anonymise_finals(erasure: Erasure, finals: Sequence[int]) -> Counter[str]:
    """Keep what was decided and its statement of reasons, which say nothing about whose content it was."""
    appeals = Appeal.objects.filter(contested__in=finals)
    appeal_ids = list(appeals.values_list("pk", flat=True))
    _remove_events("appeal", appeal_ids)
    _remove_events("finaldecision", finals)
    strikes, _ = Strike.objects.filter(final__in=finals).delete()
    rows = list(FinalDecision.objects.filter(pk__in=finals))
    contested = set(appeals.values_list("contested", flat=True))
    _forget_answers(erasure, _in_answers(row.decision_id for row in rows if row.pk in contested))
    for row in rows:
        # Sent again, the content goes on from its highest number: subscribers leave out what is not newer.
        row.content_key = erased_key(row.tenant_id, row.content_key)
        row.author_id, row.notice, row.decision = "", None, None
    FinalDecision.objects.bulk_update(rows, ["content_key", "author_id", "notice", "decision"])
    _dismiss_appeals(appeal_ids)
    return Counter(final_decisions=len(rows), strikes=strikes, appeals=len(appeal_ids))


def _dismiss_appeals(ids: Collection[int]) -> None:
    rows = Appeal.objects.filter(pk__in=ids)
    waiting = list(rows.filter(status=AppealStatus.OPEN).values_list("pk", flat=True))
    rows.update(text="", author_id="", answer=None)
    rows.filter(pk__in=waiting).update(status=AppealStatus.DISMISSED, answered_at=timezone.now())
    for appeal in rows.filter(pk__in=waiting).select_related("contested", "tenant"):
        emit(
            "appeal.answered",
            subject=appeal,
            data=appeal_answer(appeal),
            summary=f"Appeal {appeal.pk}: dismissed, as the content was erased.",
            order_key=f"appeal:{appeal.pk}",
        )


def _leave_cases(case_ids: Collection[int]) -> None:
    """Withdraw cases that have no content any more; the others are about those that they still have."""
    left = CaseItem.objects.filter(case__in=case_ids, is_withdrawn=False).values("case_id")
    counts = dict(left.annotate(items=Count("pk")).order_by().values_list("case_id", "items"))
    empty = [pk for pk in case_ids if pk not in counts]
    Verdict.objects.filter(case__in=empty, status=VerdictStatus.PENDING).update(status=VerdictStatus.UNDONE)
    Case.objects.filter(pk__in=empty, status__in=_IN_PROGRESS).update(
        status=CaseStatus.WITHDRAWN, ended_at=timezone.now(), claimed_by=None, claimed_until=None
    )
    scrub_cases(case_ids)
    Verdict.objects.filter(case__in=counts).exclude(note="").update(note="")
    for case_id, items in counts.items():
        first = (
            CaseItem.objects.filter(case=case_id, is_withdrawn=False)
            .select_related("decision__content")
            .first()
        )
        if first is None:
            continue
        content = getattr(first.decision, "content", None)
        text, title = (content.text, content.title) if content is not None else ("", "")
        likeness = likeness_of(text, title, Findings.from_bytes(first.decision.findings))
        Case.objects.filter(pk=case_id).update(
            item_count=items, likeness=likeness.key, pictures=list(likeness.pictures), note=""
        )


def _remove_events(kind: str, ids: Collection[int]) -> None:
    """With their deliveries, also those that were not sent yet."""
    Event.objects.filter(object_kind=kind, object_id__in=[str(pk) for pk in ids]).delete()


def _forget_answers(erasure: Erasure, pieces: Iterable[str]) -> None:
    """Drop the answers that are kept for a day for keys that repeat a request."""
    keys = ApiKey.objects.filter(tenant=erasure.tenant_id).values_list("pk", flat=True)
    kept = IdempotencyRecord.objects.filter(principal__in=[f"key:{pk}" for pk in keys])
    for piece in pieces:
        kept.filter(body__contains=piece).delete()


def _in_answers(decision_ids: Iterable[UUID | None]) -> list[str]:
    """How the kept answers about these contents name them."""
    decisions = Decision.objects.filter(pk__in=[pk for pk in decision_ids if pk is not None])
    return [f'"request_id":"{one.callers_request_id}"' for one in decisions.only("redecides")]


def _count(erasure: Erasure, removed: Counter[str], recorded: dict[str, object]) -> None:
    """Note how far it is. Call it last in the transaction."""
    erasure.removed = dict(Counter(erasure.removed) + removed)
    erasure.save(update_fields=["removed", "open_jobs"])
    record_change(
        action="erase_contents",
        subject=erasure,
        before=None,
        after=recorded,
        by=task_actor(dispatch.ERASE),
    )


def _remove_jobs(erasure: Erasure) -> None:
    known = erasure.open_jobs
    if not known:
        return
    count, still_open = remove_ended_jobs(known)
    with transaction.atomic():
        _lock(erasure)
        erasure.open_jobs = sorted({*erasure.open_jobs} - {*known} | {*still_open})
        erasure.removed = dict(Counter(erasure.removed) + Counter(jobs=count))
        erasure.save(update_fields=["removed", "open_jobs"])


@transaction.atomic
def _finish(erasure: Erasure, now: datetime) -> bool:
    _lock(erasure)
    if erasure.open_jobs:  # another one found them meanwhile
        return False
    kept = decisions_of(erasure).filter(is_on_hold())
    erasure.kept_count, erasure.kept_cases = kept.count(), holding_cases(kept)
    erasure.status, erasure.subject, erasure.ended_at = ErasureStatus.DONE, "", now
    working = Erasure.objects.filter(pk=erasure.pk, status=ErasureStatus.WORKING)
    changed = working.update(
        status=erasure.status,
        subject="",
        ended_at=now,
        kept_count=erasure.kept_count,
        kept_cases=erasure.kept_cases,
    )
    if changed != 1:
        raise StaleState
    record_change(
        action="finish_erasure",
        subject=erasure,
        before=None,
        after={**erasure.removed, "kept": erasure.kept_count, "kept_in_cases": erasure.kept_cases},
        by=task_actor(dispatch.ERASE),
    )
    return True
