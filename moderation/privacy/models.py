"""Erasures."""

import hmac
import secrets

from django.db import models
from django.db.models import Q
from django.utils import timezone

from moderation.deciding.contents import MAX_ID
from moderation.policies.models import MAX_ACTOR
from moderation.privacy.transitions import ErasureStatus
from registry.access.models import Tenant
from registry.kit.text import MAX_REASON


class ErasureKind(models.TextChoices):
    """What the id is that is erased."""

    AUTHOR = "author", "author id"
    CONTENT = "content", "content id"
    REQUEST = "request", "request id"


def new_salt() -> str:
    return secrets.token_hex(32)


class Erasure(models.Model):
    """The removal of everything that is stored about an author's contents, a content, or one decided request.

    While it works, `subject` is the id. Then only a salted hash of it is left, which tells nobody the id, but lets
    whoever knows it see that it was erased. The same salt is in the hashes of the contents in the audit chain.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    kind = models.CharField("erased by", max_length=7, choices=ErasureKind, editable=False)
    subject = models.CharField("id", max_length=MAX_ID, blank=True, editable=False)
    subject_hash = models.CharField("salted hash of the id", max_length=64, editable=False)
    salt = models.CharField(max_length=64, default=new_salt, editable=False)
    status = models.CharField(
        max_length=7, choices=ErasureStatus, default=ErasureStatus.WORKING, editable=False
    )
    reason = models.CharField(max_length=MAX_REASON, editable=False)
    made_by = models.CharField(max_length=MAX_ACTOR, editable=False)
    removed = models.JSONField(default=dict, editable=False)  # how many of what
    kept_count = models.PositiveIntegerField("kept on legal hold", default=0, editable=False)
    kept_cases = models.JSONField("cases on legal hold", default=list, editable=False)
    open_jobs = models.JSONField(default=list, editable=False)  # whose files are removed when they end
    made_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["id"], name="erasure_working", condition=Q(status=ErasureStatus.WORKING)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=(Q(status=ErasureStatus.WORKING, ended_at=None) & ~Q(subject=""))
                | Q(status=ErasureStatus.DONE, ended_at__isnull=False, subject=""),
                name="erasure_forgets_the_id_when_done",
            ),
            models.UniqueConstraint(
                fields=["tenant", "kind", "subject"],
                condition=Q(status=ErasureStatus.WORKING, tenant__isnull=False),
                name="one_working_erasure_of_tenant",
            ),
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(status=ErasureStatus.WORKING, tenant=None),
                name="one_working_erasure_of_nobody",
            ),
        ]

    def __str__(self) -> str:
        return f"erasure {self.pk}"

    def salted(self, value: bytes) -> str:
        """A hash that cannot be guessed from short contents without the salt."""
        return hmac.digest(bytes.fromhex(self.salt), value, "sha256").hex()

    def salted_subject(self, subject: str) -> str:
        return self.salted(f"{self.kind}:{subject}".encode())
