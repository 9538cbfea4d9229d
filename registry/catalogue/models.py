"""Rows of the catalogue: Models, versions, artifacts, aliases."""

import secrets
from typing import Any, NoReturn

from django.conf import settings
from django.core.validators import (
    MaxLengthValidator,
    MaxValueValidator,
    ProhibitNullCharactersValidator,
    RegexValidator,
)
from django.db import models
from django.db.models import F, Q

from registry.access.models import LimitFields
from registry.catalogue.task_kinds import MAX_TASK, TENSOR
from registry.catalogue.transitions import Status
from registry.errors import Conflict
from registry.kit.text import MAX_REASON

SLUG = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z",
    "Use 1 to 64 lower-case letters, digits and inner hyphens, such as fraud-score.",
)
CHAMPION = "champion"
DEFAULT_POOL = "infer"
MAX_BAKE_MINUTES = 24 * 60
MAX_TITLE, MAX_NOTES, MAX_TAG = 200, 20_000, 64
NO_NUL = ProhibitNullCharactersValidator()  # PostgreSQL cannot store them
NOTES: list[Any] = [
    MaxLengthValidator(MAX_NOTES),
    NO_NUL,
]  # max_length of a text column is enforced only in forms


def new_salt() -> str:
    return secrets.token_hex(16)


class WrittenOnce(models.Model):
    """A row that can be saved once; the few columns that change later are changed by conditional updates in services."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Conflict(f"{self._meta.verbose_name} {self} is immutable; create a new one instead.")
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise Conflict(f"{self._meta.verbose_name} {self} is part of the history and cannot be deleted.")


class Artifact(WrittenOnce):
    """A file, identified by its content: stored under its hash, never under a user-supplied name."""

    sha256 = models.CharField("SHA-256", max_length=64, unique=True, editable=False)
    size_bytes = models.PositiveBigIntegerField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(sha256__regex=r"\A[0-9a-f]{64}\Z"), name="artifact_sha256_is_one"
            ),
        ]

    def __str__(self) -> str:
        return self.sha256[:12]


class KeySource(models.TextChoices):
    """Where the routing key comes from when a request has no X-Routing-Key header."""

    RANDOM = "random", "random: each request separately"
    FIELD = "field", "a named field of the request"
    TENANT = "tenant", "the tenant of the API key"


class Model(LimitFields):
    """A named thing that answers prediction requests. Its URL never changes."""

    slug = models.CharField("name", max_length=64, unique=True, validators=[SLUG])
    title = models.CharField(max_length=MAX_TITLE, blank=True, validators=[NO_NUL])
    notes = models.TextField(
        blank=True, max_length=MAX_NOTES, validators=NOTES, help_text="Markdown; shown as it is written."
    )
    task = models.CharField(max_length=MAX_TASK, default=TENSOR, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="owned_models",
    )
    key_source = models.CharField("routing key", max_length=8, choices=KeySource, default=KeySource.RANDOM)
    key_field = models.CharField("field of the routing key", max_length=100, blank=True, validators=[NO_NUL])
    bake_minutes = models.PositiveSmallIntegerField(
        "keep old version warm (minutes)",
        default=30,
        validators=[MaxValueValidator(MAX_BAKE_MINUTES)],
        help_text="How long a replaced version stays loaded, so that rolling back to it is immediate.",
    )
    pool = models.CharField(
        max_length=64,
        default=DEFAULT_POOL,
        validators=[SLUG],
        help_text="The workers that serve this Model, if predictions run on workers.",
    )
    needs_approval = models.BooleanField(
        "needs a second person's approval",
        default=True,
        editable=False,
        help_text="Whether a second person must approve before a version gains live share.",
    )
    salt = models.CharField(max_length=64, default=new_salt, editable=False)
    split_revision = models.PositiveIntegerField("number of the newest split", default=0, editable=False)
    # The route clock's number for its last change; every change to a Model, its versions or splits gets a new one.
    route_revision = models.PositiveBigIntegerField(default=0, db_index=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(LimitFields.Meta):
        ordering = ["slug"]
        constraints = [
            *LimitFields.Meta.constraints,
            models.CheckConstraint(
                condition=Q(slug__regex=r"\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\Z"), name="model_slug_is_one"
            ),
            models.CheckConstraint(
                condition=(Q(key_source=KeySource.FIELD) & ~Q(key_field=""))
                | (~Q(key_source=KeySource.FIELD) & Q(key_field="")),
                name="model_key_field_only_for_field",
            ),
            models.CheckConstraint(condition=~Q(salt=""), name="model_salt_is_there"),
            models.CheckConstraint(
                condition=Q(pool__regex=r"\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\Z"), name="model_pool_is_one"
            ),
            models.CheckConstraint(
                condition=Q(bake_minutes__lte=MAX_BAKE_MINUTES), name="model_bake_ends_within_a_day"
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def revision(self) -> int:
        return self.route_revision


class Tag(models.Model):
    """A word that groups Models."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=MAX_TAG, db_index=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="tag_once_per_model")]

    def __str__(self) -> str:
        return self.name


