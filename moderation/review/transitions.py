"""The states of verdicts, and of proposed account actions, and the transitions between them."""

from django.db import models


class VerdictStatus(models.TextChoices):
    PENDING = "pending"
    FINAL = "final"
    UNDONE = "undone"


VERDICT_ALLOWED: dict[VerdictStatus, frozenset[VerdictStatus]] = {
    VerdictStatus.PENDING: frozenset({VerdictStatus.FINAL, VerdictStatus.UNDONE}),
    VerdictStatus.FINAL: frozenset(),
    VerdictStatus.UNDONE: frozenset(),
}
VERDICT_MEANING: dict[VerdictStatus, str] = {
    VerdictStatus.PENDING: "Given a few seconds ago; the reviewer may still undo it.",
    VerdictStatus.FINAL: "It stands, and subscribers were told.",
    VerdictStatus.UNDONE: "Undone before it was final: by the reviewer, or because the content was erased.",
}


class ProposalStatus(models.TextChoices):
    OPEN = "open"
    ACCEPTED = "accepted"
    DISMISSED = "dismissed"


PROPOSAL_ALLOWED: dict[ProposalStatus, frozenset[ProposalStatus]] = {
    ProposalStatus.OPEN: frozenset({ProposalStatus.ACCEPTED, ProposalStatus.DISMISSED}),
    ProposalStatus.ACCEPTED: frozenset(),
    ProposalStatus.DISMISSED: frozenset(),
}
PROPOSAL_MEANING: dict[ProposalStatus, str] = {
    ProposalStatus.OPEN: "An author's strikes add up to an account action; a lead decides.",
    ProposalStatus.ACCEPTED: "A lead took the action; subscribers were told.",
    ProposalStatus.DISMISSED: "A lead decided against it, with a reason.",
}
