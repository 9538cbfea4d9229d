"""Collects the rooms' rows for Django."""

from inference.checks.models import ProbePass
from inference.doors.limits.models import RateUse
from inference.jobs.celery_door.models import RefusedOrder
from inference.jobs.models import Chunk, Job
from inference.jobs.stores.models import Store
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
