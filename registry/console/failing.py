"""On the home page: versions whose newest check failed. Nothing where none did."""

from datetime import timedelta

from django.db.models import Exists, F, OuterRef, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from registry.catalogue.transitions import Status
from registry.intake.checklist.models import CheckRun
from registry.intake.checklist.transitions import RunState
from registry.kit.actors import Actor, in_scope
from registry.kit.admin.theme import actor
from registry.traffic.models import Arm
from registry.traffic.transitions import Status as SplitStatus

_SHOWN = 5
_LATELY = timedelta(days=14)


def failing_runs(by: Actor) -> QuerySet[CheckRun]:
    """The newest runs of versions in the actor's reach that failed lately, those of live versions first."""
    newer = CheckRun.objects.filter(version=OuterRef("version"), number__gt=OuterRef("number"))
    live = Arm.objects.filter(version=OuterRef("version"), split__status=SplitStatus.CURRENT).exclude(
        letter=""
    )
    runs = CheckRun.objects.filter(
        ~Exists(newer),
        state=RunState.FAILED,
        ended_at__gte=timezone.now() - _LATELY,
        version__status__in=[Status.FAILED, Status.READY],
    )
    shown = in_scope(runs, by, model="version__model_id").select_related("version__model")
    return shown.annotate(is_live=Exists(live)).order_by(F("is_live").desc(), "-id")


def draw_failing(request: HttpRequest, _row: object) -> SafeString | str:
    runs = list(failing_runs(actor(request))[: _SHOWN + 1])
    if not runs:
        return ""
    shown = {"runs": runs[:_SHOWN], "has_more": len(runs) > _SHOWN}
    return render_to_string("admin/registry/failing.html", shown, request)
