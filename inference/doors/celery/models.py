"""Jobs that the Celery door rejected."""

from django.db import models

from registry.access.models import ApiKey
from registry.kit.text import MAX_REASON

MAX_SENDER = 200


class RefusedOrder(models.Model):
    """A job that was submitted through Celery and rejected. Messages get no response, so this row keeps the reason."""

    task_id = models.CharField("task id", max_length=36, blank=True, editable=False)
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    sender = models.CharField(max_length=MAX_SENDER, editable=False)
    model_slug = models.CharField("Model", max_length=64, blank=True, editable=False)
    code = models.CharField(max_length=64, editable=False)
    why = models.CharField(max_length=MAX_REASON, editable=False)
    on_done = models.JSONField(null=True, editable=False)  # only if the signature is valid
    created_at = models.DateTimeField(auto_now_add=True)
    told_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "rejected job"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["-created_at"], name="refused_lately")]

    def __str__(self) -> str:
        return f"{self.task_id or 'a message'}: {self.code}"
