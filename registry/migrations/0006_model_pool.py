from django.core.validators import RegexValidator
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0005_uploads")]

    operations = [
        migrations.AddField(
            model_name="model",
            name="pool",
            field=models.CharField(
                default="infer",
                help_text="The workers that serve this Model, if predictions run on workers.",
                max_length=64,
                validators=[
                    RegexValidator(
                        "\\A[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\\Z",
                        "Use 1 to 64 lower-case letters, digits and inner hyphens, such as fraud-score.",
                    )
                ],
            ),
        ),
        migrations.AddConstraint(
            model_name="model",
            constraint=models.CheckConstraint(
                condition=models.Q(("pool__regex", "\\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\\Z")),
                name="model_pool_is_one",
            ),
        ),
    ]
