"""Decisions, and the contents that they are about, which are kept apart so that they can go first."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from moderation.deciding.contents import MAX_ID, MAX_URL
from moderation.policies.models import MAX_CONTEXT, Policy, PolicyRevision
from moderation.policies.rules import Ruling
from registry.access.models import ApiKey, Tenant

RULINGS = [(ruling.value, ruling.value) for ruling in Ruling]


class Awaits(models.TextChoices):
    """What has to be made of a decision that was just stored."""

    NOTHING = "", "nothing"
    CASE = "case"  # a person is needed
    FINAL = "final"  # it stands without a person


class Decision(models.Model):
    """What a revision of a policy says about one content.

    Of the decisions about one `content_id` of a tenant, the one that was received last counts. `findings` are what the
    detectors said, so that other revisions can decide it again; `evidence` is what this revision made of it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="decisions", editable=False)
    revision = models.ForeignKey(PolicyRevision, on_delete=models.PROTECT, related_name="+", editable=False)
    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    ruling = models.CharField("decision", max_length=6, choices=RULINGS, editable=False)
    shadow_ruling = models.CharField(max_length=6, choices=RULINGS, editable=False)
    codes = models.JSONField("violations", default=list, editable=False)
    evidence_count = models.PositiveIntegerField(default=0, editable=False)
    evidence = models.BinaryField(editable=False)
    findings = models.BinaryField(editable=False)
    text_score = models.FloatField(null=True, editable=False)
    image_score = models.FloatField(null=True, editable=False)

    content_id = models.CharField(max_length=MAX_ID, blank=True, editable=False)
    author_id = models.CharField(max_length=MAX_ID, blank=True, editable=False)
    context = models.CharField(max_length=MAX_CONTEXT, blank=True, editable=False)
    language = models.CharField(max_length=8, blank=True, editable=False)
    thread = models.CharField(max_length=MAX_ID, blank=True, editable=False)
    url = models.CharField(max_length=MAX_URL, blank=True, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)  # of the content

    received_at = models.DateTimeField(editable=False)
    decided_at = models.DateTimeField(editable=False)
    redecides = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="redecided_by", editable=False
    )
    # In review, and something failed that may pass: decided again by itself. `next_try_at` is set as long as that is so.
    is_held = models.BooleanField("held", default=False, editable=False)
    tries = models.PositiveIntegerField(default=0, editable=False)
    next_try_at = models.DateTimeField(null=True, editable=False)
    awaits = models.CharField(max_length=5, choices=Awaits, blank=True, editable=False)
    audit_weight = models.FloatField(null=True, editable=False)  # of audited ones: how many it stands for

    class Meta:
        ordering = ["-received_at", "-decided_at"]
        indexes = [
            models.Index(fields=["tenant", "content_id", "-received_at"], name="decision_of_content"),
            models.Index(fields=["policy", "-received_at"], name="decision_of_policy"),
            models.Index(fields=["-received_at"], name="decision_newest"),
            models.Index(fields=["tenant", "-id"], name="decision_list_of_tenant"),
            models.Index(fields=["policy", "-id"], name="decision_list_of_policy"),
            models.Index(fields=["tenant", "author_id", "-id"], name="decision_list_of_author"),
            models.Index(
                fields=["tenant", "thread", "received_at"], name="decision_of_thread", condition=~Q(thread="")
            ),
            models.Index(
                fields=["next_try_at"], name="decision_held", condition=Q(next_try_at__isnull=False)
            ),
            models.Index(fields=["id"], name="decision_awaits_case", condition=Q(awaits=Awaits.CASE)),
            models.Index(fields=["id"], name="decision_awaits_final", condition=Q(awaits=Awaits.FINAL)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(ruling=Ruling.BLOCK.value) | Q(evidence_count__gt=0),
                name="decision_blocks_with_evidence",
            ),
            models.CheckConstraint(
                condition=Q(is_held=False, next_try_at=None)
                | Q(is_held=True, next_try_at__isnull=False, ruling=Ruling.REVIEW.value),
                name="decision_held_is_tried_again",
            ),
        ]

    def __str__(self) -> str:
        return self.request_id

    @property
    def request_id(self) -> str:
        return self.id.hex

    @property
    def callers_request_id(self) -> str:
        """The one that the caller was answered with. A content that was held is decided again under another id."""
        return (self.redecides_id or self.id).hex


class StoredContent(models.Model):
    """The words of a decided content."""

    decision = models.OneToOneField(
        Decision, primary_key=True, on_delete=models.CASCADE, related_name="content", editable=False
    )
    text = models.TextField(blank=True, editable=False)
    title = models.TextField(blank=True, editable=False)

    def __str__(self) -> str:
        return f"content of {self.decision_id}"


class StoredPicture(models.Model):
    """A picture of a decided content. Of an allowed one that no person looks at, only the URL is kept, if there is one."""

    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="pictures", editable=False)
    number = models.PositiveSmallIntegerField(editable=False)
    url = models.CharField(max_length=MAX_URL, blank=True, editable=False)
    file = models.BinaryField(null=True, editable=False)

    class Meta:
        ordering = ["decision", "number"]
        constraints = [
            models.UniqueConstraint(fields=["decision", "number"], name="picture_number_per_decision")
        ]

    def __str__(self) -> str:
        return f"picture {self.number} of {self.decision_id}"


class RunStatus(models.TextChoices):
    """How far a comparison in the background is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class BackgroundComparison(models.Model):
    """A comparison of stored decisions with what they would be. A worker fills in the result."""

    status = models.CharField(max_length=7, choices=RunStatus, default=RunStatus.WAITING, editable=False)
    done = models.PositiveIntegerField(default=0, editable=False)
    total = models.PositiveIntegerField(default=0, editable=False)
    result = models.JSONField(null=True, editable=False)
    failure = models.CharField(max_length=500, blank=True, editable=False)
    made_at = models.DateTimeField(auto_now_add=True)
    progress_at = models.DateTimeField(default=timezone.now, editable=False)  # when it last got further
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True


class PolicyPreview(BackgroundComparison):
    """What a draft would change in the decisions that its policy made."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="previews", editable=False)
    content = models.JSONField(editable=False)
    draft_edits = models.PositiveIntegerField(editable=False)
    made_by = models.CharField(max_length=200, editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"preview of {self.policy}"


class DetectorTrial(BackgroundComparison):
    """What another version of a detector would change in stored decisions."""

    version = models.ForeignKey(
        "registry.Version", on_delete=models.CASCADE, related_name="+", editable=False
    )
    compared_with = models.ForeignKey(
        "registry.Version", null=True, on_delete=models.CASCADE, related_name="+", editable=False
    )

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"trial of {self.version}"
