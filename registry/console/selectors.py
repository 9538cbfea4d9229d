"""What the home page shows."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.kit.actors import Actor, visible_models
from registry.record.models import AuditRecord
from registry.traffic.selectors import live_arms, open_holds, with_live_arms

SHOWN_MODELS, SHOWN_CHANGES = 50, 15
_LATELY = timedelta(hours=24)


def live_rows(by: Actor) -> tuple[list[dict[str, Any]], bool]:
    """The first Models that the actor sees with their live split, and whether there are more."""
    found = with_live_arms(visible_models(Model.objects.order_by("slug"), by))
    models = list(found[: SHOWN_MODELS + 1])
    shown = models[:SHOWN_MODELS]
    counts = dict(
        Version.objects.filter(model__in=shown).order_by().values_list("model").annotate(Count("pk"))
    )
    rows = [
        {
            "model": model,
            "arms": live_arms(model),
            "holds": open_holds(model),
            "versions": counts.get(model.pk, 0),
        }
        for model in shown
    ]
    return rows, len(models) > SHOWN_MODELS


def changes_lately(by: Actor) -> list[AuditRecord]:
    """The newest records of the last 24 hours about what the actor sees; none without the right to read them."""
    if Right.READ_RECORD not in by.rights:
        return []
    records: QuerySet[AuditRecord] = AuditRecord.objects.filter(at__gte=timezone.now() - _LATELY)
    if by.models is not None:
        records = records.filter(model_slug__in=visible_models(Model.objects.all(), by).values("slug"))
    return list(records.order_by("-seq")[:SHOWN_CHANGES])
