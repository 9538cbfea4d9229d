"""Rows of serving."""

from django.db import models


class Pulse(models.Model):
    """The last task that a worker took from the broker: proof that beat, broker and worker are alive."""

    worker = models.CharField(max_length=200, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.worker} {self.at:%H:%M:%S}"
