"""On a Model's page: who was live at a moment that somebody asks about."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from registry.catalogue.models import Model
from registry.errors import Invalid
from registry.traffic.selectors import LiveAt, live_at

_FORM = "%Y-%m-%dT%H:%M:%S"


@dataclass(frozen=True, slots=True)
class LiveThen:
    """The question as it was typed, and its answer or what is wrong with it."""

    typed: str
    answer: LiveAt | None = None
    problem: str = ""


def live_then(request: HttpRequest, model: Model) -> LiveThen:
    """Answer what `?at=` asks; a moment without an offset is one of the viewer's zone."""
    typed = request.GET.get("at", "")
    if not typed:
        return LiveThen("")
    at = _moment(typed)
    if at is None:
        return LiveThen("", problem="That is no day and time; write it like 2026-01-31 14:05.")
    shown = at.strftime(_FORM)
    try:
        return LiveThen(shown, answer=live_at(model, at))
    except Invalid as error:
        return LiveThen(shown, problem=str(error))


def _moment(typed: str) -> datetime | None:
    try:
        found = parse_datetime(typed)
    except ValueError:
        return None
    if found is None:
        return None
    try:
        aware = timezone.make_aware(found) if timezone.is_naive(found) else found
        return timezone.localtime(aware.astimezone(UTC))
    except (OverflowError, ValueError):  # the calendar has a first day and a last one
        return None
