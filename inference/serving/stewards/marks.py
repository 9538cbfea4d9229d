"""When processes loaded a Model's versions, as marks in its charts: a release, or a restart."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.urls import reverse

from inference.serving.models import HeldState, HeldUse, HeldVersion
from registry.catalogue.models import Model
from registry.kit.admin.plots import Mark, MarkKind

_MOST = 200
_TOGETHER = timedelta(seconds=60)  # processes that load within this time are one mark


def loaded_marks(model: Model, start: datetime, end: datetime) -> Iterator[Mark]:
    """Live versions that are in memory, by when they were loaded. A process that has ended left no trace."""
    rows = HeldVersion.objects.filter(
        version__model=model, state=HeldState.WARM, use=HeldUse.HELD, engine__lost_at=None,
        since__gte=start, since__lt=end,
    ).select_related("version").order_by("-since")[:_MOST]  # fmt: skip
    group: list[HeldVersion] = []
    for row in reversed(rows):
        if group and row.since - group[0].since > _TOGETHER:
            yield _loaded_mark(group)
            group = []
        group.append(row)
    if group:
        yield _loaded_mark(group)


def _loaded_mark(rows: Sequence[HeldVersion]) -> Mark:
    versions = sorted({row.version.number for row in rows})
    names = ", ".join(f"v{number}" for number in versions)
    processes = len({row.engine_id for row in rows})
    sentence = f"{names} loaded by {processes} process{'es' if processes > 1 else ''}"
    url = reverse("admin:registry_version_change", args=[rows[-1].version_id])
    return Mark(rows[0].since, MarkKind.DEPLOY, sentence, url)
