"""Reports."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from moderation.cases.models import MAX_CODE, Case
from moderation.deciding.contents import MAX_ID
from moderation.deciding.models import Decision
from moderation.reports.transitions import ReportStatus
from registry.access.models import Tenant

MAX_REPORT = 5_000


class ReportSource(models.TextChoices):
    """Who reports. A notice says that a content is illegal (Digital Services Act, article 16)."""

    USER = "user"
    NOTICE = "notice", "notice of illegal content"
    TRUSTED_FLAGGER = "trusted_flagger", "trusted flagger"


class Report(models.Model):
    """What somebody says about a content. Several reports of one content share a case."""

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    decision = models.ForeignKey(
        Decision, null=True, on_delete=models.SET_NULL, related_name="reports", editable=False
    )
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="reports", editable=False)
    source = models.CharField(max_length=15, choices=ReportSource, default=ReportSource.USER, editable=False)
    reporter_id = models.CharField(max_length=MAX_ID, blank=True, editable=False)
    code = models.CharField("violation", max_length=MAX_CODE, blank=True, editable=False)
    text = models.TextField(blank=True, editable=False)
    language = models.CharField(max_length=8, blank=True, editable=False)  # of the reporter
    status = models.CharField(max_length=9, choices=ReportStatus, default=ReportStatus.OPEN, editable=False)
    made_at = models.DateTimeField(default=timezone.now, editable=False)
    due_at = models.DateTimeField(editable=False)
    answered_at = models.DateTimeField(null=True, editable=False)
    answer = models.JSONField(null=True, editable=False)  # the notice to the reporter

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="report_of_tenant"),
            models.Index(fields=["tenant", "reporter_id"], name="report_of_reporter"),
            models.Index(fields=["-answered_at", "due_at", "-id"], name="report_open_first"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status=ReportStatus.OPEN, answered_at=None)
                | (~Q(status=ReportStatus.OPEN) & Q(answered_at__isnull=False)),
                name="report_answered_or_open",
            ),
        ]

    def __str__(self) -> str:
        return f"report {self.pk}"
