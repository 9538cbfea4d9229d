"""Of the same request, one erasure works at a time."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("moderation", "0009_claims_and_looks")]

    operations = [
        migrations.AddConstraint(
            "erasure",
            models.UniqueConstraint(
                fields=["tenant", "kind", "subject"],
                condition=Q(status="working", tenant__isnull=False),
                name="one_working_erasure_of_tenant",
            ),
        ),
        migrations.AddConstraint(
            "erasure",
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(status="working", tenant=None),
                name="one_working_erasure_of_nobody",
            ),
        ),
    ]
