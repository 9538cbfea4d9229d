"""Jobs, their chunks, and the stores that they may read and write."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Now

from inference.jobs.transitions import ChunkStatus, Status
from registry.access.models import TENANT_SLUG, ApiKey, Tenant
from registry.catalogue.models import DEFAULT_POOL, Model, Version
from registry.kit.text import MAX_REASON

MAX_NAME, MAX_KIND = 200, 32
PREDICTION = "prediction"  # the kind of job that has a Model and a version
POOL_OF_JOB = Coalesce(F("model__pool"), Value(DEFAULT_POOL))  # see `Job.pool`


class InputSource(models.TextChoices):
    """Where the rows of a job come from."""

    ROWS = "rows", "in the request"
    FILE = "file", "uploaded file"
    STORE = "store", "file in job storage"


class Format(models.TextChoices):
    JSONL = "jsonl"
    CSV = "csv"
    NPZ = "npz"
    PARQUET = "parquet"
    ZIP = "zip", "zip of pictures"


RESULT_FORMATS = [choice for choice in Format.choices if choice[0] != Format.ZIP]


class Job(models.Model):
    """Many rows that workers answer: with one version, fixed when the job was accepted, or as its kind says.

    Its rows are divided into chunks, which workers process. The counts are sums over the chunks, so that listing jobs
    reads only one table.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(
        max_length=MAX_KIND, default=PREDICTION, editable=False
    )  # see inference.jobs.kinds
    model = models.ForeignKey(Model, null=True, on_delete=models.PROTECT, related_name="jobs", editable=False)
    version = models.ForeignKey(
        Version, null=True, on_delete=models.PROTECT, related_name="jobs", editable=False
    )
    options = models.JSONField(default=dict, editable=False)  # of its kind
    status = models.CharField(max_length=9, choices=Status, default=Status.QUEUED, editable=False)
    failure = models.CharField(max_length=MAX_REASON, blank=True, editable=False)

    made_by = models.CharField("made by", max_length=MAX_NAME, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)

    order_digest = models.CharField(max_length=64, editable=False)  # recognizes the same job sent twice
    source = models.CharField(max_length=5, choices=InputSource, editable=False)
    input_format = models.CharField(max_length=7, choices=Format, editable=False)
    is_gzipped = models.BooleanField(default=False, editable=False)
    input_ref = models.CharField(max_length=500, blank=True, editable=False)  # see inference.jobs.storage
    input_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    output_format = models.CharField(max_length=7, choices=RESULT_FORMATS, editable=False)
    output_ref = models.CharField(max_length=500, blank=True, editable=False)  # empty: the job's own folder
    contract = models.JSONField(default=dict, editable=False)  # see inference.rows.contract
    on_done = models.JSONField(null=True, editable=False)  # {"task", "queue"} of the sender's own Celery

    chunk_rows = models.PositiveIntegerField(editable=False)
    is_planned = models.BooleanField(default=False, editable=False)  # all chunks exist
    rows_total = models.PositiveBigIntegerField(default=0, editable=False)
    rows_done = models.PositiveBigIntegerField(default=0, editable=False)
    rows_bad = models.PositiveBigIntegerField(default=0, editable=False)  # each has a line in the errors file
    chunks_total = models.PositiveIntegerField(default=0, editable=False)
    chunks_done = models.PositiveIntegerField(default=0, editable=False)
    chunks_stuck = models.PositiveIntegerField(default=0, editable=False)  # failed or dead

    # When a worker last took a chunk (at first, when the job was accepted). Jobs take turns in this order.
    served_at = models.DateTimeField(db_default=Now(), editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    # Working time accumulated so far, and since when workers have held chunks without a break (null: none do).
    worked = models.DurationField(default=timedelta(0), editable=False)
    working_since = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(editable=False)  # inputs and results are removed then
    # When the results were written to `output_ref`, or when delivery was abandoned (`failure` says why).
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
                condition=Q(kind=PREDICTION, model__isnull=False, version__isnull=False)
                | (~Q(kind=PREDICTION) & Q(model__isnull=True, version__isnull=True)),
                name="job_has_version_if_prediction",
            ),
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

    @property
    def pool(self) -> str:
        """Whose workers process it."""
        return self.model.pool if self.model is not None else DEFAULT_POOL


class Chunk(models.Model):
    """A part of a job. One worker at a time processes it, and only that worker may write its result.

    Most chunks hold rows to predict. One is the plan: its worker reads the file and creates the other chunks.
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
    inputs = models.JSONField(null=True, editable=False)  # rows sent in the request

    attempt = models.PositiveIntegerField(default=0, editable=False)  # the fencing token
    holder = models.CharField(max_length=MAX_NAME, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    leases_lost = models.PositiveIntegerField(default=0, editable=False)
    runs_alone = models.BooleanField(default=False, editable=False)

    results = models.JSONField(null=True, editable=False)  # if small
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


class StoreKind(models.TextChoices):
    FOLDER = "folder"
    S3 = "s3", "S3 bucket"


class Store(models.Model):
    """A folder or bucket that jobs may read or write. Its files belong to its owner; we never remove them."""

    name = models.CharField(max_length=64, unique=True, validators=[TENANT_SLUG])
    kind = models.CharField(max_length=6, choices=StoreKind)
    root = models.CharField(
        max_length=300,
        help_text="Bucket name, or absolute path of a folder inside ROUNDHOUSE_JOB_FOLDERS.",
    )
    prefix = models.CharField(
        max_length=200, blank=True, help_text="Jobs can only access files below this path."
    )
    may_read = models.BooleanField("jobs may read", default=True)
    may_write = models.BooleanField("jobs may write", default=False)
    for_people = models.BooleanField(
        "for people", default=False, help_text="People who may predict in the admin can use it."
    )
    tenants = models.ManyToManyField(
        Tenant,
        blank=True,
        related_name="stores",
        help_text="API keys of these tenants can use it.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = verbose_name_plural = "job storage"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=~Q(root=""), name="store_has_root"),
            models.CheckConstraint(
                condition=Q(may_read=True) | Q(may_write=True), name="store_is_good_for_something"
            ),
        ]

    def __str__(self) -> str:
        return self.name
