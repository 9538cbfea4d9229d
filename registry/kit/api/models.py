"""Database models of the API."""

from django.db import models
from django.db.models import Q


class IdempotencyRecord(models.Model):
    """A request that creates something and may be repeated, with its answer."""

    principal = models.CharField(max_length=40)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    # While the request is running: its runner, and the time until which no other runner may try.
    runner = models.CharField(max_length=32)
    leased_until = models.DateTimeField()
    # When it has finished:
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["principal", "key"], name="idempotency_key_per_principal"),
            models.CheckConstraint(
                condition=Q(status__isnull=True) | Q(status__gte=200, status__lt=500),
                name="idempotency_keeps_final_answers",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.principal} {self.key}"
