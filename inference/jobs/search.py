"""What the search over everything finds in this room: jobs, and how many failed lately."""

import re
from datetime import timedelta
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from inference.jobs.kinds import subject_of
from inference.jobs.models import Job
from inference.jobs.policies import jobs_in_scope
from inference.jobs.selectors import jobs_in_reach
from inference.jobs.transitions import Status
from registry.kit.admin.navigation import Badge
from registry.kit.admin.search import HITS_PER_SOURCE, Hit
from registry.kit.admin.theme import actor

_ID = re.compile(r"(?:job\s+)?(?P<digits>[0-9a-f]{4,32})", re.IGNORECASE)
_RECENT, _LOOKED_AT = timedelta(hours=24), 1_000


def find_jobs(request: HttpRequest, text: str) -> list[Hit]:
    """Jobs whose id begins with the text."""
    match = _ID.fullmatch(text.replace("-", ""))
    if match is None:
        return []
    digits = match["digits"]
    first, last = (
        UUID(digits.ljust(32, "0")),
        UUID(digits.ljust(32, "f")),
    )  # a range, so that the index is used
    jobs = jobs_in_reach(actor(request)).filter(pk__gte=first, pk__lte=last)
    return [
        Hit(
            f"Job {str(job.pk)[:8]}",
            reverse("admin:inference_job_change", args=[job.pk]),
            f"{subject_of(job)}, {job.get_status_display().lower()}, by {job.made_by}",
        )
        for job in jobs[:HITS_PER_SOURCE]
    ]


def failed_jobs_badge(request: HttpRequest) -> Badge | None:
    """How many of the newest jobs, of those accepted in the last 24 hours, failed."""
    recent = jobs_in_scope(actor(request)).filter(created_at__gte=timezone.now() - _RECENT)
    newest = recent.order_by("-created_at").values("pk")[:_LOOKED_AT]
    failed = Job.objects.filter(pk__in=newest, status=Status.FAILED).count()
    jobs = "job" if failed == 1 else "jobs"
    return Badge(failed, f"{failed:,} {jobs} of the last 24 hours failed", is_bad=True) if failed else None
