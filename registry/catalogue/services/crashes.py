"""Versions that crash the processes running them: counted, refused from the second crash on, cleared by a person."""

from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now

from registry.access.policies import Right
from registry.catalogue.models import Version, VersionCrash
from registry.catalogue.route_changes import lock_model, stamp
from registry.catalogue.validation import checked_reason
from registry.errors import NotAllowed, StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change
from registry.record.events import emit

CRASHES_TO_BREAK = 2  # the first may have been the machine's fault


@transaction.atomic
def record_crash(
    *, version: Version, signal: str, process: str, source: str, crashed_at: datetime, by: Actor
) -> VersionCrash | None:
    """Record that a version crashed the process running it: from then on it runs in a child process, and from the second
    crash on it is refused everywhere.

    `source` identifies the process: a second report of the same crash writes nothing and returns None.
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
        _emit("version_crashed", version, signal, crashes, "runs in its own process from now on")
    if crashes >= CRASHES_TO_BREAK and _set_broken(version, True):
        reason = f"It crashed {crashes} processes, the last one with {signal}."
        record_change(
            action="break_version", subject=version, before={"broken": False}, after={"broken": True},
            reason=reason, by=by,
        )  # fmt: skip
        _emit("version_broken", version, signal, crashes, "is refused from now on")
    return crash


@transaction.atomic
def clear_crashes(*, version: Version, reason: str, by: Actor) -> Version:
    """Clear a version's crashes, so that it runs like any other. API keys may not do this."""
    by.check(Right.SET_SPLIT, model_id=version.model_id)
    if by.key_id is not None:
        raise NotAllowed("Only a person can clear a version's crashes; log in.")
    why = checked_reason(reason)
    lock_model(version.model)
    cleared = version.uncleared_crashes.update(cleared_at=Now())
    if not cleared:
        raise StaleState(f"{version} has no crashes, or they were already cleared.")
    was_broken = _set_broken(version, False)
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


def _emit(kind: str, version: Version, signal: str, crashes: int, consequence: str) -> None:
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
        summary=f"{version} {consequence}. It crashed {processes} with {signal}.",
    )


def _set_broken(version: Version, is_broken: bool) -> bool:
    """Mark the version as broken or not, and stamp the change; return False if it was already in that state."""
    rows = Version.objects.filter(pk=version.pk, broken_at__isnull=is_broken)
    if not rows.update(broken_at=Now() if is_broken else None):
        return False
    stamp(version.model)
    return True
