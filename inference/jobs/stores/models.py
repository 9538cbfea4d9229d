"""Rows of named stores."""

from django.db import models
from django.db.models import Q

from registry.access.models import TENANT_SLUG, Tenant


class StoreKind(models.TextChoices):
    FOLDER = "folder"
    S3 = "s3", "S3 bucket"


class Store(models.Model):
    """A place for files of jobs that is not ours. What is in it belongs to its owner; we never remove it."""

    name = models.CharField(max_length=64, unique=True, validators=[TENANT_SLUG])
    kind = models.CharField(max_length=6, choices=StoreKind)
    root = models.CharField(
        max_length=300,
        help_text="The bucket, or the folder with its whole path; it must be in one of ROUNDHOUSE_JOB_FOLDERS.",
    )
    prefix = models.CharField(
        max_length=200, blank=True, help_text="Nothing outside of this part of it is reached."
    )
    may_read = models.BooleanField("jobs may read", default=True)
    may_write = models.BooleanField("jobs may write", default=False)
    for_people = models.BooleanField(
        "for people", default=False, help_text="Whoever may ask for predictions in the admin may use it."
    )
    tenants = models.ManyToManyField(
        Tenant,
        blank=True,
        related_name="stores",
        help_text="Whose keys may use it; none where none is named.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=~Q(root=""), name="store_has_root"),
            models.CheckConstraint(
                condition=Q(may_read=True) | Q(may_write=True), name="store_is_good_for_something"
            ),
        ]

    def __str__(self) -> str:
        return self.name
