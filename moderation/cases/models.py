"""Cases, the contents in them, the queues they are taken from, and guidelines on violations."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from moderation.cases.transitions import CaseStatus
from moderation.deciding.models import Decision
from moderation.policies.models import MAX_CONTEXT, Policy
from registry.access.models import TENANT_SLUG, Tenant
from registry.kit.text import MAX_REASON

MAX_CODE = 64


class Harm(models.IntegerChoices):
    """How much harm a violation does."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def weight(self) -> int:
        """In the order of a queue: each step counts three times the one before."""
        return int(3 ** (self.value - 1))


SEVERE = Harm.HIGH  # from here on, contents count against a reviewer's budget of severe ones


class CaseSource(models.TextChoices):
    """Why a person is needed."""

    REVIEW = "review", "policy"
    FAILURE = "failure", "detector failed"
    AUDIT = "audit", "random audit"
    REPORT = "report", "report"
    APPEAL = "appeal", "appeal"
    SECOND_REVIEW = "second", "second review"
    DISAGREEMENT = "disagreement", "reviewers disagree"


# These look at a verdict again; the content's standing changes only if they come to something else.
LOOKS_AGAIN = (CaseSource.SECOND_REVIEW, CaseSource.DISAGREEMENT, CaseSource.APPEAL)


class Guideline(models.Model):
    """What a violation code means to people: how grave it is, how to recognise it, and what authors are told."""

    code = models.CharField(max_length=MAX_CODE, unique=True)
    title = models.CharField(max_length=200, help_text="What people read, such as “Hate speech”.")
    guidance = models.TextField(
        blank=True,
        max_length=20_000,
        help_text="How reviewers recognise it: examples, and what is not meant.",
    )
    harm = models.PositiveSmallIntegerField(
        choices=Harm, default=Harm.MEDIUM, help_text="Cases are ordered by harm × score × age."
    )
    hours = models.PositiveIntegerField(
        "deadline (hours)", default=24, help_text="How long a case may wait before it is overdue."
    )
    is_restricted = models.BooleanField(
        "restricted",
        default=False,
        help_text="Whatever the queue, only people with the right to see restricted contents see such cases."
        " Each look is recorded.",
    )
    category = models.CharField(
        "category of statements",
        max_length=80,
        blank=True,
        help_text="Of statements of reasons (Digital Services Act).",
    )
    is_illegal = models.BooleanField(
        "illegal",
        default=False,
        help_text="Against a law; otherwise against your terms.",
    )
    ground = models.CharField(
        max_length=500, blank=True, help_text="The law, or the section of your terms, such as “Terms, 4.2”."
    )
    notices = models.JSONField(
        "sentences for authors",
        default=dict,
        blank=True,
        help_text='By language: {"en": "Insults are not allowed here."}',
    )

    class Meta:
        ordering = ["-harm", "code"]
        constraints = [
            models.CheckConstraint(condition=Q(harm__range=(1, 4)), name="guideline_harm_is_known"),
        ]

    def __str__(self) -> str:
        return self.title or self.code


