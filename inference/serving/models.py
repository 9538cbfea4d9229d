"""Serving's tables: which processes have an engine, what each holds, and the pulse of the background tasks."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from registry.catalogue.models import Version

ALIVE_FOR = timedelta(seconds=15)  # a process that has not reported for this long counts as lost
MAX_REASON = 500


class Pulse(models.Model):
    """The last task that a worker took from the broker: proof that beat, broker and worker are alive."""

    worker = models.CharField(max_length=200, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.worker} {self.at:%H:%M:%S}"


class ProcessKind(models.TextChoices):
    WEB = "web"
    WORKER = "worker"
    GRPC = "grpc", "gRPC"


class EngineRole(models.TextChoices):
    SERVES = "serves", "holds the live versions"
    ON_DEMAND = "on_demand", "loads versions on demand"
    FRONT = "front", "passes requests to workers"


class EngineState(models.TextChoices):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class EngineReports(models.QuerySet["EngineReport"]):
    def alive(self) -> "EngineReports":
        return self.filter(lost_at=None, seen_at__gt=Now() - ALIVE_FOR)

    def silent(self) -> "EngineReports":
        """Those that have been silent for too long but have not been marked as lost yet."""
        return self.filter(lost_at=None, seen_at__lte=Now() - ALIVE_FOR)


class EngineReport(models.Model):
    """One process, as it last reported. Times are from the database's clock."""

    id = models.CharField(max_length=32, primary_key=True)
    kind = models.CharField(max_length=6, choices=ProcessKind)
    role = models.CharField(max_length=9, choices=EngineRole)
    pool = models.CharField(max_length=64, blank=True)  # only workers belong to one
    state = models.CharField(max_length=8, choices=EngineState)
    host = models.CharField(max_length=100)
    place = models.CharField(max_length=200, blank=True)
    pid = models.PositiveIntegerField()
    pid_started = models.PositiveBigIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now(), db_index=True)
    lost_at = models.DateTimeField(null=True)
    replaces = models.CharField(max_length=32, blank=True)  # the id of the lost process that it replaces
    # The newest revision of the routes whose versions it has loaded or failed to load; see readiness.
    followed = models.BigIntegerField(default=-1)
    provider_asked = models.CharField(max_length=64, blank=True)
    provider_got = models.CharField(max_length=64, blank=True)
    device = models.CharField(max_length=100, blank=True)
    memory_used_bytes = models.PositiveBigIntegerField(default=0)
    memory_budget_bytes = models.PositiveBigIntegerField(default=0)
    threads = models.PositiveIntegerField(default=0)
    running = models.PositiveIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)

    objects = EngineReports.as_manager()

    class Meta:
        verbose_name = "worker"
        ordering = ["kind", "host", "started_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind=ProcessKind.WORKER) | Q(pool=""), name="engine_only_workers_have_a_pool"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pid} on {self.host}"


class HeldState(models.TextChoices):
    LOADING = "loading"
    WARM = "warm"
    FAILED = "failed"


class HeldUse(models.TextChoices):
    """Why a version is in memory."""

    HELD = "held", "live, or waiting to go live"
    KEPT = "kept", "was live recently; unloaded when memory is needed"
    ON_DEMAND = "on_demand", "was requested by number or alias; unloaded when memory is needed"


class HeldVersion(models.Model):
    """One version in one engine, with the revision of its serving settings."""

    engine = models.ForeignKey(EngineReport, on_delete=models.CASCADE, related_name="held")
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="held_by")
    sha256 = models.CharField("SHA-256", max_length=64)
    serving = models.PositiveIntegerField("revision of the serving settings")
    state = models.CharField(max_length=7, choices=HeldState)
    use = models.CharField(max_length=9, choices=HeldUse)
    footprint_bytes = models.PositiveBigIntegerField(default=0)
    merged_rows = models.PositiveIntegerField("rows of several requests in one run", default=1)
    since = models.DateTimeField(db_default=Now())
    provider_asked = models.CharField(max_length=64, blank=True)
    provider_got = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=MAX_REASON, blank=True)

    class Meta:
        ordering = ["version"]
        constraints = [
            models.UniqueConstraint(fields=["engine", "version"], name="held_version_once_per_engine"),
            models.CheckConstraint(
                condition=Q(state=HeldState.FAILED) & ~Q(reason="")
                | ~Q(state=HeldState.FAILED) & Q(reason=""),
                name="held_version_failed_says_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.state} in {self.engine}"

    @property
    def fell_back(self) -> bool:
        """Whether it runs on a provider other than the preferred one."""
        return bool(self.provider_got) and self.provider_got != self.provider_asked
