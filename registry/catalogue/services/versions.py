"""Versions: registered once, moved through their states by conditional updates."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max

from registry.access.policies import Right
from registry.catalogue.announce import lock_model, stamp
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.input_shapes import checked_shapes
from registry.catalogue.models import Artifact, Model, ServingSettings, Version
from registry.catalogue.serving_settings import DEFAULTS
from registry.catalogue.task_config import checked_config
from registry.catalogue.transitions import ALLOWED, Status
from registry.catalogue.uses import uses_of
from registry.catalogue.validation import check_row, checked_reason
from registry.errors import Conflict, Invalid, StaleState
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON, storable
from registry.record.audit import record_change
from registry.record.events import emit


@transaction.atomic
def register_version(
    *,
    model: Model,
    file: StoredFile,
    task_config: Mapping[str, Any] | None = None,
    input_shapes: Mapping[str, Any] | None = None,
    origin: Mapping[str, Any] | None = None,
    derived_from: Version | None = None,
    notes: str = "",
    by: Actor,
) -> Version:
    """Record a stored file as the Model's next version, with default serving settings; it still must be checked."""
    by.check(Right.WRITE, model_id=model.pk)
    config = checked_config(model.task, task_config or {})
    shapes = checked_shapes(input_shapes or {})
    if derived_from is not None and not by.may(Right.READ, model_id=derived_from.model_id):
        raise Invalid("The version it derives from does not exist, or you may not see it.")
    present = lock_model(model)
    artifact, _ = Artifact.objects.get_or_create(sha256=file.sha256, defaults={"size_bytes": file.size_bytes})
    last = present.versions.aggregate(last=Max("number"))["last"] or 0
    version = Version(
        model=present,
        number=last + 1,
        artifact=artifact,
        task_config=config,
        input_shapes=shapes,
        origin=dict(origin or {}),
        derived_from=derived_from,
        notes=notes,
        created_by_id=by.user_id,
        made_by=by.name[:200],
    )
    check_row(version)
    version.save()
    ServingSettings.objects.create(
        version=version, revision=1, values=DEFAULTS.to_json(), reason="defaults", made_by=version.made_by
    )
    stamp(present)
    record_change(action="register_version", subject=version, before=None, after=_told(version), by=by)
    return version


@transaction.atomic
def start_check(*, version: Version, by: Actor) -> Version:
    """Say that somebody now looks into the file, for the first time or after a check that it failed."""
    return _change(version, Status.CHECKING, "start_check", by, failure="")


@transaction.atomic
def pass_check(*, version: Version, signature: Mapping[str, Any], by: Actor) -> Version:
    """Say that the file passed; from now on the version may answer."""
    return _change(version, Status.READY, "pass_check", by, signature=dict(signature))


@transaction.atomic
def fail_check(*, version: Version, failure: str, by: Actor) -> Version:
    """Say why the file was refused, and tell those who want to know."""
    text = storable(failure, MAX_REASON).strip() or "The check gave no reason."
    changed = _change(version, Status.FAILED, "fail_check", by, failure=text)
    emit(
        "check_failed",
        subject=changed,
        data={"model": changed.model.slug, "version": changed.number, "failure": text},
        summary=f"{changed} did not pass its checks: {text}",
    )
    return changed


@transaction.atomic
def archive_version(*, version: Version, reason: str, by: Actor) -> Version:
    """Put a version away that nothing needs any more."""
    by.check(Right.WRITE, model_id=version.model_id)
    why = checked_reason(reason)
    lock_model(version.model)
    if needed := uses_of(version):
        raise Conflict(f"{' '.join(needed)} Move that elsewhere first, then archive it.")
    return _change(version, Status.ARCHIVED, "archive_version", by, why)


@transaction.atomic
def unarchive_version(*, version: Version, reason: str, by: Actor) -> Version:
    """Bring a version back to what its check had found."""
    found = Status.FAILED if version.failure else Status.READY
    return _change(version, found, "unarchive_version", by, checked_reason(reason))


def _change(
    version: Version, to: Status, action: str, by: Actor, reason: str = "", **columns: Any
) -> Version:
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    old = Status(version.status)
    if to not in ALLOWED[old]:
        raise Conflict(f"{version} is {old}; from there it cannot become {to}.")
    if not Version.objects.filter(pk=version.pk, status=old).update(status=to, **columns):
        raise StaleState(f"{version} is no longer {old}; somebody else moved it first. Look again.")
    stamp(version.model)
    changed = Version.objects.select_related("model", "artifact").get(pk=version.pk)
    record_change(
        action=action,
        subject=changed,
        before=_standing(version),
        after=_standing(changed),
        reason=reason,
        by=by,
    )
    return changed


def _standing(version: Version) -> dict[str, Any]:
    return {"status": version.status, **({"failure": version.failure} if version.failure else {})}


def _told(version: Version) -> dict[str, Any]:
    parent = version.derived_from
    return {
        "sha256": version.artifact.sha256,
        "size_bytes": version.artifact.size_bytes,
        "task_config": version.task_config,
        **({"input_shapes": version.input_shapes} if version.input_shapes else {}),
        **({"origin": version.origin} if version.origin else {}),
        "derived_from": str(parent) if parent is not None else None,
        "status": version.status,
    }
