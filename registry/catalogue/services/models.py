"""Creates and edits Models."""

from collections.abc import Iterable
from typing import Any, TypedDict

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from registry.access.limits import CallerLimits
from registry.access.policies import Right
from registry.access.validation import checked_limits
from registry.catalogue.models import KeySource, Model, Tag
from registry.catalogue.route_changes import lock_model, stamp
from registry.catalogue.task_kinds import TENSOR, checked_task
from registry.catalogue.validation import check_revision, check_row, checked_reason, checked_tags
from registry.errors import Conflict, Invalid, NameTaken, StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change


class ModelChanges(TypedDict, total=False):
    """What may be changed about a Model; missing keys stay unchanged."""

    title: str
    notes: str
    tags: list[str]
    owner: User | None
    key_source: str
    key_field: str
    bake_minutes: int
    pool: str
    limits: CallerLimits


def create_model(
    *,
    slug: str,
    title: str = "",
    notes: str = "",
    task: str = TENSOR,
    tags: Iterable[str] = (),
    by: Actor,
) -> Model:
    """Create a Model; its name is part of its URL, and neither name nor task ever changes."""
    by.check(Right.WRITE)
    model = Model(slug=slug, title=title, notes=notes, task=task, owner_id=by.user_id)
    checked_task(task)
    check_row(model)
    names = checked_tags(tags)
    try:
        with transaction.atomic():
            model.save()
            Tag.objects.bulk_create(Tag(model=model, name=name) for name in names)
            stamp(model)
            after = _audit_fields(model, names)
            record_change(action="create_model", subject=model, before=None, after=after, by=by)
    except IntegrityError:
        raise name_taken(slug) from None
    return model


def name_taken(slug: str) -> NameTaken:
    return NameTaken(f"A Model named {slug} already exists; add a version to it, or choose another name.")


@transaction.atomic
def edit_model(
    *, model: Model, changes: ModelChanges, expected_revision: int | None = None, reason: str = "", by: Actor
) -> Model:
    """Change a Model's texts, tags, owner, routing key, pool, limits, or how long replaced versions stay warm."""
    by.check(Right.WRITE, model_id=model.pk)
    present = lock_model(model)
    check_revision(present, present.revision, expected_revision)
    tags_before = _tags_of(present)
    before = _audit_fields(present, tags_before)
    columns = _columns(changes)
    if columns.get("pool", present.pool) != present.pool:
        _check_may_move(present, reason)
    for name, value in columns.items():
        setattr(present, name, value)
    _check_key_source(present)
    check_row(present)
    tags = checked_tags(changes["tags"]) if "tags" in changes else tags_before
    if columns and not Model.objects.filter(pk=present.pk, route_revision=present.revision).update(**columns):
        raise StaleState(f"{model.slug} was edited at the same moment; reload and try again.")
    if tags != tags_before:
        present.tags.all().delete()
        Tag.objects.bulk_create(Tag(model=present, name=name) for name in tags)
    stamp(present)
    after = _audit_fields(present, tags)
    record_change(action="edit_model", subject=present, before=before, after=after, reason=reason, by=by)
    return Model.objects.get(pk=present.pk)


def _columns(changes: ModelChanges) -> dict[str, Any]:
    columns: dict[str, Any] = {n: value for n, value in changes.items() if n not in {"tags", "limits"}}
    if "limits" in changes:
        columns |= checked_limits(changes["limits"]).columns()
    return columns


def why_not_move(model: Model) -> str | None:
    """Why the Model cannot change its pool now (the new pool's workers have not loaded its versions), or None."""
    is_served_by_workers = settings.EXECUTOR == "workers" and model.splits.filter(status="current").exists()
    if not is_served_by_workers or model.holds.filter(kind="stopped", to_at=None).exists():
        return None
    return (
        f"{model.slug} is live, and the workers of another pool have not loaded its versions. Stop it, change its pool,"
        " wait until that pool's workers are warm, then start it again."
    )


def _check_may_move(model: Model, reason: str) -> None:
    checked_reason(reason)
    if (why := why_not_move(model)) is not None:
        raise Conflict(why)


def _check_key_source(model: Model) -> None:
    if model.key_source not in KeySource.values:
        raise Invalid(
            f"{model.key_source!r} is not a routing key source; use one of {', '.join(KeySource.values)}."
        )
    if (model.key_source == KeySource.FIELD) != bool(model.key_field):
        raise Invalid("Set the routing key's field if, and only if, the routing key is `field`.")


def _tags_of(model: Model) -> list[str]:
    return [tag.name for tag in model.tags.all()]


def _audit_fields(model: Model, tags: list[str]) -> dict[str, Any]:
    return {
        "title": model.title,
        "notes": model.notes,
        "task": model.task,
        "tags": tags,
        "owner": model.owner.get_username() if model.owner is not None else None,
        "owner_id": model.owner_id,
        "key_source": model.key_source,
        "key_field": model.key_field,
        "bake_minutes": model.bake_minutes,
        "pool": model.pool,
        **model.limits.columns(),
    }
