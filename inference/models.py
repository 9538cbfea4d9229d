"""Imports the models of all subpackages, so that Django finds them."""

from inference.checks.models import ProbePass
from inference.doors.celery.models import RefusedOrder
from inference.doors.limits.models import RateUse
from inference.jobs.models import Chunk, Job, Store
from inference.measure.models import ArmMinute
from inference.serving.models import EngineReport, HeldVersion, Pulse

__all__ = [
    "ArmMinute",
    "Chunk",
    "EngineReport",
    "HeldVersion",
    "Job",
    "ProbePass",
    "Pulse",
    "RateUse",
    "RefusedOrder",
    "Store",
]
