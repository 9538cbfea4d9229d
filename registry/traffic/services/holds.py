"""Stopping and freezing Models: an operator's first step when something is wrong."""

from django.db import transaction

from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.route_changes import Stamp, lock_model, stamp
from registry.catalogue.validation import checked_reason
from registry.errors import Conflict, ModelFrozen
from registry.kit.actors import Actor
from registry.record.audit import record_change
from registry.record.events import emit
from registry.traffic.models import Hold
from registry.traffic.selectors import open_hold


@transaction.atomic
def stop_model(*, model: Model, text: str, by: Actor) -> Hold:
    """Refuse all requests to the Model; callers get the text. Stopping again replaces the text."""
    by.check(Right.STOP, model_id=model.pk)
    hold = _begin(model, Hold.Kind.STOPPED, text, "stop_model", by)
    _emit("model_stopped", hold, f"{model.slug} was stopped by {by.name}: {hold.text}")
    return hold


@transaction.atomic
def start_model(*, model: Model, reason: str, by: Actor) -> Hold:
    """Let a stopped Model answer again, with its current split. A frozen Model cannot, as it would gain live share."""
    by.check(Right.SET_SPLIT, model_id=model.pk)
    if frozen := open_hold(model, Hold.Kind.FROZEN):
        raise ModelFrozen(f"{model.slug} is frozen ({frozen.text}); unfreeze it before you start it.")
    hold = _end(model, Hold.Kind.STOPPED, reason, "start_model", by)
    _emit("model_started", hold, f"{model.slug} was started by {by.name}: {reason}")
    return hold


@transaction.atomic
def freeze_model(*, model: Model, reason: str, by: Actor) -> Hold:
    """Refuse changes that give a version live share. Lowering, stopping and rolling back still work."""
    by.check(Right.FREEZE, model_id=model.pk)
    return _begin(model, Hold.Kind.FROZEN, reason, "freeze_model", by)


@transaction.atomic
def unfreeze_model(*, model: Model, reason: str, by: Actor) -> Hold:
    """Allow versions to gain live share again."""
    by.check(Right.FREEZE, model_id=model.pk)
    return _end(model, Hold.Kind.FROZEN, reason, "unfreeze_model", by)


def _begin(model: Model, kind: Hold.Kind, text: str, action: str, by: Actor) -> Hold:
    why = checked_reason(text)
    present = lock_model(model)
    old = open_hold(present, kind)
    change = stamp(present)
    if old is not None:
        _close(old, change, by)
    hold = Hold.objects.create(model=present, kind=kind, text=why, from_at=change.at, begun_by=by.name[:200])
    before = {old.kind: old.text} if old is not None else None
    record_change(action=action, subject=present, before=before, after={kind: why}, reason=why, by=by)
    return hold


def _end(model: Model, kind: Hold.Kind, reason: str, action: str, by: Actor) -> Hold:
    why = checked_reason(reason)
    present = lock_model(model)
    hold = open_hold(present, kind)
    if hold is None:
        raise Conflict(f"{model.slug} is not {kind}.")
    _close(hold, stamp(present), by)
    record_change(action=action, subject=present, before={kind: hold.text}, after=None, reason=why, by=by)
    return Hold.objects.get(pk=hold.pk)


def _close(hold: Hold, change: Stamp, by: Actor) -> None:
    """The caller's lock on the Model prevents closing a hold twice; the condition is a safety net."""
    Hold.objects.filter(pk=hold.pk, to_at=None).update(to_at=change.at, ended_by=by.name[:200])


def _emit(kind: str, hold: Hold, summary: str) -> None:
    emit(kind, subject=hold.model, data={"model": hold.model.slug, "text": hold.text}, summary=summary)
