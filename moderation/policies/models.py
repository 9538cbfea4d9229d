"""Policies and their revisions."""

from typing import Any

from django.db import models
from django.db.models import Q

from moderation.policies.transitions import RevisionStatus
from registry.access.models import TENANT_SLUG, Tenant
from registry.kit.text import MAX_REASON

MAX_CONTEXT, MAX_ACTOR = 64, 200


class Policy(models.Model):
    """The rules for the contents of a tenant, of a context, of both, or of all others: the default policy.

    `draft` is what editors work on. Its current revision decides.
    """

    name = models.CharField(max_length=64, unique=True, validators=[TENANT_SLUG])
    title = models.CharField(max_length=200, blank=True)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="policies",
        help_text="Leave empty for all tenants.",
    )  # fmt: skip
    context = models.CharField(
        max_length=MAX_CONTEXT,
        blank=True,
        help_text="The `context` that requests name, such as comments. Leave empty for all contexts.",
    )
    needs_approval = models.BooleanField(
        "needs approval",
        default=False,
        help_text="A second person must approve each revision. Going back never waits.",
    )
    current = models.ForeignKey(
        "PolicyRevision", null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    draft = models.JSONField(null=True, editable=False)
    draft_edits = models.PositiveIntegerField(default=0, editable=False)  # tells stale editors
    draft_by = models.CharField(max_length=MAX_ACTOR, blank=True, editable=False)
    draft_at = models.DateTimeField(null=True, editable=False)
    # The ids of the people who edited the draft since it last said the same as a published revision.
    draft_editors = models.JSONField(default=list, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name_plural = "policies"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["context"],
                condition=Q(tenant=None, retired_at=None),
                name="policy_per_context",
                violation_error_message="Another policy is for this context.",
            ),
            models.UniqueConstraint(
                fields=["tenant", "context"],
                condition=Q(tenant__isnull=False, retired_at=None),
                name="policy_per_tenant_and_context",
                violation_error_message="Another policy is for this tenant and context.",
            ),
            models.CheckConstraint(
                condition=Q(draft=None, draft_at=None) | Q(draft__isnull=False, draft_at__isnull=False),
                name="policy_draft_has_a_time",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def covers(self) -> str:
        """Which contents it is for, in words."""
        whose = f"contents of {self.tenant}" if self.tenant else "contents"
        where = f" in {self.context}" if self.context else ""
        return f"{whose}{where}" if self.tenant or self.context else "all other contents (default policy)"


class PolicyRevision(models.Model):
    """An immutable, numbered statement of a policy's rules. The policy's `current` one decides."""

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="revisions", editable=False)
    number = models.PositiveIntegerField(editable=False)
    content = models.JSONField(editable=False)
    status = models.CharField(max_length=9, choices=RevisionStatus, editable=False)
    goes_back_to = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    reason = models.CharField(max_length=MAX_REASON, editable=False)
    made_by = models.CharField(max_length=MAX_ACTOR, editable=False)
    made_by_user_id = models.PositiveBigIntegerField(null=True, editable=False)
    edited_by = models.CharField(max_length=MAX_ACTOR, blank=True, editable=False)  # the draft's last editor
    editors = models.JSONField(default=list, editable=False)  # the ids of all people who edited the draft
    made_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.CharField(max_length=MAX_ACTOR, blank=True, editable=False)
    decided_at = models.DateTimeField(null=True, editable=False)
    decision_reason = models.CharField(max_length=MAX_REASON, blank=True, editable=False)

    class Meta:
        ordering = ["policy", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "number"], name="revision_number_per_policy"),
            models.UniqueConstraint(
                fields=["policy"],
                condition=Q(status=RevisionStatus.REQUESTED),
                name="one_requested_revision_per_policy",
                violation_error_message="A revision of this policy is already waiting for approval.",
            ),
            models.CheckConstraint(
                condition=(Q(status=RevisionStatus.REQUESTED, decided_at=None, decided_by=""))
                | (~Q(status=RevisionStatus.REQUESTED) & Q(decided_at__isnull=False) & ~Q(decided_by="")),
                name="revision_decided_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} revision {self.number}"

    def was_made_by(self, user_id: int | None) -> bool:
        """Whether this person requested or edited it, perhaps with a key that they issued."""
        return user_id is not None and user_id in {self.made_by_user_id, *self.editors}

    @property
    def rules(self) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = self.content.get("rules", [])
        return rules


class RuleDay(models.Model):
    """What a rule did on a day (UTC): in how many contents it found something, by effect."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="rule_days", editable=False)
    rule = models.CharField(max_length=64, editable=False)
    day = models.DateField(editable=False)
    is_shadow = models.BooleanField(editable=False)
    noted = models.PositiveIntegerField(default=0, editable=False)
    reviewed = models.PositiveIntegerField(default=0, editable=False)
    blocked = models.PositiveIntegerField(default=0, editable=False)
    decisive = models.PositiveIntegerField(default=0, editable=False)  # no other rule had the same effect

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["policy", "rule", "day", "is_shadow"], name="rule_day_is_unique")
        ]

    def __str__(self) -> str:
        return f"{self.policy} {self.rule} on {self.day}"
