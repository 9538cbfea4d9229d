"""Database models of the intake: uploads."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from registry.access.models import ApiKey, Tenant
from registry.catalogue.models import Version
from registry.kit.text import MAX_REASON

MAX_NAME = 255
_SHA256 = r"\A([0-9a-f]{64})?\Z"


class Status(models.TextChoices):
    """The state of an upload; only open ones change."""

    OPEN = "open"  # the bytes received are in the data folder
    COMPLETE = "complete"  # the file is in the store, and a version was created from it
    FAILED = "failed"
    ABANDONED = "abandoned"  # cancelled, or without progress for a day
    TAKEN = "taken"  # the file is used for something else, such as a job's input


class Upload(models.Model):
    """A file that is sent in parts. Its bytes are in the data folder under this row's id, never under a name from a user."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    file_name = models.CharField(max_length=MAX_NAME, blank=True, editable=False)  # displayed, never opened
    size_bytes = models.PositiveBigIntegerField("size", editable=False)
    received_bytes = models.PositiveBigIntegerField("received", default=0, editable=False)
    announced_sha256 = models.CharField("announced SHA-256", max_length=64, blank=True, editable=False)
    # Known after the last byte if one process received all bytes, otherwise on completion.
    sha256 = models.CharField("SHA-256", max_length=64, blank=True, editable=False)
    status = models.CharField(max_length=9, choices=Status, default=Status.OPEN, editable=False)
    failure = models.CharField(max_length=MAX_REASON, blank=True, editable=False)
    model_slug = models.CharField("Model", max_length=64, blank=True, editable=False)
    version = models.ForeignKey(
        Version, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    # The request that is writing a part, and the time until which no other may.
    writer = models.CharField(max_length=32, blank=True, editable=False)
    writer_until = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )  # fmt: skip
    key = models.ForeignKey(
        ApiKey, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    made_by = models.CharField("made by", max_length=200, editable=False)
    made_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-made_at"]
        indexes = [models.Index(fields=["status", "touched_at"], name="upload_by_age")]
        constraints = [
            models.CheckConstraint(condition=Q(size_bytes__gte=1), name="upload_has_a_size"),
            models.CheckConstraint(
                condition=Q(received_bytes__lte=F("size_bytes")), name="upload_holds_what_was_announced"
            ),
            models.CheckConstraint(
                condition=Q(announced_sha256__regex=_SHA256) & Q(sha256__regex=_SHA256),
                name="upload_sha256_is_one",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.COMPLETE)
                | (Q(version__isnull=False) & Q(received_bytes=F("size_bytes")) & ~Q(sha256="")),
                name="upload_complete_has_all",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.COMPLETE) | Q(version__isnull=True),
                name="upload_version_when_complete",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.FAILED) | ~Q(failure=""), name="upload_failed_says_why"
            ),
        ]

    def __str__(self) -> str:
        return self.file_name or str(self.id)

    @property
    def is_open(self) -> bool:
        return self.status == Status.OPEN

    @property
    def is_whole(self) -> bool:
        return self.received_bytes == self.size_bytes
