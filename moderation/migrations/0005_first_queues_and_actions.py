from django.db import migrations

_QUEUES = [
    ("appeals", "Appeals", {"sources": ["appeal"], "place": 10}),
    ("reports", "Reports", {"sources": ["report"], "place": 20}),
    ("severe", "High and critical harm", {"least_harm": 3, "place": 30}),
    ("audits", "Random audits", {"sources": ["audit", "second"], "place": 40}),
    ("failures", "Detector failures", {"sources": ["failure"], "place": 50}),
    ("escalated", "Escalated", {"takes_escalated": True, "place": 60}),
]
_ACTIONS = [
    ("allow", "Allow", {"effect": "none", "key": "a", "place": 10}),
    ("remove", "Remove", {"effect": "remove", "key": "r", "place": 20, "strike_weight": 1.0}),
    ("limit", "Show to fewer people", {"effect": "limit", "key": "l", "place": 30}),
    ("suspend", "Suspend the account", {"effect": "suspend", "place": 110, "proposed_at": 3.0}),
    ("close", "Close the account", {"effect": "close", "place": 120, "proposed_at": 6.0}),
]


def add_first_rows(apps, _schema_editor):
    queues = apps.get_model("moderation", "ReviewQueue")
    actions = apps.get_model("moderation", "ReviewAction")
    queues.objects.bulk_create([queues(name=name, title=title, **more) for name, title, more in _QUEUES])
    actions.objects.bulk_create([actions(name=name, title=title, **more) for name, title, more in _ACTIONS])


class Migration(migrations.Migration):
    dependencies = [("moderation", "0004_cases_and_review")]

    operations = [migrations.RunPython(add_first_rows, migrations.RunPython.noop)]
