import datetime

from django.db import migrations, models
from django.db.models import F
from django.db.models.functions import Coalesce, Now


def take_for_worked(apps, schema_editor):
    """Of jobs before this nobody knows when they were at rest: all their time from the first chunk on counts as before."""
    jobs = apps.get_model('inference', 'Job').objects.exclude(started_at=None)
    jobs.update(worked=Coalesce(F('ended_at'), Now()) - F('started_at'))


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0012_engine_replaces'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='worked',
            field=models.DurationField(default=datetime.timedelta(0), editable=False),
        ),
        migrations.AddField(
            model_name='job',
            name='working_since',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.RunPython(take_for_worked, migrations.RunPython.noop, elidable=True),
    ]
