"""Rows of checks."""

from django.db import models

from inference.engine.backends import SessionOptions
from inference.engine.batch_proof import BatchProof
from inference.engine.probed import ProbeFact


class ProbePassQuerySet(models.QuerySet["ProbePass"]):
    def record(self, fact: ProbeFact, batches: BatchProof | None = None) -> None:
        """Keep a passed probe, and the batch proof of the same way of loading where there is a new one."""
        proof = {"batches": batches.to_json()} if batches is not None else {}
        self.update_or_create(
            sha256=fact.sha256,
            runtime_version=fact.runtime_version,
            options_digest=fact.options_digest,
            defaults={"provider": fact.provider, **proof},
        )

    def batch_proof_for(self, fact: ProbeFact) -> BatchProof | None:
        """How many rows of different requests may share a run, if that has been looked at."""
        told = self._of(fact.sha256, fact.runtime_version, fact.options_digest).values_list("batches").first()
        return BatchProof.from_json(told[0]) if told is not None and told[0] is not None else None

    def fact_for(self, *, sha256: str, runtime_version: str, options: SessionOptions) -> ProbeFact | None:
        """The proof that these bytes load so, if there is one."""
        row = self._of(sha256, runtime_version, options.digest).first()
        return row.fact if row is not None else None

    def _of(self, sha256: str, runtime_version: str, options_digest: str) -> "ProbePassQuerySet":
        return self.filter(sha256=sha256, runtime_version=runtime_version, options_digest=options_digest)


class ProbePass(models.Model):
    """A file that a disposable child has loaded and run: these bytes, this runtime, this provider, these options.

    `batches`: its batch proof for this way of loading; null where nobody has looked yet.
    """

    sha256 = models.CharField("SHA-256", max_length=64)
    runtime_version = models.CharField(max_length=32)
    provider = models.CharField(max_length=64)
    options_digest = models.CharField(max_length=64)
    batches = models.JSONField(null=True)
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

    @property
    def fact(self) -> ProbeFact:
        return ProbeFact(self.sha256, self.runtime_version, self.provider, self.options_digest)
