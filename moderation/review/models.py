"""Actions, reviewers and what they were exposed to, verdicts, what became final, and strikes."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from moderation.cases.models import Case, CaseSource
from moderation.deciding.contents import MAX_ID
from moderation.deciding.models import Decision
from moderation.policies.models import MAX_ACTOR
from moderation.policies.rules import Ruling
from moderation.review.statements import DecisionMaker
from moderation.review.transitions import ProposalStatus, VerdictStatus
from registry.access.models import TENANT_SLUG, Tenant
from registry.kit.text import MAX_REASON
from registry.record.models import Subscription

FINAL_RULINGS = [(ruling.value, ruling.value) for ruling in (Ruling.ALLOW, Ruling.BLOCK)]
MAKERS = [(maker.value, maker.value.replace("_", " ")) for maker in DecisionMaker]


class Effect(models.TextChoices):
    """What an action does to a content or an account. The systems that are told carry it out."""

    NONE = "none", "the content stays"
    LABEL = "label", "the content gets a label"
    LIMIT = "limit", "the content is shown to fewer people"
    REMOVE = "remove", "the content is removed"
    SUSPEND = "suspend", "the account is suspended"
    CLOSE = "close", "the account is closed"

    @property
    def restricts(self) -> bool:
        return self is not Effect.NONE


ACCOUNT_EFFECTS = (Effect.SUSPEND, Effect.CLOSE)


class ReviewAction(models.Model):
    """What a reviewer can decide. Account actions are not decided but proposed, when an author's strikes add up to them."""

    name = models.CharField(max_length=64, unique=True, validators=[TENANT_SLUG])
    title = models.CharField(max_length=100, help_text="What the button says, such as “Remove”.")
    effect = models.CharField(max_length=7, choices=Effect)
    key = models.CharField(
        max_length=1, blank=True, help_text="One letter or digit that gives this verdict; empty: none."
    )
    roles = models.JSONField(default=list, blank=True, help_text="Who may take it. None: every reviewer.")
    subscription = models.ForeignKey(
        Subscription,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name="callback",
        help_text="A subscription that is told of each such verdict, besides those to decision.final.",
    )
    strike_weight = models.FloatField(default=0.0, help_text="Of the strike that the author gets; 0: none.")
    strike_days = models.PositiveIntegerField(default=90, help_text="After which the strike expires.")
    proposed_at = models.FloatField(
        "proposed at",
        null=True,
        blank=True,
        help_text="Account actions: the weight of strikes that proposes it.",
    )
    place = models.PositiveSmallIntegerField(default=100, help_text="Where it is listed.")
    is_retired = models.BooleanField("retired", default=False, help_text="Nobody can take it any more.")

    class Meta:
        ordering = ["place", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=~Q(key="") & Q(is_retired=False),
                name="review_key_is_unique",
                violation_error_message="Another action has this key.",
            ),
            models.CheckConstraint(
                condition=Q(proposed_at=None) | Q(effect__in=ACCOUNT_EFFECTS),
                name="only_account_actions_are_proposed",
            ),
            models.CheckConstraint(condition=Q(strike_weight__gte=0), name="strike_weight_is_not_negative"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_on_account(self) -> bool:
        return self.effect in ACCOUNT_EFFECTS


class Reviewer(models.Model):
    """What a reviewer can be exposed to on a day, and how they like to see contents."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="reviewer")
    minutes_a_day = models.PositiveIntegerField(default=300, help_text="In front of contents.")
    severe_a_day = models.PositiveIntegerField(default=60, help_text="Contents of high or critical harm.")
    languages = models.JSONField(default=list, blank=True, help_text="That they read. None: all.")
    blurs = models.BooleanField("blur pictures", default=False)
    greys = models.BooleanField("show pictures in grey", default=False)
    # Earlier double reviews do not count any more: somebody talked with the reviewer about them.
    assessed_from = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return str(self.user)


class Exposure(models.Model):
    """One look of a person at a case. Until it has ended, it counts as long as it may last."""

    reviewer = models.ForeignKey(Reviewer, on_delete=models.CASCADE, related_name="exposures", editable=False)
    case = models.ForeignKey(Case, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    day = models.DateField(editable=False)
    began_at = models.DateTimeField(default=timezone.now, editable=False)
    may_last_until = models.DateTimeField(editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    seconds = models.FloatField(default=0.0, editable=False)
    is_severe = models.BooleanField(editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["reviewer", "day"], name="exposure_of_day"),
            models.Index(fields=["reviewer"], name="exposure_running", condition=Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} looks at {self.case}"


class Verdict(models.Model):
    """What a person decided about a case."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="verdicts", editable=False)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    reviewer_name = models.CharField(max_length=MAX_ACTOR, editable=False)
    action = models.ForeignKey(ReviewAction, on_delete=models.PROTECT, related_name="+", editable=False)
    ruling = models.CharField("decision", max_length=6, choices=FINAL_RULINGS, editable=False)
    codes = models.JSONField("violations", default=list, editable=False)
    note = models.CharField(max_length=MAX_REASON, blank=True, editable=False)
    status = models.CharField(
        max_length=7, choices=VerdictStatus, default=VerdictStatus.PENDING, editable=False
    )
    seconds = models.FloatField(editable=False)  # that the person looked at it
    made_at = models.DateTimeField(default=timezone.now, editable=False)
    final_at = models.DateTimeField(editable=False)  # from then on it cannot be undone

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["final_at"], name="verdict_pending", condition=Q(status=VerdictStatus.PENDING)
            ),
            models.Index(fields=["reviewer", "-made_at"], name="verdict_of_reviewer"),
            models.Index(fields=["-made_at"], name="verdict_newest"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["case"], condition=~Q(status=VerdictStatus.UNDONE), name="one_verdict_per_case"
            ),
        ]

    def __str__(self) -> str:
        return f"verdict on {self.case}"