class Version(WrittenOnce):
    """An immutable artifact of a Model with its task configuration; the check adds the signature once."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(editable=False)
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="versions")
    task_config = models.JSONField(default=dict, editable=False)
    # Files that the task needs, such as tokenizer.json: the SHA-256 of each, by name.
    task_files = models.JSONField(default=dict, editable=False)
    # Set by the check together with the signature.
    preprocessing = models.CharField("pre-processing hash", max_length=16, blank=True, editable=False)
    may_pad = models.BooleanField(
        default=True, editable=False
    )  # whether padding leaves its answers as they are
    # Sizes of inputs by name, set by the uploader and used by checks and warm-ups.
    input_shapes = models.JSONField(default=dict, editable=False)
    # If the artifact was converted from another format: the file that was sent, its format, and what its owner stated of it.
    # Until the check has converted it, the artifact is that file; the lineage is in `origin` under `converted`.
    source = models.ForeignKey(
        Artifact, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    source_format = models.CharField(max_length=16, blank=True, editable=False)
    source_options = models.JSONField(default=dict, editable=False)
    # If the artifact is not exactly the file that was sent: the `files` sent, and the `changes` made, in sentences.
    # And `training`, where it comes from, if that was stated: run_url, git_commit, data_set, metrics, tags.
    # If it was imported from a bundle: `bundles`, the installations that it came through, the last one last.
    origin = models.JSONField(default=dict, editable=False)
    derived_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="derived", editable=False
    )
    notes = models.TextField(blank=True, max_length=MAX_NOTES, validators=NOTES, editable=False)
    status = models.CharField(max_length=8, choices=Status, default=Status.UPLOADED, editable=False)
    signature = models.JSONField(null=True, editable=False)
    # When the version was marked as broken for crashing processes; a person may clear it.
    broken_at = models.DateTimeField(null=True, editable=False)
    failure = models.CharField(max_length=MAX_REASON, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_by = models.CharField("made by", max_length=200, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["model", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="version_number_per_model"),
            models.CheckConstraint(condition=Q(number__gte=1), name="version_number_from_1"),
            models.CheckConstraint(
                condition=~Q(status=Status.READY) | (Q(signature__isnull=False) & Q(failure="")),
                name="version_ready_has_signature",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.FAILED) | ~Q(failure=""), name="version_failed_says_why"
            ),
            models.CheckConstraint(
                condition=Q(source__isnull=True, source_format="")
                | (Q(source__isnull=False) & ~Q(source_format="")),
                name="version_source_has_a_format",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.READY) | Q(source__isnull=True) | ~Q(source=F("artifact")),
                name="version_ready_is_converted",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=[Status.UPLOADED, Status.CHECKING]) | Q(failure=""),
                name="version_unchecked_has_no_failure",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.slug} {self.number}"

    @property
    def awaits_conversion(self) -> bool:
        return self.source_id is not None and self.source_id == self.artifact_id

    @property
    def is_servable(self) -> bool:
        return self.status == Status.READY

    @property
    def is_broken(self) -> bool:
        return self.broken_at is not None

    @property
    def has_crashed(self) -> bool:
        """Whether it has crashed a process and the crash has not been cleared."""
        return self.uncleared_crashes.exists()

    @property
    def uncleared_crashes(self) -> "models.QuerySet[VersionCrash]":
        return self.crashes.filter(cleared_at=None)


class VersionCrash(WrittenOnce):
    """A native crash of a process that was running the version."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="crashes")
    signal = models.CharField(max_length=16, editable=False)
    process = models.CharField(max_length=16, editable=False)  # web, worker, grpc, or a child of one
    source = models.CharField(max_length=100, unique=True, editable=False)  # identifies the process
    crashed_at = models.DateTimeField(editable=False)
    cleared_at = models.DateTimeField(null=True, editable=False)  # the crash counts until then

    class Meta:
        verbose_name = "crash"
        verbose_name_plural = "crashes"
        ordering = ["-crashed_at", "-id"]

    def __str__(self) -> str:
        return f"{self.version} {self.signal} in {self.process}"


