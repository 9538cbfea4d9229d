"""How much one tenant, or one person, may have open at once."""

from django.conf import settings
from django.db.models import Count, F, Q, Sum

from inference.jobs.errors import TooManyJobs
from inference.jobs.policies import own
from inference.jobs.transitions import OPEN
from registry.kit.actors import Actor

_RETRY_AFTER_S = 10


def check_room(by: Actor, *, rows: int, input_bytes: int) -> None:
    """Raise TooManyJobs where another job would be one too many. Orders that come at once may overshoot a little."""
    unanswered = F("rows_total") - F("rows_done") - F("rows_bad")
    held = own(by).filter(status__in=OPEN).aggregate(
        jobs=Count("pk"), rows=Sum(unanswered, filter=Q(is_planned=True)), input_bytes=Sum("input_bytes")
    )  # fmt: skip
    for what, wanted, present, most in (
        ("jobs", 1, held["jobs"], settings.JOB_OPEN),
        ("rows", rows, held["rows"] or 0, settings.JOB_OPEN_ROWS),
        ("bytes of input", input_bytes, held["input_bytes"] or 0, settings.JOB_OPEN_BYTES),
    ):
        if present + wanted > most:
            raise TooManyJobs(
                f"You have {present:,} {what} open, and {most:,} is the most; wait for some jobs to end.",
                retry_after_s=_RETRY_AFTER_S,
            )
