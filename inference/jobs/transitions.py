"""Status of jobs and chunks, and the allowed transitions."""

from django.db import models


class Status(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ChunkStatus(models.TextChoices):
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
    Status.FAILED: frozenset({Status.QUEUED}),  # retry of its failed parts
    Status.CANCELLED: frozenset(),
}
MEANING: dict[Status, str] = {
    Status.QUEUED: "Accepted; no worker has started it.",
    Status.RUNNING: "A worker has started it; some parts may be done.",
    Status.DONE: "Every row has a result, or a line in the errors file.",
    Status.FAILED: "It ended without producing all results; the failure says why. Finished parts are kept.",
    Status.CANCELLED: "Someone cancelled it. Finished parts are kept.",
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
    ChunkStatus.WAITING: "Waiting for a worker.",
    ChunkStatus.LEASED: "A worker is processing it and keeps renewing its lease.",
    ChunkStatus.DONE: "Its results have been written.",
    ChunkStatus.FAILED: "Its rows could not be processed; the failure says why.",
    ChunkStatus.DEAD: "Abandoned after three workers died while processing it; only a manual retry runs it again.",
    ChunkStatus.CANCELLED: "Its job was cancelled before it was done.",
}
