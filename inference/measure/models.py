"""Rows of measurements."""

from django.db import models
from django.db.models import Q


class ArmMinute(models.Model):
    """The requests of one arm in the minute that begins at `minute`, for one process or merged (`compaction`)."""

    minute = models.DateTimeField()
    minutes = models.PositiveSmallIntegerField(default=1)  # how long: 1, or 60 for a merged hour
    process = models.CharField(max_length=100, blank=True)  # empty in a merged row
    model_id = models.BigIntegerField()  # not a foreign key: measurements outlive their Model
    split = models.PositiveIntegerField()
    arm = models.CharField(max_length=2, blank=True)
    version_id = models.BigIntegerField()
    ok = models.PositiveIntegerField()
    errors = models.PositiveIntegerField()
    refused = models.PositiveIntegerField()
    seconds = models.FloatField()
    buckets = models.JSONField()
    codes = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))

    class Meta:
        indexes = [
            models.Index(fields=["model_id", "minute"], name="arm_minute_by_model"),
            models.Index(fields=["minutes", "minute"], name="arm_minute_by_age"),
            models.Index(fields=["minute"], condition=Q(process__gt=""), name="arm_minute_of_a_process"),
        ]

    def __str__(self) -> str:
        return f"model {self.model_id} arm {self.arm or '-'} {self.minute:%H:%M}"
