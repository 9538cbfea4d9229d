"""Reads of serving."""

from datetime import datetime

from django.db.models import Max

from inference.serving.models import Pulse


def last_pulse() -> datetime | None:
    newest: datetime | None = Pulse.objects.aggregate(at=Max("at"))["at"]
    return newest
