"""The home page: Models with their live split, failed checks, and recent changes."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.catalogue.transitions import Status
from registry.intake.checklist.models import CheckRun
from registry.intake.checklist.transitions import RunState
from registry.kit.actors import Actor, in_scope, visible_models
from registry.kit.admin.theme import actor
from registry.record.models import AuditRecord
from registry.traffic.models import Arm
from registry.traffic.selectors import live_arms, open_holds, with_live_arms
from registry.traffic.transitions import Status as SplitStatus

_MODEL_LIMIT, _CHANGE_LIMIT, _FAILED_LIMIT = 50, 15, 5
_CHANGES_FROM = timedelta(hours=24)
_FAILED_FROM = timedelta(days=14)


def live_rows(by: Actor) -> tuple[list[dict[str, Any]], bool]:
    """The first Models that the actor may see, with their live split, and whether there are more."""
    models = list(with_live_arms(visible_models(Model.objects.order_by("slug"), by))[: _MODEL_LIMIT + 1])
    first = models[:_MODEL_LIMIT]
    counts = dict(
        Version.objects.filter(model__in=first).order_by().values_list("model").annotate(Count("pk"))
    )
    rows = [
        {
            "model": model,
            "arms": live_arms(model),
            "holds": open_holds(model),
            "versions": counts.get(model.pk, 0),
        }
        for model in first
    ]
    return rows, len(models) > _MODEL_LIMIT


def recent_changes(by: Actor) -> list[AuditRecord]:
    """The newest audit records of the last 24 hours in the actor's scope; none without the right to read them."""
    if Right.READ_RECORD not in by.rights:
        return []
    records: QuerySet[AuditRecord] = AuditRecord.objects.filter(at__gte=timezone.now() - _CHANGES_FROM)
    if by.models is not None:
        records = records.filter(model_slug__in=visible_models(Model.objects.all(), by).values("slug"))
    return list(records.order_by("-seq")[:_CHANGE_LIMIT])


def failed_runs(by: Actor) -> QuerySet[CheckRun]:
    """Versions whose newest check failed in the last two weeks, in the actor's scope; live versions first."""
    newer = CheckRun.objects.filter(version=OuterRef("version"), number__gt=OuterRef("number"))
    live = Arm.objects.filter(version=OuterRef("version"), split__status=SplitStatus.CURRENT).exclude(
        letter=""
    )
    runs = CheckRun.objects.filter(
        ~Exists(newer),
        state=RunState.FAILED,
        ended_at__gte=timezone.now() - _FAILED_FROM,
        version__status__in=[Status.FAILED, Status.READY],
    )
    visible = in_scope(runs, by, model="version__model_id").select_related("version__model")
    return visible.annotate(is_live=Exists(live)).order_by(F("is_live").desc(), "-id")


def draw_failed_checks(request: HttpRequest, _row: object) -> SafeString | str:
    runs = list(failed_runs(actor(request))[: _FAILED_LIMIT + 1])
    if not runs:
        return ""
    context = {"runs": runs[:_FAILED_LIMIT], "has_more": len(runs) > _FAILED_LIMIT}
    return render_to_string("admin/registry/failing.html", context, request)
