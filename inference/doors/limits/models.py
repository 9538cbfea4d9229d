"""Database rows for rate limits."""

from django.db import models


class RateUse(models.Model):
    """How many tokens of a rate all processes have taken in one minute; used without Redis."""

    subject = models.CharField(max_length=64)
    minute = models.BigIntegerField()  # minutes since 1970
    used = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject", "minute"], name="rate_use_once_per_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.minute}: {self.used}"
