"""The states of an upload and the moves between them."""

from django.db import models


class Status(models.TextChoices):
    """How far a file has come on its way in."""

    OPEN = "open"
    COMPLETE = "complete"
    FAILED = "failed"
    ABANDONED = "abandoned"
    TAKEN = "taken"


ALLOWED: dict[Status, frozenset[Status]] = {
    Status.OPEN: frozenset({Status.COMPLETE, Status.FAILED, Status.ABANDONED, Status.TAKEN}),
    Status.COMPLETE: frozenset(),
    Status.FAILED: frozenset(),
    Status.ABANDONED: frozenset(),
    Status.TAKEN: frozenset(),
}
MEANING: dict[Status, str] = {
    Status.OPEN: "Bytes may still come; what is there waits in the data folder.",
    Status.COMPLETE: "The file is in the store, and a version was made of it.",
    Status.FAILED: "It could not be finished; the row says why, and its bytes are gone.",
    Status.ABANDONED: "Somebody cancelled it, or nobody sent anything for a day; its bytes are gone.",
    Status.TAKEN: "The file went elsewhere, such as to a job as its input; no version was made of it.",
}
