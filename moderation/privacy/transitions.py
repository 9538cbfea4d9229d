"""The states of erasures, and the transitions between them."""

from django.db import models


class ErasureStatus(models.TextChoices):
    WORKING = "working"
    DONE = "done"


ERASURE_ALLOWED: dict[ErasureStatus, frozenset[ErasureStatus]] = {
    ErasureStatus.WORKING: frozenset({ErasureStatus.DONE}),
    ErasureStatus.DONE: frozenset(),
}
ERASURE_MEANING: dict[ErasureStatus, str] = {
    ErasureStatus.WORKING: "Contents are being removed, or it waits to look for late ones, or for a job to end.",
    ErasureStatus.DONE: "Nothing is left but what is on legal hold; the id that was erased is forgotten, too.",
}
