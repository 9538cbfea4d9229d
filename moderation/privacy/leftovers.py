"""What tells about contents beside the contents themselves, and goes with them."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import Q

from moderation.appeals.models import Appeal
from moderation.cases.models import Case, CaseItem
from moderation.cases.transitions import CaseStatus
from moderation.reports.models import Report
from moderation.review.models import Verdict

_NO_LIKENESS = b""  # of cases that nothing can join any more


def scrub_cases(case_ids: Collection[int]) -> None:
    """Empty what cases that are over, and have no contents any more, say about them: hashes, and people's notes.

    A content that was withdrawn is none that the case is about, unless a legal hold keeps it.
    """
    is_kept = Q(is_withdrawn=False) | Q(case__is_on_legal_hold=True)
    left = CaseItem.objects.filter(is_kept, case__in=case_ids).values("case_id")
    over = (CaseStatus.CLOSED, CaseStatus.WITHDRAWN)
    empty = Case.objects.filter(pk__in=case_ids, status__in=over).exclude(pk__in=left)
    ids = list(empty.values_list("pk", flat=True))
    Verdict.objects.filter(case__in=ids).exclude(note="").update(note="")
    Case.objects.filter(pk__in=ids).update(likeness=_NO_LIKENESS, pictures=[], note="")


def scrub_texts(decision_ids: Collection[UUID]) -> None:
    """Empty what authors and reporters wrote about these contents."""
    Report.objects.filter(decision__in=decision_ids).exclude(text="").update(text="")
    Appeal.objects.filter(contested__decision__in=decision_ids).exclude(text="").update(text="")
