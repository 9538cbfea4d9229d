from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("moderation", "0010_one_working_erasure")]

    operations = [
        migrations.AddIndex(
            model_name="appeal",
            index=models.Index(fields=["-answered_at", "due_at", "-id"], name="appeal_open_first"),
        ),
        migrations.AddIndex(
            model_name="report",
            index=models.Index(fields=["-answered_at", "due_at", "-id"], name="report_open_first"),
        ),
    ]