class FinalDecision(models.Model):
    """What stands about a content from now on, until another one with a higher number replaces it.

    `content_key` is the caller's content id, or the request id of contents that have none.
    """

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    content_key = models.CharField(max_length=MAX_ID, editable=False)
    sequence = models.PositiveIntegerField(editable=False)
    decision = models.ForeignKey(
        Decision, null=True, on_delete=models.SET_NULL, related_name="finals", editable=False
    )
    verdict = models.ForeignKey(
        Verdict, null=True, on_delete=models.PROTECT, related_name="finals", editable=False
    )
    replaces = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    source = models.CharField(max_length=12, choices=CaseSource, blank=True, editable=False)
    ruling = models.CharField("decision", max_length=6, choices=FINAL_RULINGS, editable=False)
    action = models.CharField(max_length=64, editable=False)
    effect = models.CharField(max_length=7, choices=Effect, editable=False)
    codes = models.JSONField("violations", default=list, editable=False)
    decided_by = models.CharField(max_length=18, choices=MAKERS, editable=False)
    author_id = models.CharField(max_length=MAX_ID, blank=True, editable=False)
    notice = models.JSONField(null=True, editable=False)
    statement = models.JSONField(null=True, editable=False)
    made_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["tenant", "author_id", "-made_at"], name="final_of_author"),
            models.Index(fields=["-made_at"], name="final_newest"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "content_key", "sequence"],
                condition=Q(tenant__isnull=False),
                name="final_sequence_of_tenant",
            ),
            models.UniqueConstraint(
                fields=["content_key", "sequence"], condition=Q(tenant=None), name="final_sequence_of_nobody"
            ),
            models.CheckConstraint(
                condition=Q(effect=Effect.NONE) | Q(statement__isnull=False),
                name="restriction_has_a_statement",
            ),
            models.CheckConstraint(
                condition=Q(decided_by=DecisionMaker.MACHINE.value) | Q(verdict__isnull=False),
                name="final_of_a_person_has_a_verdict",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.content_key} #{self.sequence}"


class Strike(models.Model):
    """Counts against an author until it expires, or until what it is for is reversed."""

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    author_id = models.CharField(max_length=MAX_ID, editable=False)
    final = models.ForeignKey(FinalDecision, on_delete=models.CASCADE, related_name="strikes", editable=False)
    weight = models.FloatField(editable=False)
    made_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["tenant", "author_id"], name="strike_of_author")]

    def __str__(self) -> str:
        return f"strike of {self.author_id}"


class AccountProposal(models.Model):
    """An account action that an author's strikes add up to. A person decides whether it is taken."""

    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    author_id = models.CharField(max_length=MAX_ID, editable=False)
    action = models.ForeignKey(ReviewAction, on_delete=models.PROTECT, related_name="+", editable=False)
    weight = models.FloatField("weight of strikes", editable=False)
    status = models.CharField(
        max_length=9, choices=ProposalStatus, default=ProposalStatus.OPEN, editable=False
    )
    made_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_by = models.CharField(max_length=MAX_ACTOR, blank=True, editable=False)
    decided_at = models.DateTimeField(null=True, editable=False)
    reason = models.CharField(max_length=MAX_REASON, blank=True, editable=False)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "author_id", "action"],
                condition=Q(status=ProposalStatus.OPEN, tenant__isnull=False),
                name="one_open_proposal_of_tenant",
            ),
            models.UniqueConstraint(
                fields=["author_id", "action"],
                condition=Q(status=ProposalStatus.OPEN, tenant=None),
                name="one_open_proposal_of_nobody",
            ),
            models.CheckConstraint(
                condition=Q(status=ProposalStatus.OPEN, decided_at=None)
                | (~Q(status=ProposalStatus.OPEN) & Q(decided_at__isnull=False)),
                name="proposal_decided_or_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.author_id}"