class ServingSettings(WrittenOnce):
    """Settings of a version that can change without creating a new version. One row per change; one is current."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="serving_settings")
    revision = models.PositiveIntegerField(editable=False)
    is_current = models.BooleanField(default=True, editable=False)
    values = models.JSONField(editable=False)
    reason = models.CharField(max_length=MAX_REASON, editable=False)
    made_by = models.CharField("made by", max_length=200, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = verbose_name_plural = "serving settings"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "revision"], name="serving_revision_per_version"),
            models.UniqueConstraint(
                fields=["version"], condition=Q(is_current=True), name="one_current_serving_per_version"
            ),
            models.CheckConstraint(condition=Q(revision__gte=1), name="serving_revision_from_1"),
        ]

    def __str__(self) -> str:
        return f"{self.version} r{self.revision}"


class Alias(models.Model):
    """A movable name for a version. A retired alias points nowhere and keeps its history."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="aliases")
    name = models.CharField(max_length=64, validators=[SLUG])
    version = models.ForeignKey(
        Version, null=True, blank=True, on_delete=models.PROTECT, related_name="aliases"
    )
    revision = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ["model", "name"]
        constraints = [
            models.UniqueConstraint(fields=["model", "name"], name="alias_name_per_model"),
            models.CheckConstraint(
                condition=Q(name__regex=r"\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\Z"), name="alias_name_is_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.slug}@{self.name}"


class AliasMove(WrittenOnce):
    """Where an alias pointed, for how long, and who moved it there and why."""

    alias = models.ForeignKey(Alias, on_delete=models.PROTECT, related_name="moves")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    from_at = models.DateTimeField("from")
    to_at = models.DateTimeField("to", null=True)
    moved_by = models.CharField("moved by", max_length=200)
    reason = models.CharField(max_length=MAX_REASON)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["alias"], condition=Q(to_at__isnull=True), name="one_open_move_per_alias"
            ),
            models.CheckConstraint(
                condition=Q(to_at__isnull=True) | Q(to_at__gte=F("from_at")),
                name="alias_move_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.alias} → {self.version.number}"


class AliasGuard(models.Model):
    """Who may move the alias with this name, which need not exist yet. Without a guard, anyone with the right may."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="alias_guards")
    name = models.CharField(max_length=64, validators=[SLUG])
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    keys = models.ManyToManyField("registry.ApiKey", blank=True, related_name="+")
    revision = models.PositiveIntegerField(default=1, editable=False)
    reason = models.CharField(max_length=MAX_REASON, editable=False)
    made_by = models.CharField("made by", max_length=200, editable=False)
    made_at = models.DateTimeField("made at", editable=False)

    class Meta:
        ordering = ["model", "name"]
        constraints = [
            models.UniqueConstraint(fields=["model", "name"], name="alias_guard_per_name"),
            models.CheckConstraint(
                condition=Q(name__regex=r"\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\Z"),
                name="alias_guard_name_is_one",
            ),
            models.CheckConstraint(condition=~Q(name=CHAMPION), name="alias_guard_not_of_champion"),
            models.CheckConstraint(condition=~Q(reason=""), name="alias_guard_says_why"),
        ]

    def __str__(self) -> str:
        return f"guard of {self.model.slug}@{self.name}"


class RouteClock(models.Model):
    """One row: the number and the time of the last change that routing depends on."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    revision = models.PositiveBigIntegerField(default=0)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="route_clock_is_one_row")]

    def __str__(self) -> str:
        return str(self.revision)
