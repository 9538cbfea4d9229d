"""The states of a split and the moves between them."""

from django.db import models


class Status(models.TextChoices):
    """Whether a split answers."""

    WAITING = "waiting"
    CURRENT = "current"
    PAST = "past"
    EXPIRED = "expired"


ALLOWED: dict[Status, frozenset[Status]] = {
    Status.WAITING: frozenset({Status.CURRENT, Status.EXPIRED}),
    Status.CURRENT: frozenset({Status.PAST}),
    Status.PAST: frozenset(),
    Status.EXPIRED: frozenset(),
}
MEANING: dict[Status, str] = {
    Status.WAITING: "Written, but not every process that will serve it is warm yet.",
    Status.CURRENT: "Decides who answers. Each Model has at most one.",
    Status.PAST: "Was current, from one moment to another.",
    Status.EXPIRED: "Never became current: it was overtaken, or could not be made ready.",
}
