"""The states of a request and the moves between them."""

from django.db import models


class Status(models.TextChoices):
    """What became of what somebody asked for."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    OVERTAKEN = "overtaken"


ALLOWED: dict[Status, frozenset[Status]] = {
    Status.OPEN: frozenset({Status.APPROVED, Status.REJECTED, Status.WITHDRAWN, Status.OVERTAKEN}),
    Status.APPROVED: frozenset(),
    Status.REJECTED: frozenset(),
    Status.WITHDRAWN: frozenset(),
    Status.OVERTAKEN: frozenset(),
}
MEANING: dict[Status, str] = {
    Status.OPEN: "Somebody asked for a split; another person has to decide.",
    Status.APPROVED: "Another person agreed, and the split was written in the same moment.",
    Status.REJECTED: "Another person said no, and why.",
    Status.WITHDRAWN: "Whoever asked does not want it any more.",
    Status.OVERTAKEN: "The Model's split was changed meanwhile; what was asked for was about another state of things.",
}
