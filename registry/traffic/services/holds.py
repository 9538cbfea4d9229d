"""Stopping and freezing: what an operator does first when something is wrong."""

from typing import Any

from django.db import transaction

from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.route_changes import Stamp, lock_model, stamp
from registry.catalogue.validation import checked_reason
from registry.errors import Conflict, ModelFrozen
from registry.kit.actors import Actor
from registry.record.audit import record_change
from registry.record.events import emit
from registry.record.kinds import register_kind
from registry.traffic.models import Hold

register_kind("model_stopped", "An operator stopped a Model.")
register_kind("model_started", "A stopped Model answers again.")


@transaction.atomic
def stop_model(*, model: Model, text: str, by: Actor) -> Hold:
    """Let the Model answer nobody; callers get the text. Stopping again replaces the text."""
    by.check(Right.STOP, model_id=model.pk)
    hold = _begin(model, Hold.Kind.STOPPED, text, "stop_model", by)
    _emit("model_stopped", hold, f"{model.slug} was stopped by {by.name}: {hold.text}")
    return hold


@transaction.atomic
def start_model(*, model: Model, reason: str, by: Actor) -> Hold:
    """Let a stopped Model answer again, with its current split. That is live share, which a freeze refuses."""
    by.check(Right.SET_SPLIT, model_id=model.pk)
    if frozen := open_hold(model, Hold.Kind.FROZEN):
        raise ModelFrozen(f"{model.slug} is frozen ({frozen.text}); unfreeze it before you start it.")
    hold = _end(model, Hold.Kind.STOPPED, reason, "start_model", by)
    _emit("model_started", hold, f"{model.slug} was started by {by.name}: {reason}")
    return hold


@transaction.atomic
def freeze_model(*, model: Model, reason: str, by: Actor) -> Hold:
    """Refuse whatever gives a version live share. Lowering, stopping and rolling back still work."""
    by.check(Right.FREEZE, model_id=model.pk)
    return _begin(model, Hold.Kind.FROZEN, reason, "freeze_model", by)


@transaction.atomic
def unfreeze_model(*, model: Model, reason: str, by: Actor) -> Hold:
    """Allow changes of live share again."""
    by.check(Right.FREEZE, model_id=model.pk)
    return _end(model, Hold.Kind.FROZEN, reason, "unfreeze_model", by)


def open_hold(model: Model, kind: Hold.Kind) -> Hold | None:
    return model.holds.filter(kind=kind, to_at=None).first()


def _begin(model: Model, kind: Hold.Kind, text: str, action: str, by: Actor) -> Hold:
    why = checked_reason(text)
    present = lock_model(model)
    before = open_hold(present, kind)
    moment = stamp(present)
    if before is not None:
        _close(before, moment, by)
    hold = Hold.objects.create(model=present, kind=kind, text=why, from_at=moment.at, begun_by=by.name[:200])
    record_change(action=action, subject=present, before=_told(before), after=_told(hold), reason=why, by=by)
    return hold


def _end(model: Model, kind: Hold.Kind, reason: str, action: str, by: Actor) -> Hold:
    why = checked_reason(reason)
    present = lock_model(model)
    hold = open_hold(present, kind)
    if hold is None:
        raise Conflict(f"{model.slug} is not {kind}.")
    _close(hold, stamp(present), by)
    record_change(action=action, subject=present, before=_told(hold), after=None, reason=why, by=by)
    return Hold.objects.get(pk=hold.pk)


def _close(hold: Hold, moment: Stamp, by: Actor) -> None:
    """The row's lock on the Model keeps two from closing it; the condition is the net below."""
    Hold.objects.filter(pk=hold.pk, to_at=None).update(to_at=moment.at, ended_by=by.name[:200])


def _told(hold: Hold | None) -> dict[str, Any] | None:
    return {hold.kind: hold.text} if hold is not None else None


def _emit(kind: str, hold: Hold, summary: str) -> None:
    emit(kind, subject=hold.model, data={"model": hold.model.slug, "text": hold.text}, summary=summary)
