import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("inference", "0003_jobs"),
        ("registry", "0007_bake"),
    ]

    operations = [
        migrations.CreateModel(
            name="EngineReport",
            fields=[
                ("id", models.CharField(max_length=32, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("web", "Web"), ("worker", "Worker"), ("grpc", "gRPC")], max_length=6
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("serves", "holds the live versions"),
                            ("on_demand", "loads versions on demand"),
                            ("front", "passes requests to workers"),
                        ],
                        max_length=9,
                    ),
                ),
                ("pool", models.CharField(blank=True, max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[("starting", "Starting"), ("ready", "Ready"), ("draining", "Draining")],
                        max_length=8,
                    ),
                ),
                ("host", models.CharField(max_length=100)),
                ("place", models.CharField(blank=True, max_length=200)),
                ("pid", models.PositiveIntegerField()),
                ("pid_started", models.PositiveBigIntegerField()),
                ("started_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "seen_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True),
                ),
                ("lost_at", models.DateTimeField(null=True)),
                ("followed", models.BigIntegerField(default=-1)),
                ("provider_asked", models.CharField(blank=True, max_length=64)),
                ("provider_got", models.CharField(blank=True, max_length=64)),
                ("device", models.CharField(blank=True, max_length=100)),
                ("memory_used_bytes", models.PositiveBigIntegerField(default=0)),
                ("memory_budget_bytes", models.PositiveBigIntegerField(default=0)),
                ("threads", models.PositiveIntegerField(default=0)),
                ("running", models.PositiveIntegerField(default=0)),
                ("waiting", models.PositiveIntegerField(default=0)),
            ],
            options={
                "verbose_name": "worker",
                "ordering": ["kind", "host", "started_at", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind", "worker"), ("pool", ""), _connector="OR"),
                        name="engine_only_workers_have_a_pool",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HeldVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "engine",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="held",
                        to="inference.enginereport",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="held_by",
                        to="registry.version",
                    ),
                ),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                ("serving", models.PositiveIntegerField(verbose_name="revision of the serving settings")),
                (
                    "state",
                    models.CharField(
                        choices=[("loading", "Loading"), ("warm", "Warm"), ("failed", "Failed")], max_length=7
                    ),
                ),
                (
                    "use",
                    models.CharField(
                        choices=[
                            ("held", "live, or waiting to go live"),
                            ("kept", "was live recently; unloaded when memory is needed"),
                            ("on_demand", "was requested by number or alias; unloaded when memory is needed"),
                        ],
                        max_length=9,
                    ),
                ),
                ("footprint_bytes", models.PositiveBigIntegerField(default=0)),
                ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("provider_asked", models.CharField(blank=True, max_length=64)),
                ("provider_got", models.CharField(blank=True, max_length=64)),
                ("reason", models.CharField(blank=True, max_length=500)),
            ],
            options={
                "ordering": ["version"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("engine", "version"), name="held_version_once_per_engine"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "failed"), models.Q(("reason", ""), _negated=True)),
                            models.Q(models.Q(("state", "failed"), _negated=True), ("reason", "")),
                            _connector="OR",
                        ),
                        name="held_version_failed_says_why",
                    ),
                ],
            },
        ),
    ]
