"""The states of splits and of approval requests, and the transitions between them."""

from django.db import models


class Status(models.TextChoices):
    """The state of a split."""

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
    Status.CURRENT: "Decides which versions answer. Each Model has at most one.",
    Status.PAST: "Was current for some time.",
    Status.EXPIRED: "Never became current: a newer split replaced it, or it could not be made ready.",
}


class RequestStatus(models.TextChoices):
    """The state of an approval request."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    OVERTAKEN = "overtaken"


_DECIDED = (RequestStatus.APPROVED, RequestStatus.REJECTED, RequestStatus.WITHDRAWN, RequestStatus.OVERTAKEN)
REQUEST_ALLOWED: dict[RequestStatus, frozenset[RequestStatus]] = {
    RequestStatus.OPEN: frozenset(_DECIDED),
    **dict.fromkeys(_DECIDED, frozenset()),
}
REQUEST_MEANING: dict[RequestStatus, str] = {
    RequestStatus.OPEN: "Waiting for another person's decision.",
    RequestStatus.APPROVED: "Another person approved it; the split was written in the same transaction.",
    RequestStatus.REJECTED: "Another person rejected it, with a reason.",
    RequestStatus.WITHDRAWN: "Withdrawn by the requester or a colleague.",
    RequestStatus.OVERTAKEN: "The Model's split changed before a decision, so the request no longer applies.",
}
