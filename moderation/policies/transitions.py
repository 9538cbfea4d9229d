"""The states of a policy's revisions, and the transitions between them."""

from django.db import models


class RevisionStatus(models.TextChoices):
    REQUESTED = "requested"
    PUBLISHED = "published"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


REVISION_ALLOWED: dict[RevisionStatus, frozenset[RevisionStatus]] = {
    RevisionStatus.REQUESTED: frozenset(
        {RevisionStatus.PUBLISHED, RevisionStatus.REJECTED, RevisionStatus.WITHDRAWN}
    ),
    RevisionStatus.PUBLISHED: frozenset(),
    RevisionStatus.REJECTED: frozenset(),
    RevisionStatus.WITHDRAWN: frozenset(),
}
REVISION_MEANING: dict[RevisionStatus, str] = {
    RevisionStatus.REQUESTED: "Waiting for another person's approval.",
    RevisionStatus.PUBLISHED: "Decides contents, or did until a newer revision replaced it.",
    RevisionStatus.REJECTED: "Another person rejected it, with a reason.",
    RevisionStatus.WITHDRAWN: "Withdrawn by the requester or a colleague.",
}
