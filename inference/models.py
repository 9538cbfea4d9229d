"""Gathers the rooms' rows for Django."""

from inference.checks.models import ProbePass
from inference.doors.limits.models import RateUse
from inference.measure.models import ArmMinute
from inference.serving.models import Pulse

__all__ = ["ArmMinute", "ProbePass", "Pulse", "RateUse"]
