"""The states of cases, and the transitions between them."""

from django.db import models


class CaseStatus(models.TextChoices):
    WAITING = "waiting"
    DECIDED = "decided"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


CASE_ALLOWED: dict[CaseStatus, frozenset[CaseStatus]] = {
    CaseStatus.WAITING: frozenset({CaseStatus.DECIDED, CaseStatus.WITHDRAWN}),
    CaseStatus.DECIDED: frozenset({CaseStatus.WAITING, CaseStatus.CLOSED, CaseStatus.WITHDRAWN}),
    CaseStatus.CLOSED: frozenset(),
    CaseStatus.WITHDRAWN: frozenset(),
}
CASE_MEANING: dict[CaseStatus, str] = {
    CaseStatus.WAITING: "Waiting for a person; somebody may be looking at it.",
    CaseStatus.DECIDED: "A person decided; for a few seconds they may undo it.",
    CaseStatus.CLOSED: "The verdict is final.",
    CaseStatus.WITHDRAWN: "Nobody is needed any more: decided by itself, replaced by its author, or erased.",
}
