"""Registers versions, moves them through their states by conditional updates, and changes their serving settings."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F, Max

from registry.access.policies import Right
from registry.catalogue.artifacts import StoredFile
from registry.catalogue.models import Artifact, Model, ServingSettings, Version
from registry.catalogue.route_changes import lock_model, stamp
from registry.catalogue.selectors import uses_of
from registry.catalogue.serving_settings import DEFAULTS, ServingValues, checked_values
from registry.catalogue.task_kinds import NO_FACTS, TASK_KINDS, TaskFacts, checked_config
from registry.catalogue.transitions import ALLOWED, Status
from registry.catalogue.validation import (
    check_row,
    checked_reason,
    checked_shapes,
    checked_training,
)
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
    task_files: Mapping[str, str] | None = None,
    input_shapes: Mapping[str, Any] | None = None,
    origin: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    derived_from: Version | None = None,
    source_format: str = "",
    source_options: Mapping[str, str] | None = None,
    notes: str = "",
    by: Actor,
) -> Version:
    """Register a stored file as the Model's next version, with default serving settings; it has not been checked yet.

    `training`, where it comes from, is stored in its origin, and checked there even if the caller put it there itself.
    `source_format`: the file is not ONNX, and the check converts it first.
    """
    by.check(Right.WRITE, model_id=model.pk)
    config = checked_config(model.task, task_config or {}, task_files or {})
    shapes = checked_shapes(input_shapes or {})
    stored_origin = _with_training(origin or {}, training)
    if derived_from is not None and not by.may(Right.READ, model_id=derived_from.model_id):
        raise Invalid("The version it is derived from does not exist, or you may not see it.")
    present = lock_model(model)
    artifact, _ = Artifact.objects.get_or_create(sha256=file.sha256, defaults={"size_bytes": file.size_bytes})
    last = present.versions.aggregate(last=Max("number"))["last"] or 0
    version = Version(
        model=present,
        number=last + 1,
        artifact=artifact,
        task_config=config,
        task_files=dict(task_files or {}),
        input_shapes=shapes,
        origin=stored_origin,
        derived_from=derived_from,
        source=artifact if source_format else None,
        source_format=source_format,
        source_options=dict(source_options or {}),
        notes=notes,
        created_by_id=by.user_id,
        made_by=by.name[:200],
    )
    check_row(version)
    version.save()
    ServingSettings.objects.create(
        version=version,
        revision=1,
        values={**DEFAULTS.to_json(), **TASK_KINDS[model.task].serving},
        reason="defaults",
        made_by=version.made_by,
    )
    stamp(present)
    record_change(
        action="register_version", subject=version, before=None, after=_audit_fields(version), by=by
    )
    return version


def _with_training(origin: Mapping[str, Any], training: Mapping[str, Any] | None) -> dict[str, Any]:
    others = {name: value for name, value in origin.items() if name != "training"}
    record = checked_training(training if training is not None else origin.get("training") or {})
    return {**others, "training": record} if record else others


@transaction.atomic
def start_check(*, version: Version, by: Actor) -> Version:
    """Mark the version as being checked, for the first time or again after a failed check."""
    return _change(version, Status.CHECKING, "start_check", by, failure="")


@transaction.atomic
def record_conversion(
    *, version: Version, file: StoredFile, lineage: Mapping[str, Any], by: Actor
) -> Version:
    """Make the converted file the version's artifact. Raises StaleState if it was converted already."""
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    artifact, _ = Artifact.objects.get_or_create(sha256=file.sha256, defaults={"size_bytes": file.size_bytes})
    waiting = Version.objects.filter(pk=version.pk, status=Status.CHECKING, artifact=F("source"))
    if not waiting.update(artifact=artifact, origin={**version.origin, "converted": dict(lineage)}):
        raise StaleState(f"{version} was converted already.")
    stamp(version.model)
    converted = Version.objects.select_related("model", "artifact").get(pk=version.pk)
    record_change(
        action="convert_version",
        subject=converted,
        before={"sha256": version.artifact.sha256},
        after={"sha256": file.sha256, "size_bytes": file.size_bytes, **lineage},
        by=by,
    )
    return converted


