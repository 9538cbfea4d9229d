"""Faults that are injected where detectors are asked."""

from django.db import DatabaseError

from inference.engine import errors as engine
from inference.errors import InvalidOutput, LimitsUnavailable, Loading, Stopping
from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from registry.errors import ArtifactMissing

RAISED = [
    engine.Overloaded, engine.DeadlineExceeded, engine.Cancelled, engine.RunFailed, engine.RunTimedOut,
    engine.SlotLost, engine.EngineStopped, engine.RunStuck, engine.VersionBroken, engine.NotLoaded,
    engine.StillLoading, engine.LoadFailed, engine.OverBudget, Loading, Stopping, LimitsUnavailable, InvalidOutput,
    ArtifactMissing, UnusableOutput, BadTaskConfig, DatabaseError, ZeroDivisionError, MemoryError, OSError,
    AssertionError,
]  # fmt: skip


def raising(error):
    """In place of a runtime's `infer`: each run fails in this way."""

    async def infer(self, target, request):
        raise error("It was injected.")

    return infer
