"""Who may move an alias whose name is guarded."""

from typing import NamedTuple

from django.contrib.auth.models import User

from registry.access.models import ApiKey
from registry.access.policies import Right, actor_from_user, rights_of_scopes
from registry.catalogue.models import AliasGuard, Model
from registry.errors import NotAllowed
from registry.kit.actors import Actor, Source


class Mover(NamedTuple):
    """A person or key named in a guard, and whether they still have the right to move the Model's aliases."""

    name: str
    may: bool


def check_guard(*, model: Model, name: str, by: Actor) -> None:
    """Raise NotAllowed if the name is guarded and its guard does not name the actor, even a superuser."""
    guard = AliasGuard.objects.select_related("model").filter(model=model, name=name).first()
    if guard is not None and not guard_allows(guard, by):
        raise NotAllowed(f"{by.name} may not move {model.slug}@{name}: {_describe_movers(guard)}")


def guard_allows(guard: AliasGuard, by: Actor) -> bool:
    """Whether the guard names the actor. The actor needs the right to move aliases as well."""
    if by.user_id is not None:
        return guard.people.filter(pk=by.user_id).exists()
    if by.key_id is not None:
        return guard.keys.filter(pk=by.key_id).exists()
    return by.source == Source.COMMAND  # anyone who can run commands on this machine can do anything


def person_may_move(user: User, model: Model) -> bool:
    """Whether this person may move the Model's unguarded aliases."""
    return actor_from_user(user, Source.ADMIN).may(Right.MOVE_ALIAS, model_id=model.pk)


def key_may_move(key: ApiKey, model: Model) -> bool:
    """Whether this key may move the Model's unguarded aliases."""
    is_in_scope = key.all_models or key.only_models.filter(pk=model.pk).exists()
    return key.is_valid and is_in_scope and Right.MOVE_ALIAS in rights_of_scopes(frozenset(key.scopes))


def movers(guard: AliasGuard) -> list[Mover]:
    people = [Mover(user.get_username(), person_may_move(user, guard.model)) for user in guard.people.all()]
    return [*people, *(Mover(f"key {key.name}", key_may_move(key, guard.model)) for key in guard.keys.all())]


def _describe_movers(guard: AliasGuard) -> str:
    names = [mover.name for mover in movers(guard) if mover.may]
    if not names:
        return "no one named in its guard can move it now; an administrator can name others."
    return f"it is guarded, and only these may move it: {', '.join(names)}."
