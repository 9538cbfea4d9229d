"""Splits, approval requests and holds."""

from collections import Counter
from string import ascii_lowercase

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Length
from django.db.models.lookups import Exact

from registry.catalogue.models import Model, Version, WrittenOnce
from registry.kit.text import MAX_REASON
from registry.traffic.assignment import WHOLE
from registry.traffic.transitions import RequestStatus, Status

MAX_ARMS = len(ascii_lowercase)


class Split(WrittenOnce):
    """An immutable, numbered statement of which versions of a Model get which share.

    `buckets` is a string of 10,000 letters, one per bucket: the letter of the arm that owns it. An arm's share is the
    count of its letter, so the length of the string guarantees that the shares add up to 10,000.
    """

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="splits")
    number = models.PositiveIntegerField(editable=False)
    status = models.CharField(max_length=8, choices=Status, default=Status.WAITING, editable=False)
    buckets = models.TextField(editable=False)
    salt = models.CharField(max_length=64, editable=False)
    reason = models.CharField(max_length=MAX_REASON, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    made_by = models.CharField("made by", max_length=200, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    from_at = models.DateTimeField("current from", null=True, editable=False)
    to_at = models.DateTimeField("until", null=True, editable=False)
    goes_back = models.BooleanField(default=False, editable=False)  # a rollback, which ignores freezes

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["model", "from_at"], name="split_live_from")]
        # A CHECK also passes if a comparison with NULL makes it unknown, so nullable columns need IS NOT NULL.
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="split_number_per_model"),
            models.UniqueConstraint(
                fields=["model"], condition=Q(status=Status.CURRENT), name="one_current_split_per_model"
            ),
            models.UniqueConstraint(
                fields=["model"], condition=Q(status=Status.WAITING), name="one_waiting_split_per_model"
            ),
            models.CheckConstraint(
                condition=Exact(Length("buckets"), WHOLE) & Q(buckets__regex=r"\A[a-z]+\Z"),
                name="split_shares_make_the_whole",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.WAITING, from_at__isnull=True, to_at__isnull=True)
                | Q(status=Status.CURRENT, from_at__isnull=False, to_at__isnull=True)
                | Q(status=Status.PAST, from_at__isnull=False, to_at__isnull=False, to_at__gte=F("from_at"))
                | Q(status=Status.EXPIRED, from_at__isnull=True, to_at__isnull=False),
                name="split_interval_fits_status",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.slug} split {self.number}"

    def owners(self) -> list[int]:
        """The version id that owns each bucket."""
        by_letter = {arm.letter: arm.version_id for arm in self.arms.all() if arm.letter}
        return [by_letter[letter] for letter in self.buckets]

    def shares(self) -> dict[int, int]:
        """Basis points by version id; only arms that answer, no shadows."""
        counts = Counter(self.buckets)
        return {arm.version_id: counts[arm.letter] for arm in self.arms.all() if arm.letter}


class Arm(WrittenOnce):
    """One line of a split: a version whose letter is in `buckets`, or a shadow, whose answers are discarded."""

    split = models.ForeignKey(Split, on_delete=models.PROTECT, related_name="arms")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="arms")
    letter = models.CharField(max_length=1, blank=True, editable=False)
    mirrored = models.PositiveIntegerField("mirrored basis points", null=True, editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["split", "version"], name="arm_version_per_split"),
            models.UniqueConstraint(
                fields=["split", "letter"], condition=~Q(letter=""), name="arm_letter_per_split"
            ),
            models.CheckConstraint(
                condition=Q(letter__regex=r"\A[a-z]\Z", mirrored__isnull=True)
                | Q(letter="", mirrored__isnull=False, mirrored__gte=1, mirrored__lte=WHOLE),
                name="arm_answers_or_shadows",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} in {self.split}"


class SplitRequest(WrittenOnce):
    """A split that one person requests and another approves or rejects.

    People are stored as names and plain ids, so that the history outlives their accounts.
    """

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="split_requests")
    status = models.CharField(max_length=9, choices=RequestStatus, default=RequestStatus.OPEN, editable=False)
    arms = models.JSONField(editable=False)  # basis points by version number
    shadows = models.JSONField(default=dict, editable=False)
    seen_revision = models.PositiveIntegerField("number of the newest split then", editable=False)
    comment = models.CharField(max_length=MAX_REASON, editable=False)
    asked_by = models.CharField(max_length=200, editable=False)
    asker_id = models.BigIntegerField(null=True, editable=False)  # for a key: the person who issued it
    asked_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.CharField(max_length=200, blank=True, editable=False)
    decider_id = models.BigIntegerField(null=True, editable=False)
    decided_at = models.DateTimeField(null=True, editable=False)
    decision = models.CharField("reason", max_length=MAX_REASON, blank=True, editable=False)
    gates = models.JSONField(default=list, editable=False)  # the results at approval
    split = models.OneToOneField(
        Split, null=True, on_delete=models.PROTECT, related_name="request", editable=False
    )

    class Meta:
        verbose_name = "request"
        ordering = ["-id"]
        indexes = [models.Index(fields=["status", "-id"], name="split_request_by_status")]
        constraints = [
            models.CheckConstraint(condition=~Q(comment=""), name="split_request_says_why"),
            models.CheckConstraint(
                condition=Q(status=RequestStatus.OPEN, decided_at__isnull=True, decision="")
                | (~Q(status=RequestStatus.OPEN) & Q(decided_at__isnull=False) & ~Q(decision="")),
                name="split_request_decided_says_why",
            ),
            models.CheckConstraint(
                condition=Q(status=RequestStatus.APPROVED, split__isnull=False, decider_id__isnull=False)
                | (~Q(status=RequestStatus.APPROVED) & Q(split__isnull=True)),
                name="split_request_approved_has_split",
            ),
            models.CheckConstraint(
                condition=~Q(status=RequestStatus.APPROVED)
                | Q(asker_id__isnull=True)
                | ~Q(asker_id=F("decider_id")),
                name="split_request_takes_two_people",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.slug} request {self.pk}"


class Hold(WrittenOnce):
    """A period in which a Model was stopped (refuses every request) or frozen (no version may gain live share)."""

    class Kind(models.TextChoices):
        STOPPED = "stopped"
        FROZEN = "frozen"

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="holds")
    kind = models.CharField(max_length=8, choices=Kind, editable=False)
    text = models.CharField(max_length=MAX_REASON, editable=False)
    from_at = models.DateTimeField("from", editable=False)
    to_at = models.DateTimeField("until", null=True, editable=False)
    begun_by = models.CharField(max_length=200, editable=False)
    ended_by = models.CharField(max_length=200, blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "kind"], condition=Q(to_at__isnull=True), name="one_open_hold_per_kind"
            ),
            models.CheckConstraint(
                condition=Q(to_at__isnull=True, ended_by="")
                | (Q(to_at__isnull=False, to_at__gte=F("from_at")) & ~Q(ended_by="")),
                name="hold_ended_by_somebody",
            ),
            models.CheckConstraint(condition=~Q(text=""), name="hold_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.model.slug} {self.kind}: {self.text}"