class Case(models.Model):
    """One or more equal contents that need a person.

    While `claimed_until` is ahead, `claimed_by` is looking at it. `assigned_to` is the only one who gets it, until
    `on_hold_until` if that is set.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="cases", editable=False)
    source = models.CharField(max_length=12, choices=CaseSource, editable=False)
    status = models.CharField(max_length=9, choices=CaseStatus, default=CaseStatus.WAITING, editable=False)
    about = models.ForeignKey(
        "moderation.Verdict", null=True, on_delete=models.PROTECT, related_name="cases_about", editable=False
    )

    code = models.CharField("violation", max_length=MAX_CODE, blank=True, editable=False)
    harm = models.PositiveSmallIntegerField(choices=Harm, default=Harm.MEDIUM, editable=False)
    score = models.FloatField(default=0.0, editable=False)
    weight = models.FloatField(default=0.0, editable=False)  # harm × score
    language = models.CharField(max_length=8, blank=True, editable=False)
    context = models.CharField(max_length=MAX_CONTEXT, blank=True, editable=False)
    is_restricted = models.BooleanField("restricted", default=False, editable=False)
    likeness = models.BinaryField(max_length=32, editable=False)  # of texts that are equal but for disguises
    pictures = models.JSONField(default=list, editable=False)  # their PDQ hashes
    item_count = models.PositiveIntegerField("contents", default=1, editable=False)

    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    opened_s = models.FloatField(editable=False)  # the same, in seconds, for the order of queues
    due_at = models.DateTimeField(editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    claimed_until = models.DateTimeField(null=True, editable=False)
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    on_hold_until = models.DateTimeField(null=True, editable=False)
    is_escalated = models.BooleanField("escalated", default=False, editable=False)
    is_on_legal_hold = models.BooleanField("legal hold", default=False, editable=False)
    note = models.CharField(max_length=MAX_REASON, blank=True, editable=False)  # of whoever passed it on
    # Who may not decide it: they decided before what it is about.
    not_for = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="+", editable=False)
    skipped_by = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="+", editable=False)

    class Meta:
        ordering = ["-opened_at"]
        indexes = [
            models.Index(fields=["opened_at"], name="case_waiting", condition=Q(status=CaseStatus.WAITING)),
            models.Index(fields=["likeness"], name="case_alike", condition=Q(status=CaseStatus.WAITING)),
            models.Index(
                fields=["likeness", "-opened_at"],
                name="case_alike_closed",
                condition=Q(status=CaseStatus.CLOSED),
            ),
            models.Index(fields=["status", "-opened_at"], name="case_list"),
            # What one person has, or gets next: among thousands that nobody has.
            models.Index(fields=["claimed_by"], name="case_claimed", condition=Q(claimed_by__isnull=False)),
            models.Index(
                fields=["assigned_to"], name="case_assigned", condition=Q(assigned_to__isnull=False)
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(claimed_by=None) | Q(claimed_until__isnull=False), name="case_claim_ends"
            ),
            models.CheckConstraint(
                condition=(Q(ended_at=None) & Q(status__in=[CaseStatus.WAITING, CaseStatus.DECIDED]))
                | (Q(ended_at__isnull=False) & Q(status__in=[CaseStatus.CLOSED, CaseStatus.WITHDRAWN])),
                name="case_has_ended_or_not",
            ),
            models.CheckConstraint(
                condition=Q(on_hold_until=None) | Q(assigned_to__isnull=False),
                name="case_on_hold_for_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"case {self.pk}"


class CaseItem(models.Model):
    """A content in a case, as it was decided."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="items", editable=False)
    decision = models.ForeignKey(
        Decision, on_delete=models.CASCADE, related_name="case_items", editable=False
    )
    # Of audited contents: how many allowed ones it stands for.
    audit_weight = models.FloatField(null=True, editable=False)
    is_withdrawn = models.BooleanField(default=False, editable=False)
    added_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["case", "decision"], name="decision_once_per_case")]

    def __str__(self) -> str:
        return f"{self.decision_id} in {self.case}"


class ReviewQueue(models.Model):
    """Which waiting cases are taken together. It only filters: without it, its cases wait in the others."""

    name = models.CharField(max_length=64, unique=True, validators=[TENANT_SLUG])
    title = models.CharField(max_length=100)
    sources = models.JSONField(default=list, blank=True, help_text="None: all but detector failures.")
    languages = models.JSONField(default=list, blank=True, help_text="None: all.")
    codes = models.JSONField("violations", default=list, blank=True, help_text="None: all.")
    tenants = models.ManyToManyField(Tenant, blank=True, related_name="+", help_text="None: all.")
    takes_escalated = models.BooleanField(
        "for leads", default=False, help_text="It has the escalated cases, which are in no other queue."
    )
    least_harm = models.PositiveSmallIntegerField(choices=Harm, default=Harm.LOW)
    place = models.PositiveSmallIntegerField(default=100, help_text="Where it is listed.")

    class Meta:
        ordering = ["place", "name"]

    def __str__(self) -> str:
        return self.title
