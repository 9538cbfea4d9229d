"""Rows of checks."""

from django.db import models

from inference.engine.backends import SessionOptions
from inference.engine.probed import ProbeFact


class ProbePassQuerySet(models.QuerySet["ProbePass"]):
    def record(self, fact: ProbeFact) -> None:
        self.update_or_create(
            sha256=fact.sha256,
            runtime_version=fact.runtime_version,
            options_digest=fact.options_digest,
            defaults={"provider": fact.provider},
        )

    def fact_for(self, *, sha256: str, runtime_version: str, options: SessionOptions) -> ProbeFact | None:
        """The proof that these bytes load so, if there is one."""
        row = self.filter(
            sha256=sha256, runtime_version=runtime_version, options_digest=options.digest
        ).first()
        return (
            ProbeFact(row.sha256, row.runtime_version, row.provider, row.options_digest)
            if row is not None
            else None
        )


class ProbePass(models.Model):
    """A file that a disposable child has loaded and run: these bytes, this runtime, this provider, these options."""

    sha256 = models.CharField("SHA-256", max_length=64)
    runtime_version = models.CharField(max_length=32)
    provider = models.CharField(max_length=64)
    options_digest = models.CharField(max_length=64)
    at = models.DateTimeField(auto_now_add=True)

    objects = ProbePassQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["sha256", "runtime_version", "options_digest"],
                name="probe_pass_once_per_way_of_loading",
            )
        ]

    def __str__(self) -> str:
        return f"{self.sha256[:12]} on {self.provider} {self.runtime_version}"
