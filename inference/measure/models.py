"""Rows of measurements."""

from django.db import models


class ArmMinute(models.Model):
    """What one process answered for one arm in one minute. Processes add up without loss: buckets are counts."""

    minute = models.DateTimeField()
    process = models.CharField(max_length=100)
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
        indexes = [models.Index(fields=["model_id", "minute"], name="arm_minute_by_model")]

    def __str__(self) -> str:
        return f"model {self.model_id} arm {self.arm or '-'} {self.minute:%H:%M}"
