"""Golden sets that were made from verdicts."""

from django.db import models
from django.utils import timezone

from moderation.cases.models import MAX_CODE
from moderation.policies.models import MAX_ACTOR
from registry.catalogue.models import Model
from registry.intake.examples.models import GoldenSet

MAX_LABEL = 200


class VerdictGoldenSet(models.Model):
    """A golden set with contents that people judged. They are copies: erasing a content does not change the set.

    `golden_set` is None while it is being made; if that never ended, the file may be stored and nobody uses it.
    """

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="+", editable=False)
    golden_set = models.OneToOneField(
        GoldenSet, null=True, on_delete=models.PROTECT, related_name="from_verdicts", editable=False
    )
    code = models.CharField("violation", max_length=MAX_CODE, editable=False)
    violating_label = models.CharField(max_length=MAX_LABEL, editable=False)
    other_label = models.CharField(max_length=MAX_LABEL, editable=False)
    violating = models.PositiveIntegerField("contents that violate", editable=False)
    others = models.PositiveIntegerField("other contents", editable=False)
    oldest_at = models.DateTimeField("oldest content", editable=False)
    newest_at = models.DateTimeField("newest content", editable=False)
    made_by = models.CharField(max_length=MAX_ACTOR, editable=False)
    made_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(violating__gte=1, others__gte=1), name="verdict_golden_set_has_both"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.golden_set or self.model.slug} from verdicts"
