from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_scored_metrics")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="order_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Deliveries of one subscription with the same order key are sent one after another, in the order "
                "of their events. Empty: in no order, as after Send again.",
                max_length=200,
            ),
        ),
        migrations.RemoveIndex(model_name="delivery", name="delivery_due"),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("ended_at", None)), fields=["due_at"], name="delivery_due"
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("ended_at", None)),
                fields=["subscription", "order_key", "id"],
                name="delivery_order",
            ),
        ),
    ]
