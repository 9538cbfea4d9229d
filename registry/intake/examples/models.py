"""Rows: a version's conformance examples, a Model's golden sets, and the results of versions on them."""

from django.db import models
from django.db.models import Q

from registry.catalogue.models import Model, Version, WrittenOnce
from registry.kit.text import MAX_REASON

MAX_WRONG = 1_000


class Metric(models.TextChoices):
    """How answers and labels are turned into one number."""

    ACCURACY = "accuracy", "accuracy: the share of right answers"
    F1 = "f1", "F1: the harmonic mean of precision and recall, averaged over labels"
    ERROR = "error", "error: the mean distance from the label; lower is better"
    SPAN_F1 = "span_f1", "span F1: of entities with the right label and the right places"
    MAP50 = "map50", "mAP 50: the mean average precision of boxes that overlap by half"
    MAP = "map", "mAP: the mean average precision of boxes, for overlaps from .50 to .95"
    NDCG = "ndcg", "NDCG: how far up the good items are, compared with the best order"
    AUC = "auc", "AUC: how often a right answer has a higher score than a wrong one"
    LOG_LOSS = "log_loss", "log loss: how unlikely the right answers seemed; lower is better"

    @property
    def less_is_better(self) -> bool:
        return self in {Metric.ERROR, Metric.LOG_LOSS}


class ConformanceExample(WrittenOnce):
    """An input with its expected output, which the check must reproduce."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="conformance_examples")
    position = models.PositiveSmallIntegerField(editable=False)
    inputs = models.JSONField(editable=False)
    expected = models.JSONField(editable=False)
    atol = models.FloatField("absolute tolerance", editable=False)
    rtol = models.FloatField("relative tolerance", editable=False)

    class Meta:
        verbose_name = "example"
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="example_position_per_version"),
            models.CheckConstraint(condition=Q(position__gte=1), name="example_position_from_1"),
            models.CheckConstraint(
                condition=Q(atol__gte=0, rtol__gte=0), name="example_tolerance_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} example {self.position}"


class GoldenSet(WrittenOnce):
    """Labelled rows on which a Model's versions are compared; a JSONL file, stored by its SHA-256."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="golden_sets")
    revision = models.PositiveIntegerField(editable=False)
    is_current = models.BooleanField(default=True, editable=False)
    rows = models.PositiveIntegerField(editable=False)
    metric = models.CharField(max_length=8, choices=Metric, editable=False)
    floor = models.FloatField(null=True, editable=False)
    margin = models.FloatField(null=True, editable=False)
    sha256 = models.CharField("SHA-256", max_length=64, editable=False)
    # Of the versions that it may judge; empty until one with a hash is measured.
    preprocessing = models.CharField("pre-processing hash", max_length=16, blank=True, editable=False)
    reason = models.CharField(max_length=MAX_REASON, editable=False)
    made_by = models.CharField("made by", max_length=200, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "golden set"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["model", "revision"], name="golden_revision_per_model"),
            models.UniqueConstraint(
                fields=["model"], condition=Q(is_current=True), name="one_current_golden_set_per_model"
            ),
            models.CheckConstraint(condition=Q(revision__gte=1, rows__gte=1), name="golden_set_has_rows"),
            models.CheckConstraint(condition=Q(metric__in=Metric.values), name="golden_metric_is_known"),
            models.CheckConstraint(
                condition=Q(margin__isnull=True) | Q(margin__gte=0), name="golden_margin_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(sha256__regex=r"\A[0-9a-f]{64}\Z"), name="golden_sha256_is_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.slug} golden set {self.revision}"

    @property
    def metric_title(self) -> str:
        """As a heading, such as NDCG, mAP or Log loss."""
        title = Metric(self.metric).label.partition(":")[0]
        return title if title[1].isupper() else title[0].upper() + title[1:]


class GoldenResult(models.Model):
    """A version's latest result on a golden set."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="golden_results")
    golden_set = models.ForeignKey(GoldenSet, on_delete=models.PROTECT, related_name="results")
    value = models.FloatField(editable=False)
    rows = models.PositiveIntegerField(editable=False)
    wrong = models.JSONField(default=list, editable=False)
    answers_sha256 = models.CharField(max_length=64, null=True, editable=False)  # noqa: DJ001 (NULL and empty are different)
    created_at = models.DateTimeField(editable=False)

    class Meta:
        verbose_name = "golden result"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "golden_set"], name="golden_result_once"),
            models.CheckConstraint(condition=Q(rows__gte=1), name="golden_result_has_rows"),
            models.CheckConstraint(
                condition=Q(answers_sha256__isnull=True) | Q(answers_sha256__regex=r"\A[0-9a-f]{64}\Z"),
                name="golden_answers_sha256_is_one",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} on {self.golden_set}"
