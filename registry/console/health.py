"""The panel that tells whether what is live on a Model is well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from registry.catalogue.models import Model, Version
from registry.catalogue.services import CRASHES_TO_BREAK
from registry.intake.checklist.models import CheckRun
from registry.intake.checklist.transitions import RunState
from registry.kit.registrations import Registrations
from registry.traffic.selectors import current_split


class HealthLook(StrEnum):
    """The values are the looks of a line."""

    GOOD = "passed"
    DOUBTFUL = "warned"
    BAD = "failed"


@dataclass(frozen=True, slots=True)
class HealthLine:
    health: HealthLook
    sentence: str
    address: str = ""  # where to see more


# Takes a Model and its live versions, which are at least one.
HEALTH: Registrations[Callable[[Model, Sequence[Version]], list[HealthLine]]] = Registrations("health check")


def draw_health(request: HttpRequest, model: Model) -> SafeString | str:
    """Nothing if no version is live: the header says so."""
    split = current_split(model)
    if split is None:
        return ""
    live = sorted((arm.version for arm in split.arms.all() if arm.letter), key=lambda version: version.number)
    lines = [line for check in HEALTH for line in check(model, live)]
    return render_to_string("admin/registry/health.html", {"model": model, "lines": lines}, request)


def checks_health(_model: Model, live: Sequence[Version]) -> list[HealthLine]:
    """Whether the newest check of each live version passed."""
    newer = CheckRun.objects.filter(version=OuterRef("version"), number__gt=OuterRef("number"))
    newest = {run.version_id: run for run in CheckRun.objects.filter(~Exists(newer), version__in=live)}
    return [_check_health(version, newest.get(version.pk)) for version in live]


def _check_health(version: Version, run: CheckRun | None) -> HealthLine:
    name = f"Version {version.number}"
    address = f"{reverse('admin:registry_version_change', args=[version.pk])}?tab=checks"
    if run is None:
        return HealthLine(HealthLook.DOUBTFUL, f"{name} has not been checked yet.", address)
    if run.state == RunState.FAILED:
        return HealthLine(
            HealthLook.BAD, f"Check {run.number} of version {version.number} failed: {run.reason}", address
        )
    if run.state == RunState.RUNNING:
        return HealthLine(HealthLook.GOOD, f"{name} is being checked again.", address)
    return HealthLine(HealthLook.GOOD, f"{name} passed its last check.", address)


def crashes_health(_model: Model, live: Sequence[Version]) -> list[HealthLine]:
    """Live versions that crashed processes; none if all is well."""
    crashed = Version.objects.filter(
        pk__in=[version.pk for version in live], crashes__isnull=False, crashes__cleared_at=None
    ).distinct()
    return [
        HealthLine(
            HealthLook.BAD if version.is_broken else HealthLook.DOUBTFUL,
            f"Version {version.number} is broken and refuses every request: it crashed processes."
            if version.is_broken
            else f"Version {version.number} crashed a process and now runs in its own; "
            f"after {CRASHES_TO_BREAK} crashes it refuses every request.",
            reverse("admin:registry_version_change", args=[version.pk]),
        )
        for version in crashed.order_by("number")
    ]
