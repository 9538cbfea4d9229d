"""The states of a job and of its chunks, and the moves between them."""

from django.db import models


class Status(models.TextChoices):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ChunkStatus(models.TextChoices):
    """Where a part of a job is."""

    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"


ALLOWED: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED}),
    Status.RUNNING: frozenset({Status.DONE, Status.FAILED, Status.CANCELLED}),
    Status.DONE: frozenset(),
    Status.FAILED: frozenset({Status.QUEUED}),  # its failed parts are tried again
    Status.CANCELLED: frozenset(),
}
MEANING: dict[Status, str] = {
    Status.QUEUED: "Accepted; no worker has begun.",
    Status.RUNNING: "A worker has begun; some parts may be done.",
    Status.DONE: "Every row has its result, or its line in the errors file.",
    Status.FAILED: "It ended without all results; the row says why. What is done stays.",
    Status.CANCELLED: "Somebody did not want it any more. What was done stays.",
}
OPEN = frozenset({Status.QUEUED, Status.RUNNING})
ENDED = frozenset({Status.DONE, Status.FAILED, Status.CANCELLED})

CHUNK_ALLOWED: dict[ChunkStatus, frozenset[ChunkStatus]] = {
    ChunkStatus.WAITING: frozenset({ChunkStatus.LEASED, ChunkStatus.CANCELLED}),
    ChunkStatus.LEASED: frozenset({
        ChunkStatus.WAITING, ChunkStatus.DONE, ChunkStatus.FAILED, ChunkStatus.DEAD, ChunkStatus.CANCELLED,
    }),
    ChunkStatus.DONE: frozenset(),
    ChunkStatus.FAILED: frozenset({ChunkStatus.WAITING}),
    ChunkStatus.DEAD: frozenset({ChunkStatus.WAITING}),
    ChunkStatus.CANCELLED: frozenset(),
}  # fmt: skip
STUCK = frozenset({ChunkStatus.FAILED, ChunkStatus.DEAD})
CHUNK_MEANING: dict[ChunkStatus, str] = {
    ChunkStatus.WAITING: "A worker may take it.",
    ChunkStatus.LEASED: "A worker has it, and renews its lease while it goes on.",
    ChunkStatus.DONE: "Its results are written.",
    ChunkStatus.FAILED: "Its rows could not be answered; the row says why.",
    ChunkStatus.DEAD: "Three workers were lost while they had it; nobody takes it until a person asks for that.",
    ChunkStatus.CANCELLED: "Its job was cancelled before it was done.",
}
