"""What the checks store."""

from django.db import models

from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.batch_proof import BatchProof
from inference.engine.warmup import MemoryUse
from inference.tensors.samples import Sample


class ProbePassQuerySet(models.QuerySet["ProbePass"]):
    def record(
        self,
        fact: ProbeFact,
        *,
        sample: Sample | None = None,
        memory: MemoryUse | None = None,
        batches: BatchProof | None = None,
    ) -> None:
        """Save a passed probe and what was measured for the same way of loading. Values that are not given are kept."""
        measured = {"sample": sample, "memory": memory, "batches": batches}
        self.update_or_create(
            sha256=fact.sha256,
            runtime_version=fact.runtime_version,
            options_digest=fact.options_digest,
            defaults={
                "provider": fact.provider,
                **{name: value.to_json() for name, value in measured.items() if value is not None},
            },
        )

    def found_for(self, *, sha256: str, runtime_version: str, options: SessionOptions) -> "ProbePass | None":
        """What is known about these bytes, loaded this way."""
        return self.filter(
            sha256=sha256, runtime_version=runtime_version, options_digest=options.digest
        ).first()

    def newest(self, sha256: str) -> "ProbePass | None":
        """The latest result for these bytes."""
        return self.filter(sha256=sha256, sample__isnull=False).order_by("-at", "-pk").first()


class ProbePass(models.Model):
    """The result for a file that a disposable child has loaded and run with this runtime, provider and options.

    The JSON fields are null until a check has measured them for this way of loading.
    """

    sha256 = models.CharField("SHA-256", max_length=64)
    runtime_version = models.CharField(max_length=32)
    provider = models.CharField(max_length=64)
    options_digest = models.CharField(max_length=64)
    sample = models.JSONField(null=True)  # what it ran on
    memory = models.JSONField(null=True)  # by batch size
    batches = models.JSONField(null=True)  # its batch proof
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

    @property
    def found_sample(self) -> Sample | None:
        return Sample.from_json(self.sample) if self.sample is not None else None

    @property
    def found_memory(self) -> MemoryUse | None:
        return MemoryUse.from_json(self.memory) if self.memory is not None else None

    @property
    def found_batches(self) -> BatchProof | None:
        return BatchProof.from_json(self.batches) if self.batches is not None else None
