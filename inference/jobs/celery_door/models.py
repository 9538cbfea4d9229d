"""Rows of what the Celery door refused."""

from django.db import models

from registry.access.models import ApiKey
from registry.kit.text import MAX_REASON

MAX_SENDER = 200


class RefusedOrder(models.Model):
    """An order that came through Celery and became no job. There is no answer to a message: this row is it."""

    task_id = models.CharField("task id", max_length=36, blank=True, editable=False)
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    sender = models.CharField(max_length=MAX_SENDER, editable=False)
    model_slug = models.CharField("Model", max_length=64, blank=True, editable=False)
    code = models.CharField(max_length=64, editable=False)
    why = models.CharField(max_length=MAX_REASON, editable=False)
    on_done = models.JSONField(null=True, editable=False)  # only where the signature holds
    created_at = models.DateTimeField(auto_now_add=True)
    told_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["-created_at"], name="refused_lately")]

    def __str__(self) -> str:
        return f"{self.task_id or 'a message'}: {self.code}"
