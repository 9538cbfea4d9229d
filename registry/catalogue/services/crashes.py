"""Versions that end the processes that run them: counted, refused from the second time on, and cleared by a person."""

from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now

from registry.access.policies import Right
from registry.catalogue.announce import lock_model, stamp
from registry.catalogue.models import Version, VersionCrash
from registry.catalogue.validation import checked_reason
from registry.errors import NotAllowed, StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change
from registry.record.events import EVENT_KINDS, emit

EVENT_KINDS.add(
    "version_crashed", "A version ended a process that ran it, and runs in one of its own from now on."
)
EVENT_KINDS.add("version_broken", "A version ended the processes that ran it, and is refused.")

CRASHES_TO_BREAK = 2  # the first may have been the machine's


@transaction.atomic
def record_crash(
    *, version: Version, signal: str, process: str, source: str, crashed_at: datetime, by: Actor
) -> VersionCrash | None:
    """Write down that a version ended the process that ran it: from then on it runs in a child of its own, and from the
    second time on it is refused everywhere.

    `source` names the process: who is told of the same one again writes nothing, and gets None.
    """
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    if VersionCrash.objects.filter(source=source).exists():
        return None
    crash = VersionCrash.objects.create(
        version=version, signal=signal, process=process, source=source, crashed_at=crashed_at
    )
    crashes = version.uncleared_crashes.count()
    if crashes == 1:
        stamp(version.model)
        _tell("version_crashed", version, signal, crashes, "runs in a process of its own from now on")
    if crashes >= CRASHES_TO_BREAK and _move(version, broken_at=Now(), broken=False):
        reason = f"It ended {crashes} processes that ran it, the last one by {signal}."
        record_change(
            action="break_version", subject=version, before={"broken": False}, after={"broken": True},
            reason=reason, by=by,
        )  # fmt: skip
        _tell("version_broken", version, signal, crashes, "is refused from now on")
    return crash


@transaction.atomic
def clear_crashes(*, version: Version, reason: str, by: Actor) -> Version:
    """Let a version run as if it had never crashed. Only a person can: a key that may ask it must not be able to."""
    by.check(Right.SET_SPLIT, model_id=version.model_id)
    if by.key_id is not None:
        raise NotAllowed("Only a person can clear a version's crashes; log in.")
    why = checked_reason(reason)
    lock_model(version.model)
    cleared = version.uncleared_crashes.update(cleared_at=Now())
    if not cleared:
        raise StaleState(f"{version} has no crashes, or they were cleared already.")
    was_broken = _move(version, broken_at=None, broken=True)
    if not was_broken:
        stamp(version.model)
    record_change(
        action="clear_crashes",
        subject=version,
        before={"broken": was_broken, "crashes": cleared},
        after={"broken": False, "crashes": 0},
        reason=why,
        by=by,
    )
    return Version.objects.select_related("model", "artifact").get(pk=version.pk)


def _tell(kind: str, version: Version, signal: str, crashes: int, what: str) -> None:
    processes = "a process" if crashes == 1 else f"{crashes} processes"
    emit(
        kind,
        subject=version,
        data={
            "model": version.model.slug,
            "version": version.number,
            "signal": signal,
            "crashes": crashes,
        },
        summary=f"{version} {what}. It ended {processes} that ran it, by {signal}.",
    )


def _move(version: Version, *, broken_at: Now | None, broken: bool) -> bool:
    """Mark or clear the version where it is in the other state, and number the change for routing."""
    moved = Version.objects.filter(pk=version.pk, broken_at__isnull=not broken).update(broken_at=broken_at)
    if moved:
        stamp(version.model)
    return bool(moved)
