"""Mappings of detectors' labels to categories of other services."""

from django.db import models

from moderation.doors.categories.protocols import ForeignProtocol

MAX_DETECTOR, MAX_LABEL, MAX_CATEGORY = 130, 200, 40


class CategoryMapping(models.Model):
    """A label that counts for a category; with an empty category, the label counts for none.

    A label with mappings has only these; one without has the usual categories. Rows are added and removed, never changed.
    """

    protocol = models.CharField(
        max_length=16, choices=[(one.value, one.service) for one in ForeignProtocol], editable=False
    )
    detector = models.CharField(max_length=MAX_DETECTOR, editable=False)
    label = models.CharField(max_length=MAX_LABEL, editable=False)
    category = models.CharField(max_length=MAX_CATEGORY, blank=True, editable=False)

    class Meta:
        ordering = ["protocol", "detector", "label", "category"]
        constraints = [
            models.UniqueConstraint(
                fields=["protocol", "detector", "label", "category"], name="category_mapping_is_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.detector}: {self.label} → {self.category or 'no category'}"
