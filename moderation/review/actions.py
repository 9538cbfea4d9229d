"""Changing what reviewers can decide."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from django.db import IntegrityError, transaction

from moderation.review.models import ACCOUNT_EFFECTS, Effect, ReviewAction
from moderation.rights import ModerationRight
from registry.access.policies import role_names
from registry.catalogue.validation import check_row
from registry.errors import Conflict, Invalid, NameTaken, StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change
from registry.record.models import Subscription

# What these letters do while a case is open. Digits choose a violation.
RESERVED_KEYS = {
    "b": "blur", "e": "escalate", "f": "find a violation", "g": "grey", "h": "hold", "n": "note",
    "o": "hand over", "p": "put back", "s": "skip", "u": "undo",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSettings:
    """What may change about an action. Its name and effect stay, because verdicts rest on them."""

    title: str
    key: str = ""
    roles: Sequence[str] = ()
    subscription: Subscription | None = None
    strike_weight: float = 0.0
    strike_days: int = 90
    proposed_at: float | None = None
    place: int = 100


@transaction.atomic
def create_action(*, name: str, effect: Effect, values: ActionSettings, by: Actor) -> ReviewAction:
    by.check(ModerationRight.LEAD)
    if ReviewAction.objects.filter(name=name).exists():
        raise NameTaken(f"There is already an action named {name}; choose another name.")
    action = ReviewAction(name=name, effect=effect)
    _save(action, values)
    record_change(action="create_action", subject=action, before=None, after=_audit_fields(action), by=by)
    return action


@transaction.atomic
def change_action(*, action: ReviewAction, values: ActionSettings, by: Actor) -> ReviewAction:
    by.check(ModerationRight.LEAD)
    row = ReviewAction.objects.select_for_update(of=("self",)).get(pk=action.pk)
    if row.is_retired:
        raise StaleState(f"“{row}” is retired, so it cannot be changed.")
    before = _audit_fields(row)
    _save(row, values)
    record_change(action="change_action", subject=row, before=before, after=_audit_fields(row), by=by)
    return row


@transaction.atomic
def retire_action(*, action: ReviewAction, reason: str, by: Actor) -> ReviewAction:
    """Nobody can take it any more; verdicts keep it. Its key is free again."""
    by.check(ModerationRight.LEAD)
    row = ReviewAction.objects.select_for_update(of=("self",)).get(pk=action.pk)
    others = ReviewAction.objects.filter(is_retired=False, effect=Effect.NONE).exclude(pk=row.pk)
    if row.effect == Effect.NONE and not others.exists():
        raise Conflict(f"“{row}” is the only action that lets contents stay. Add another one first.")
    if not ReviewAction.objects.filter(pk=row.pk, is_retired=False).update(is_retired=True):
        raise StaleState(f"“{row}” is retired already.")
    row.refresh_from_db()
    record_change(
        action="retire_action",
        subject=row,
        before={"retired": False},
        after={"retired": True},
        reason=reason,
        by=by,
    )
    return row


def _save(action: ReviewAction, values: ActionSettings) -> None:
    for column in fields(values):
        value = getattr(values, column.name)
        setattr(action, column.name, list(value) if isinstance(value, (list, tuple)) else value)
    action.key = action.key.strip().lower()
    _check_key(action)
    if unknown := sorted(set(action.roles) - set(role_names())):
        raise Invalid(f"There is no role {unknown[0]!r}.")
    if action.proposed_at is not None and action.effect not in ACCOUNT_EFFECTS:
        raise Invalid("Only account actions are proposed; leave the weight that proposes it empty.")
    if action.strike_weight < 0:
        raise Invalid("The weight of strikes cannot be negative.")
    check_row(action)
    try:
        with transaction.atomic():
            action.save()
    except IntegrityError:
        raise Conflict("Another action was just given this name or key.") from None


def _check_key(action: ReviewAction) -> None:
    key = action.key
    if not key:
        return
    if action.is_on_account:
        raise Invalid("Account actions have no key: they are proposed, and decided on their own page.")
    if key in RESERVED_KEYS:
        raise Invalid(f"The key {key} is for “{RESERVED_KEYS[key]}”; choose another letter.")
    if not (key.isascii() and key.isalpha()):
        raise Invalid("The key must be one letter from a to z; digits choose violations.")
    other = ReviewAction.objects.filter(key=key, is_retired=False).exclude(pk=action.pk).first()
    if other is not None:
        raise Conflict(f"“{other}” has the key {key}; choose another letter.")


def _audit_fields(action: ReviewAction) -> dict[str, object]:
    return {
        "title": action.title,
        "effect": action.effect,
        "key": action.key,
        "roles": action.roles,
        "callback": action.subscription.name if action.subscription is not None else None,
        "strike_weight": action.strike_weight,
        "strike_days": action.strike_days,
        "proposed_at_weight": action.proposed_at,
        "place": action.place,
    }
