"""Counts by error code. Before, requests without a version were those that a stop refused."""

from typing import Any

from django.db import migrations, models


def name_the_stopped(apps: Any, _: Any) -> None:
    rows = apps.get_model("inference", "ArmMinute").objects.filter(version_id=0, errors__gt=0)
    for errors in set(rows.values_list("errors", flat=True)):
        rows.filter(errors=errors).update(codes={"stopped": errors})


class Migration(migrations.Migration):
    dependencies = [("inference", "0001_first_release")]

    operations = [
        migrations.AddField(
            model_name="armminute",
            name="codes",
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.RunPython(name_the_stopped, migrations.RunPython.noop),
    ]
