from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0011_samples_and_memory'),
    ]

    operations = [
        migrations.AddField(
            model_name='enginereport',
            name='replaces',
            field=models.CharField(blank=True, max_length=32),
        ),
    ]
