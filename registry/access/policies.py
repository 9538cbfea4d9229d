"""Who may do what: rights, the roles and key scopes that carry them, and the actor each door makes of its caller."""

import os
import pwd
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

from registry.access.key_ring import Principal
from registry.access.models import KeyScope, ObjectScope
from registry.kit.actors import Actor, Source


class Right(StrEnum):
    """What a service may ask of its actor. A value is a verb and an object: refusals print it."""

    PREDICT = "predict"  # for people: from a page of the admin; for keys: through the doors
    PREDICT_UNAPPROVED = "predict_unapproved"  # ask versions that nobody approved, by number or alias
    READ = "read_registry"
    DOWNLOAD = "download_artifact"  # take a version's file out of the house
    WRITE = "write_registry"  # upload, register, edit what is written about a Model
    REQUEST_CHANGE = "request_change"  # ask for a change that somebody else approves
    APPROVE = "approve_change"
    SET_SPLIT = "set_split"  # give a version live share
    MOVE_ALIAS = "move_alias"
    LOWER = "lower_share"  # lower and pause: never waits for anybody
    STOP = "stop_model"
    ROLL_BACK = "roll_back"
    FREEZE = "freeze_model"
    MANAGE_JOBS = "manage_jobs"  # cancel and retry jobs of others
    READ_RECORD = "read_record"  # audit records, events, deliveries
    MANAGE_EVENTS = "manage_subscriptions"
    MANAGE_PEOPLE = "manage_people"
    MANAGE_KEYS = "manage_keys"
    MANAGE_SETTINGS = "manage_settings"
    MANAGE_SUPERUSERS = "manage_superusers"  # in no role: superusers have it, and whoever runs commands here


class Role(StrEnum):
    """A role is a group of this name; what it may do is written here, never in the database."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


_OPERATE = frozenset({
    Right.READ, Right.WRITE, Right.REQUEST_CHANGE, Right.SET_SPLIT, Right.MOVE_ALIAS, Right.LOWER, Right.STOP,
    Right.ROLL_BACK, Right.FREEZE, Right.MANAGE_JOBS,
})  # fmt: skip

# People try a version before they decide about it, so whoever may predict may ask any version.
_PREDICT_ANY = frozenset({Right.PREDICT, Right.PREDICT_UNAPPROVED})

ROLE_RIGHTS: Mapping[str, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.OPERATOR: _OPERATE | _PREDICT_ANY | {Right.READ_RECORD, Right.DOWNLOAD},
    Role.APPROVER: _PREDICT_ANY | {Right.READ, Right.READ_RECORD, Right.APPROVE},
    Role.ADMIN: _PREDICT_ANY | frozenset({
        Right.READ, Right.READ_RECORD, Right.FREEZE, Right.MANAGE_EVENTS, Right.MANAGE_PEOPLE,
        Right.MANAGE_KEYS, Right.MANAGE_SETTINGS,
    }),
}  # fmt: skip

SCOPE_RIGHTS: Mapping[str, frozenset[Right]] = {
    KeyScope.PREDICT: frozenset({Right.PREDICT}),
    KeyScope.PREDICT_UNAPPROVED: _PREDICT_ANY,
    KeyScope.READ: frozenset({Right.READ}),
    KeyScope.WRITE: _OPERATE,
    KeyScope.DOWNLOAD: frozenset({Right.READ, Right.DOWNLOAD}),
}

EVERY_RIGHT = frozenset(Right)

# These belong to no single Model, so nobody whose reach is limited to some Models holds them.
WHOLE_REGISTRY = frozenset({
    Right.MANAGE_EVENTS, Right.MANAGE_PEOPLE, Right.MANAGE_KEYS, Right.MANAGE_SETTINGS, Right.MANAGE_SUPERUSERS,
})  # fmt: skip


def rights_of_roles(roles: Iterable[str]) -> frozenset[str]:
    """What these roles may do together; a name that is no role adds nothing."""
    return frozenset[str]().union(*(ROLE_RIGHTS.get(role, frozenset()) for role in roles))


@cache
def rights_of_scopes(scopes: frozenset[str]) -> frozenset[str]:
    """What these scopes allow together; remembered, because every prediction asks."""
    return frozenset[str]().union(*(SCOPE_RIGHTS.get(scope, frozenset()) for scope in scopes))


def actor_from_user(user: AbstractBaseUser | AnonymousUser, source: Source, request_id: str = "") -> Actor:
    """Fix a person's rights and reach; who is not known, or no longer active, has none."""
    if not isinstance(user, User) or not user.is_active:
        return Actor(name="anonymous", source=source, request_id=request_id)
    reach = ObjectScope.objects.filter(user=user).prefetch_related("models").first()
    if user.is_superuser:
        rights: frozenset[str] = EVERY_RIGHT
    else:
        rights = rights_of_roles(user.groups.values_list("name", flat=True))
    return Actor(
        name=user.get_username(),
        source=source,
        rights=rights if reach is None else rights - WHOLE_REGISTRY,
        models=None if reach is None else frozenset(model.pk for model in reach.models.all()),
        user_id=user.pk,
        request_id=request_id,
    )


def actor_from_key(principal: Principal, source: Source = Source.API, request_id: str = "") -> Actor:
    """Fix what a key may do: what its scopes say, for its Models."""
    return Actor(
        name=f"key {principal.name}",
        source=source,
        rights=rights_of_scopes(principal.scopes),
        models=principal.models,
        key_id=principal.key_id,
        tenant_id=principal.tenant_id,
        request_id=request_id,
    )


def check_manages(user: User, by: Actor) -> None:
    """Raise NotAllowed unless the actor may change this person: a role never reaches above itself."""
    by.check(Right.MANAGE_PEOPLE)
    if user.is_superuser:
        by.check(Right.MANAGE_SUPERUSERS)


def command_actor(command_name: str) -> Actor:
    """Whoever may run commands on this machine may do anything; the record keeps the system's name for them."""
    try:
        who = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that has no name
        who = f"uid {os.getuid()}"
    return Actor(name=f"{who}: manage.py {command_name}", source=Source.COMMAND, rights=EVERY_RIGHT)


def task_actor(task_name: str, rights: Iterable[Right] = EVERY_RIGHT) -> Actor:
    """Roundhouse itself, in a background task."""
    return Actor(name=f"task {task_name}", source=Source.TASK, rights=frozenset(rights))
