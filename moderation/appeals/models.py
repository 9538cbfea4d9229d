"""Appeals."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from moderation.appeals.transitions import AppealStatus
from moderation.cases.models import Case
from moderation.deciding.contents import MAX_ID
from moderation.review.models import FinalDecision
from registry.access.models import Tenant

MAX_APPEAL = 5_000


class Appeal(models.Model):
    """An author's objection to what stands about their content."""

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    contested = models.ForeignKey(
        FinalDecision, on_delete=models.PROTECT, related_name="appeals", editable=False
    )
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="appeals", editable=False)
    author_id = models.CharField(max_length=MAX_ID, blank=True, editable=False)
    text = models.TextField(blank=True, editable=False)
    language = models.CharField(max_length=8, blank=True, editable=False)
    status = models.CharField(max_length=10, choices=AppealStatus, default=AppealStatus.OPEN, editable=False)
    made_at = models.DateTimeField(default=timezone.now, editable=False)
    due_at = models.DateTimeField(editable=False)
    answered_at = models.DateTimeField(null=True, editable=False)
    answer = models.JSONField(null=True, editable=False)  # the notice to the author

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="appeal_of_tenant"),
            models.Index(fields=["-answered_at", "due_at", "-id"], name="appeal_open_first"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["contested"],
                name="one_appeal_per_decision",
                violation_error_message="This decision was appealed before.",
            ),
            models.CheckConstraint(
                condition=Q(status=AppealStatus.OPEN, answered_at=None)
                | (~Q(status=AppealStatus.OPEN) & Q(answered_at__isnull=False)),
                name="appeal_answered_or_open",
            ),
        ]

    def __str__(self) -> str:
        return f"appeal {self.pk}"
