"""Counts how each prediction request ended. Every transport calls this at one place, where an answer or an error is sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError

from inference.doors.errors import NotServed
from inference.errors import InvalidOutput, TooManyRequests, UnknownModel
from inference.measure.counts import NO_VERSION, ArmKey
from inference.serving import runtime
from inference.serving.calls import ModelRequest
from inference.tensors.errors import InferenceError, InvalidInput
from registry.errors import ArtifactMissing, Invalid, NoLiveVersion, NotAllowed, NotFound, RoundhouseError
from registry.intake.errors import InsufficientStorage
from registry.intake.parts import lacks_room

# A run that fails is not the caller's fault: its input fits the signature, so the version should have answered.
_CALLERS = (InvalidInput, Invalid, NotAllowed, NotFound, NotServed, SuspiciousOperation, TooManyRequests)
_OURS = (ArtifactMissing, InvalidOutput, NoLiveVersion)  # of these


def count_answer(request: ModelRequest) -> None:
    """Count a request that was answered; one for which nothing ran is not counted."""
    serving = runtime.current()
    if serving is not None and request.arm_key is not None:
        serving.windows.count(request.arm_key, seconds=request.took_s)


def count_turned_away(request: ModelRequest, error: Exception) -> None:
    """Count a request that gets an error: under its arm, or without a version if none had been chosen.

    Nothing is counted for a Model that does not exist or that the caller may not see.
    """
    serving = runtime.current()
    if serving is None:
        return
    key = request.arm_key
    if key is None:
        try:
            route = serving.table.find(request.model, request.by.models)
        except UnknownModel:
            return
        key = ArmKey(route.model_id, route.split, "", NO_VERSION)
    is_callers = isinstance(error, _CALLERS) and not isinstance(error, _OURS)
    serving.windows.count_turned_away(key, code_of(error), is_callers=is_callers)


@contextmanager
def counted(request: ModelRequest, *, unless: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Count how a request ends; for doors that are not on the loop. Errors of `unless` are no answer yet."""
    try:
        yield
    except unless:
        raise
    except Exception as error:
        count_turned_away(request, error)
        raise
    count_answer(request)


def code_of(error: Exception) -> str:
    """The stable code that the caller gets."""
    if isinstance(error, (RoundhouseError, InferenceError)):
        return error.code
    if isinstance(error, DatabaseError):
        return "database_unavailable"
    if isinstance(error, SuspiciousOperation):
        return "bad_request"
    if isinstance(error, OSError) and lacks_room(error):
        return InsufficientStorage.code
    return "internal_error"
