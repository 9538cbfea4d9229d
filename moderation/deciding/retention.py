"""How long decisions are kept."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from moderation.deciding.models import Decision
from moderation.deciding.selectors import expired_decisions

log = structlog.get_logger("roundhouse.moderation")

_AT_ONCE = 1_000


def remove_old_decisions() -> int:
    """Remove decisions that are older than ROUNDHOUSE_DECISION_DAYS, with their contents; return how many."""
    before = timezone.now() - timedelta(days=settings.DECISION_DAYS)
    removed = 0
    while ids := list(expired_decisions(before).values_list("pk", flat=True)[:_AT_ONCE]):
        Decision.objects.filter(pk__in=ids).delete()
        removed += len(ids)
    if removed:
        log.info("old decisions were removed", count=removed)
    return removed
