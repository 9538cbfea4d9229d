"""Indexes for what a reviewer sees around a case: the conversation, and equal contents that were decided before."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("moderation", "0005_first_queues_and_actions")]

    operations = [
        migrations.AddIndex(
            "decision",
            models.Index(
                fields=["tenant", "thread", "received_at"], name="decision_of_thread", condition=~Q(thread="")
            ),
        ),
        migrations.AddIndex(
            "case",
            models.Index(
                fields=["likeness", "-opened_at"], name="case_alike_closed", condition=Q(status="closed")
            ),
        ),
    ]
