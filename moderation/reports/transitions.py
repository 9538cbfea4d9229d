"""The states of reports, and the transitions between them."""

from django.db import models


class ReportStatus(models.TextChoices):
    OPEN = "open"
    ACTION = "action"
    NO_ACTION = "no_action", "no action"
    DISMISSED = "dismissed"


REPORT_ALLOWED: dict[ReportStatus, frozenset[ReportStatus]] = {
    ReportStatus.OPEN: frozenset({ReportStatus.ACTION, ReportStatus.NO_ACTION, ReportStatus.DISMISSED}),
    ReportStatus.ACTION: frozenset(),
    ReportStatus.NO_ACTION: frozenset(),
    ReportStatus.DISMISSED: frozenset(),
}
REPORT_MEANING: dict[ReportStatus, str] = {
    ReportStatus.OPEN: "Waiting for a person.",
    ReportStatus.ACTION: "A person looked at the content, and it is restricted.",
    ReportStatus.NO_ACTION: "A person looked at the content, and it stays as it is.",
    ReportStatus.DISMISSED: "The content was erased or replaced before anybody looked at it.",
}