@transaction.atomic
def pass_check(
    *, version: Version, signature: Mapping[str, Any], task: TaskFacts = NO_FACTS, by: Actor
) -> Version:
    """Mark the version as ready; from now on it may answer requests."""
    return _change(
        version,
        Status.READY,
        "pass_check",
        by,
        signature=dict(signature),
        preprocessing=task.preprocessing,
        may_pad=task.may_pad,
    )


@transaction.atomic
def update_task_facts(*, version: Version, task: TaskFacts, by: Actor) -> Version:
    """Store what another check of a ready version found out about its task.

    An earlier release may have found less. The caller records the change with the result of the check.
    """
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    Version.objects.filter(pk=version.pk).update(preprocessing=task.preprocessing, may_pad=task.may_pad)
    stamp(version.model)
    return Version.objects.select_related("model", "artifact").get(pk=version.pk)


@transaction.atomic
def fail_check(*, version: Version, failure: str, by: Actor) -> Version:
    """Mark the version as failed, and emit an event with the reason."""
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
    """Archive a version that nothing uses."""
    by.check(Right.WRITE, model_id=version.model_id)
    why = checked_reason(reason)
    lock_model(version.model)
    if uses := uses_of(version):
        raise Conflict(f"{' '.join(uses)} Change that first, then archive it.")
    return _change(version, Status.ARCHIVED, "archive_version", by, why)


@transaction.atomic
def unarchive_version(*, version: Version, reason: str, by: Actor) -> Version:
    """Restore an archived version to ready or failed, according to its check."""
    status = Status.FAILED if version.failure else Status.READY
    return _change(version, status, "unarchive_version", by, checked_reason(reason))


def _change(
    version: Version, to: Status, action: str, by: Actor, reason: str = "", **columns: Any
) -> Version:
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    old = Status(version.status)
    if to not in ALLOWED[old]:
        raise Conflict(f"{version} is {old}; it cannot become {to}.")
    if not Version.objects.filter(pk=version.pk, status=old).update(status=to, **columns):
        raise StaleState(
            f"{version} is no longer {old}: someone else changed it first. Reload and try again."
        )
    stamp(version.model)
    changed = Version.objects.select_related("model", "artifact").get(pk=version.pk)
    record_change(
        action=action,
        subject=changed,
        before=_status_fields(version),
        after=_status_fields(changed),
        reason=reason,
        by=by,
    )
    return changed


def _status_fields(version: Version) -> dict[str, Any]:
    return {"status": version.status, **({"failure": version.failure} if version.failure else {})}


def _audit_fields(version: Version) -> dict[str, Any]:
    parent = version.derived_from
    return {
        "sha256": version.artifact.sha256,
        "size_bytes": version.artifact.size_bytes,
        "task_config": version.task_config,
        **({"task_files": version.task_files} if version.task_files else {}),
        **({"input_shapes": version.input_shapes} if version.input_shapes else {}),
        **({"origin": version.origin} if version.origin else {}),
        **({"source_format": version.source_format} if version.source_format else {}),
        **({"source_options": version.source_options} if version.source_options else {}),
        "derived_from": str(parent) if parent is not None else None,
        "status": version.status,
    }


@transaction.atomic
def change_serving(
    *,
    version: Version,
    changes: Mapping[str, Any],
    reason: str,
    expected_revision: int | None = None,
    by: Actor,
) -> ServingSettings:
    """Write the next revision of a version's serving settings; settings not in `changes` stay as they are."""
    by.check(Right.WRITE, model_id=version.model_id)
    why = checked_reason(reason)
    present = lock_model(version.model)
    old = version.serving_settings.get(is_current=True)
    if expected_revision is not None and old.revision != expected_revision:
        raise StaleState(
            f"The serving settings of {version} have changed since you read them; reload and try again."
        )
    values = checked_values(ServingValues.from_json(old.values), changes)
    if not ServingSettings.objects.filter(pk=old.pk, is_current=True).update(is_current=False):
        raise StaleState(
            f"The serving settings of {version} were changed at the same moment; reload and try again."
        )
    new = ServingSettings.objects.create(
        version=version,
        revision=old.revision + 1,
        values=values.to_json(),
        reason=why,
        made_by=by.name[:200],
    )
    stamp(present)
    changed = [name for name, value in new.values.items() if old.values.get(name) != value]
    record_change(
        action="change_serving",
        subject=version,
        before={name: old.values.get(name) for name in changed},
        after={"revision": new.revision, **{name: new.values[name] for name in changed}},
        reason=why,
        by=by,
    )
    return new
