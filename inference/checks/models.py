"""Rows of checks."""

from django.db import models


class ProbePass(models.Model):
    """A file that a disposable child has loaded and run: these bytes, this runtime, this provider, these options."""

    sha256 = models.CharField("SHA-256", max_length=64)
    runtime_version = models.CharField(max_length=32)
    provider = models.CharField(max_length=64)
    options_digest = models.CharField(max_length=64)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["sha256", "runtime_version", "options_digest"],
                name="probe_pass_once_per_way_of_loading",
            )
        ]

    def __str__(self) -> str:
        return f"{self.sha256[:12]} on {self.provider} {self.runtime_version}"
