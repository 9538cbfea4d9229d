"""The states of appeals, and the transitions between them."""

from django.db import models


class AppealStatus(models.TextChoices):
    OPEN = "open"
    CONFIRMED = "confirmed"
    OVERTURNED = "overturned"
    DISMISSED = "dismissed"


APPEAL_ALLOWED: dict[AppealStatus, frozenset[AppealStatus]] = {
    AppealStatus.OPEN: frozenset({AppealStatus.CONFIRMED, AppealStatus.OVERTURNED, AppealStatus.DISMISSED}),
    AppealStatus.CONFIRMED: frozenset(),
    AppealStatus.OVERTURNED: frozenset(),
    AppealStatus.DISMISSED: frozenset(),
}
APPEAL_MEANING: dict[AppealStatus, str] = {
    AppealStatus.OPEN: "Waiting for a person who did not decide before.",
    AppealStatus.CONFIRMED: "Another person decided again: the restriction stays.",
    AppealStatus.OVERTURNED: "Another person decided again: the restriction was lifted or changed.",
    AppealStatus.DISMISSED: "The content was erased, so nobody can decide again.",
}
