"""The states of a version and the moves between them."""

from django.db import models


class Status(models.TextChoices):
    """What is known about a version's file."""

    UPLOADED = "uploaded"
    CHECKING = "checking"
    READY = "ready"
    FAILED = "failed"
    ARCHIVED = "archived"


ALLOWED: dict[Status, frozenset[Status]] = {
    Status.UPLOADED: frozenset({Status.CHECKING}),
    Status.CHECKING: frozenset({Status.READY, Status.FAILED}),
    Status.READY: frozenset({Status.ARCHIVED}),
    Status.FAILED: frozenset(
        {Status.CHECKING, Status.ARCHIVED}
    ),  # what surrounds the file may have been wrong
    Status.ARCHIVED: frozenset({Status.READY, Status.FAILED}),  # back to what the check had found
}
MEANING: dict[Status, str] = {
    Status.UPLOADED: "The file is stored; nothing has looked inside yet.",
    Status.CHECKING: "The file is being loaded and run in a disposable child, or waits for a worker that does it again.",
    Status.READY: "The checks passed; the version may answer.",
    Status.FAILED: "A check refused the file; the row says why. It may be checked again.",
    Status.ARCHIVED: "Put away: it answers nobody and is on no split.",
}
