"""Rows of measurements."""

from django.db import models
from django.db.models import Q


class ArmMinute(models.Model):
    """What was answered for one arm from `minute` on, in one minute by one process, or in the sum of several such rows.

    Rows add up without loss, whatever is told apart by them: buckets are counts. See merging.
    """

    minute = models.DateTimeField()
    minutes = models.PositiveSmallIntegerField(default=1)  # how long: 1, or 60 where an hour is added up
    process = models.CharField(max_length=100, blank=True)  # empty in a sum
    model_id = models.BigIntegerField()  # plain numbers: a measurement outlives what it measured
    split = models.PositiveIntegerField()
    arm = models.CharField(max_length=2, blank=True)
    version_id = models.BigIntegerField()
    ok = models.PositiveIntegerField()
    errors = models.PositiveIntegerField()
    refused = models.PositiveIntegerField()
    seconds = models.FloatField()
    buckets = models.JSONField()

    class Meta:
        indexes = [
            models.Index(fields=["model_id", "minute"], name="arm_minute_by_model"),
            models.Index(fields=["minutes", "minute"], name="arm_minute_by_age"),
            models.Index(fields=["minute"], condition=Q(process__gt=""), name="arm_minute_of_a_process"),
        ]

    def __str__(self) -> str:
        return f"model {self.model_id} arm {self.arm or '-'} {self.minute:%H:%M}"
