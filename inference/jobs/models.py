"""Rows of jobs."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from inference.jobs.transitions import ChunkStatus, Status
from registry.access.models import ApiKey, Tenant
from registry.catalogue.models import Model, Version
from registry.kit.text import MAX_REASON

MAX_NAME = 200


class Source(models.TextChoices):
    """Where the rows of a job come from."""

    ROWS = "rows", "in the request"
    FILE = "file", "a file that was sent"
    STORE = "store", "a file in a named store"


class Format(models.TextChoices):
    JSONL = "jsonl"
    CSV = "csv"
    NPZ = "npz"
    PARQUET = "parquet"


class Job(models.Model):
    """An asynchronous prediction by one version, which was fixed when the job was accepted.

    Its rows are cut into chunks, which workers take. What became of it is in the chunks; the counts here are sums
    of them, so that a list of jobs reads one table.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="jobs", editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="jobs", editable=False)
    status = models.CharField(max_length=9, choices=Status, default=Status.QUEUED, editable=False)
    failure = models.CharField(max_length=MAX_REASON, blank=True, editable=False)

    made_by = models.CharField("made by", max_length=MAX_NAME, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)

    order_digest = models.CharField(max_length=64, editable=False)  # tells a repeated order from another
    source = models.CharField(max_length=5, choices=Source, editable=False)
    input_format = models.CharField(max_length=7, choices=Format, editable=False)
    is_gzipped = models.BooleanField(default=False, editable=False)
    input_ref = models.CharField(
        max_length=500, blank=True, editable=False
    )  # as inference.jobs.stores names it
    input_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    output_format = models.CharField(max_length=7, choices=Format, editable=False)
    output_ref = models.CharField(max_length=500, blank=True, editable=False)  # empty: the job's own folder
    contract = models.JSONField(default=dict, editable=False)  # as inference.rows reads it
    on_done = models.JSONField(null=True, editable=False)  # {"task", "queue"} of the sender's own Celery

    chunk_rows = models.PositiveIntegerField(editable=False)
    is_planned = models.BooleanField(default=False, editable=False)  # all chunks are there
    rows_total = models.PositiveBigIntegerField(default=0, editable=False)
    rows_done = models.PositiveBigIntegerField(default=0, editable=False)
    rows_bad = models.PositiveBigIntegerField(
        default=0, editable=False
    )  # left out, each with a line in the errors file
    chunks_total = models.PositiveIntegerField(default=0, editable=False)
    chunks_done = models.PositiveIntegerField(default=0, editable=False)
    chunks_stuck = models.PositiveIntegerField(default=0, editable=False)  # failed or dead

    # When a worker last took a chunk, or it was accepted: jobs take turns.
    served_at = models.DateTimeField(db_default=Now(), editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    # How long somebody had a part of it, up to when the last one was let go; and since when somebody has one now.
    worked = models.DurationField(default=timedelta(0), editable=False)
    working_since = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(editable=False)  # inputs and results are kept until then
    # When its results were written to `output_ref`, or it was given up; `failure` says why.
    delivered_at = models.DateTimeField(null=True, editable=False)
    told_at = models.DateTimeField(null=True, editable=False)  # when the sender's own Celery was called

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["served_at"],
                name="job_turns",
                condition=Q(status__in=[Status.QUEUED, Status.RUNNING]),
            ),
            models.Index(fields=["-created_at"], name="job_newest"),
            models.Index(fields=["model", "-created_at"], name="job_of_model"),
            models.Index(fields=["tenant", "-created_at"], name="job_of_tenant"),
            models.Index(fields=["expires_at"], name="job_expires"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status=Status.FAILED) | ~Q(failure=""), name="job_failed_says_why"
            ),
            models.CheckConstraint(
                condition=Q(status__in=[Status.QUEUED, Status.RUNNING], ended_at__isnull=True)
                | Q(status__in=[Status.DONE, Status.FAILED, Status.CANCELLED], ended_at__isnull=False),
                name="job_ended_at_fits_status",
            ),
            models.CheckConstraint(
                condition=Q(rows_total__gte=F("rows_done") + F("rows_bad")) | Q(is_planned=False),
                name="job_counts_no_row_twice",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Chunk(models.Model):
    """A part of a job that one worker does at a time, with the right to write its result.

    Most are rows to be answered. One is a plan: a look through the file that cuts it into the others.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="chunks", editable=False)
    is_plan = models.BooleanField(default=False, editable=False)
    index = models.PositiveIntegerField(editable=False)
    status = models.CharField(max_length=9, choices=ChunkStatus, default=ChunkStatus.WAITING, editable=False)
    failure = models.CharField(max_length=MAX_REASON, blank=True, editable=False)

    first_row = models.PositiveBigIntegerField(editable=False)
    rows = models.PositiveIntegerField(editable=False)
    byte_from = models.PositiveBigIntegerField(default=0, editable=False)
    byte_to = models.PositiveBigIntegerField(default=0, editable=False)
    inputs = models.JSONField(null=True, editable=False)  # rows that came in the request

    attempt = models.PositiveIntegerField(default=0, editable=False)  # the fencing token
    holder = models.CharField(max_length=MAX_NAME, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    leases_lost = models.PositiveIntegerField(default=0, editable=False)
    runs_alone = models.BooleanField(default=False, editable=False)

    results = models.JSONField(null=True, editable=False)  # small ones
    results_ref = models.CharField(max_length=500, blank=True, editable=False)
    errors_ref = models.CharField(max_length=500, blank=True, editable=False)
    rows_done = models.PositiveIntegerField(default=0, editable=False)
    rows_bad = models.PositiveIntegerField(default=0, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["job", "index"]
        indexes = [
            models.Index(fields=["lease_until"], name="chunk_leases", condition=Q(status=ChunkStatus.LEASED)),
            models.Index(fields=["job", "status", "index"], name="chunk_turns"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["job", "is_plan", "index"], name="chunk_index_per_job"),
            models.CheckConstraint(
                condition=~Q(status__in=[ChunkStatus.FAILED, ChunkStatus.DEAD]) | ~Q(failure=""),
                name="chunk_stuck_says_why",
            ),
            models.CheckConstraint(
                condition=(Q(status=ChunkStatus.LEASED, lease_until__isnull=False) & ~Q(holder=""))
                | (~Q(status=ChunkStatus.LEASED) & Q(lease_until__isnull=True, holder="")),
                name="chunk_leased_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} {'plan' if self.is_plan else self.index}"
