"""The states of a version and the transitions between them."""

from django.db import models


class Status(models.TextChoices):
    """The state of a version."""

    UPLOADED = "uploaded"
    CHECKING = "checking"
    READY = "ready"
    FAILED = "failed"
    ARCHIVED = "archived"


ALLOWED: dict[Status, frozenset[Status]] = {
    Status.UPLOADED: frozenset({Status.CHECKING}),
    Status.CHECKING: frozenset({Status.READY, Status.FAILED}),
    Status.READY: frozenset({Status.ARCHIVED}),
    Status.FAILED: frozenset({Status.CHECKING, Status.ARCHIVED}),  # the environment may have been at fault
    Status.ARCHIVED: frozenset({Status.READY, Status.FAILED}),  # back to the result of its check
}
MEANING: dict[Status, str] = {
    Status.UPLOADED: "The file is stored but has not been checked yet.",
    Status.CHECKING: "The file is being loaded and run in a disposable child process, or is waiting for a worker to retry.",
    Status.READY: "The checks passed; the version may answer.",
    Status.FAILED: "A check failed; `failure` says why. The version may be checked again.",
    Status.ARCHIVED: "Retired: it answers no requests and is not in any split.",
}
