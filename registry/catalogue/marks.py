"""What changed a Model's versions while they answered, as marks in its charts: serving settings and crashes."""

from collections.abc import Iterator
from datetime import datetime

from django.urls import reverse

from registry.catalogue.models import Model, ServingSettings, VersionCrash
from registry.kit.admin.plots import Mark, MarkKind

_MOST = 20


def settings_marks(model: Model, start: datetime, end: datetime) -> Iterator[Mark]:
    """Changes of serving settings; the first row of a version holds the defaults."""
    rows = ServingSettings.objects.filter(
        version__model=model, revision__gt=1, created_at__gte=start, created_at__lt=end
    )
    for row in rows.select_related("version").order_by("-created_at")[:_MOST]:
        sentence = f"settings of v{row.version.number} by {row.made_by}: {row.reason}"
        url = reverse("admin:registry_servingsettings_change", args=[row.pk])
        yield Mark(row.created_at, MarkKind.CHANGE, sentence, url)


def crash_marks(model: Model, start: datetime, end: datetime) -> Iterator[Mark]:
    rows = VersionCrash.objects.filter(version__model=model, crashed_at__gte=start, crashed_at__lt=end)
    for row in rows.select_related("version")[:_MOST]:
        sentence = f"v{row.version.number} crashed a {row.process} process with {row.signal}"
        url = reverse("admin:registry_version_change", args=[row.version_id])
        yield Mark(row.crashed_at, MarkKind.STOP, sentence, url)
