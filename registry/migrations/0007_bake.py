from django.core.validators import MaxValueValidator
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_model_pool")]

    operations = [
        migrations.AddField(
            model_name="model",
            name="bake_minutes",
            field=models.PositiveSmallIntegerField(
                default=30,
                help_text="How long a replaced version stays loaded, so that rolling back to it is immediate.",
                validators=[MaxValueValidator(1440)],
                verbose_name="keep old version warm (minutes)",
            ),
        ),
        migrations.AddConstraint(
            model_name="model",
            constraint=models.CheckConstraint(
                condition=models.Q(("bake_minutes__lte", 1440)), name="model_bake_ends_within_a_day"
            ),
        ),
    ]
