"""Tenants, API keys, and the Models that a person is limited to."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry.access.limits import MAX_CONCURRENCY, MAX_RATE_PER_MINUTE, CallerLimits

TENANT_SLUG = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z",
    "Use 1 to 64 lower-case letters, digits and inner hyphens, such as night-shift.",
)


class LimitFields(models.Model):
    """A row with limits. A subclass's Meta extends this one, and its `constraints` begin with these."""

    rate_per_minute = models.PositiveIntegerField(
        "requests a minute",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RATE_PER_MINUTE)],
        help_text="Leave empty to set no limit here.",
    )
    concurrency = models.PositiveIntegerField(
        "requests at the same time",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_CONCURRENCY)],
        help_text="Across all web processes. Leave empty to set no limit here.",
    )
    exact_rate = models.BooleanField(
        "strict limit",
        default=False,
        help_text="Every request checks the shared counter: slower, but never above the limit.",
    )

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(rate_per_minute=None) | Q(rate_per_minute__range=(1, MAX_RATE_PER_MINUTE)),
                name="%(class)s_rate_is_bounded",
            ),
            models.CheckConstraint(
                condition=Q(concurrency=None) | Q(concurrency__range=(1, MAX_CONCURRENCY)),
                name="%(class)s_concurrency_is_bounded",
            ),
            models.CheckConstraint(
                condition=Q(exact_rate=False) | Q(rate_per_minute__isnull=False),
                name="%(class)s_exact_needs_a_rate",
                violation_error_message="A strict limit needs a rate; enter one.",
            ),
        ]

    @property
    def limits(self) -> CallerLimits:
        return CallerLimits(self.rate_per_minute, self.concurrency, self.exact_rate)

    @limits.setter
    def limits(self, limits: CallerLimits) -> None:
        for name, value in limits.columns().items():
            setattr(self, name, value)


class Tenant(LimitFields):
    """The client that an API key acts for, with its own keys, limits and jobs."""

    slug = models.CharField("name", max_length=64, unique=True, validators=[TENANT_SLUG])
    title = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta(LimitFields.Meta):
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class ApiKey(LimitFields):
    """A program's API key. Its text is shown once; only the SHA-256 digest is stored."""

    prefix = models.CharField(max_length=8, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    name = models.CharField(max_length=100)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="keys")
    scopes = models.JSONField(default=list)
    # A separate column: deleting the last Model in the list must not give the key access to all Models.
    all_models = models.BooleanField("all Models", default=True)
    only_models = models.ManyToManyField(
        "registry.Model", blank=True, related_name="+", verbose_name="only these Models"
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(LimitFields.Meta):
        verbose_name = "API key"
        ordering = ["-id"]
        constraints = [
            *LimitFields.Meta.constraints,
            models.CheckConstraint(condition=~Q(name=""), name="api_key_has_a_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (rh_{self.prefix}_…)"

    @property
    def is_valid(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())


class ObjectScope(models.Model):
    """The Models that a person's roles apply to. No row: all Models. A row without Models: none."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="object_scope"
    )
    models = models.ManyToManyField("registry.Model", blank=True, related_name="+")

    def __str__(self) -> str:
        return f"reach of {self.user}"
