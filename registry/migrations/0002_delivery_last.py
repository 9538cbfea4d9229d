from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_first_release")]

    operations = [
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["subscription", "id"], name="delivery_last"),
        ),
    ]
