"""Rights, the roles and key scopes that grant them, and the actors made from users, keys, commands and tasks."""

import os
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

from registry.access.key_ring import Principal
from registry.access.keys import KeyTable
from registry.access.models import ObjectScope
from registry.errors import NotAllowed
from registry.kit.actors import Actor, Source
from registry.kit.registrations import Registrations


class Right(StrEnum):
    """The rights of the registry and of inference; other apps may use their own strings.

    A value is a verb and an object, because error messages print it.
    """

    PREDICT = "predict"  # for people: from admin pages; for keys: through the APIs
    PREDICT_UNAPPROVED = "predict_unapproved"  # with unapproved versions, by number or alias
    READ = "read_registry"
    DOWNLOAD = "download_artifact"  # download a version's file
    WRITE = "write_registry"  # upload, register, edit a Model's description
    REQUEST_CHANGE = "request_change"  # ask for a change that a second person approves
    APPROVE = "approve_change"
    SET_SPLIT = "set_split"  # give a version live share
    MOVE_ALIAS = "move_alias"
    LOWER = "lower_share"  # lower and pause: never needs approval
    STOP = "stop_model"
    ROLL_BACK = "roll_back"
    FREEZE = "freeze_model"
    MANAGE_JOBS = "manage_jobs"  # cancel and retry other people's jobs
    READ_RECORD = "read_record"  # audit records, events, deliveries
    MANAGE_EVENTS = "manage_subscriptions"
    MANAGE_PEOPLE = "manage_people"
    MANAGE_KEYS = "manage_keys"
    MANAGE_SETTINGS = "manage_settings"
    MANAGE_SUPERUSERS = "manage_superusers"  # in no role: only superusers and commands have it


class Role(StrEnum):
    """A Django group of the same name. What a role may do is defined in code, not in the database.

    Apps above may have more roles: `role_names` lists them all.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Grants:
    """The rights that one app defines, and who gets them."""

    rights: frozenset[str]
    roles: Mapping[str, frozenset[str]]
    scopes: Mapping[str, frozenset[str]]  # what API keys with each scope may do
    scope_labels: Mapping[str, str]  # the app's own scopes; it may also add rights to other apps' scopes
    pages: Mapping[str, str]  # Django's admin permissions and the right that opens each
    # Rights that belong to no single Model: a person limited to some Models does not hold them.
    global_rights: frozenset[str] = frozenset()


def _clear_caches() -> None:
    for cached in (rights_by_role, key_scopes, every_right, global_rights, rights_of_scopes):
        cached.cache_clear()


GRANTS: Registrations[Grants] = Registrations("app with rights", on_change=_clear_caches)


@cache
def rights_by_role() -> Mapping[str, frozenset[str]]:
    return {role: _union(grants.roles.get(role, ()) for grants in GRANTS) for role in role_names()}


def role_names() -> list[str]:
    """The registry's roles, then those of other apps."""
    return list(dict.fromkeys([*map(str, Role), *(str(role) for grants in GRANTS for role in grants.roles)]))


@cache
def key_scopes() -> Mapping[str, str]:
    """All scopes of keys and their labels, in the order in which they are listed everywhere."""
    return {scope: label for grants in GRANTS for scope, label in grants.scope_labels.items()}


@cache
def every_right() -> frozenset[str]:
    if not apps.ready:  # an actor created at import time would lack the rights of apps that load later
        raise RuntimeError("Rights are registered while apps start; create the actor when it is needed.")
    return _union(grants.rights for grants in GRANTS)


@cache
def global_rights() -> frozenset[str]:
    return _union(grants.global_rights for grants in GRANTS)


def roles_with(right: str) -> list[str]:
    """The roles that hold this right."""
    return [role for role, rights in rights_by_role().items() if right in rights]


def rights_of_roles(roles: Iterable[str]) -> frozenset[str]:
    """What these roles may do together; an unknown role adds nothing."""
    return _union(rights_by_role().get(role, ()) for role in roles)


@cache
def rights_of_scopes(scopes: frozenset[str]) -> frozenset[str]:
    """What these scopes allow together; cached, because every prediction needs it."""
    return _union(grants.scopes.get(scope, ()) for grants in GRANTS for scope in scopes)


def _union(sets: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)


def actor_from_user(user: AbstractBaseUser | AnonymousUser, source: Source, request_id: str = "") -> Actor:
    """Create the actor for a user; an unknown or deactivated user has no rights."""
    if not isinstance(user, User) or not user.is_active:
        return Actor(name="anonymous", source=source, request_id=request_id)
    reach = ObjectScope.objects.filter(user=user).prefetch_related("models").first()
    roles = user.groups.values_list("name", flat=True)
    rights = every_right() if user.is_superuser else rights_of_roles(roles)
    return Actor(
        name=user.get_username(),
        source=source,
        rights=rights if reach is None else rights - global_rights(),
        models=None if reach is None else frozenset(model.pk for model in reach.models.all()),
        user_id=user.pk,
        request_id=request_id,
    )


def actor_from_key(principal: Principal, source: Source = Source.API, request_id: str = "") -> Actor:
    """Create the actor for a key, with the rights of its scopes, for its Models."""
    return Actor(
        name=f"key {principal.name}",
        source=source,
        rights=rights_of_scopes(principal.scopes),
        models=principal.models,
        key_id=principal.key_id,
        tenant_id=principal.tenant_id,
        request_id=request_id,
    )


def command_actor(command_name: str) -> Actor:
    """Create the actor for a management command. It may do anything, and is named after the operating system's user."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a user id without a name
        user = f"uid {os.getuid()}"
    return Actor(name=f"{user}: manage.py {command_name}", source=Source.COMMAND, rights=every_right())


def task_actor(task_name: str, rights: Iterable[str] | None = None) -> Actor:
    """Create the actor for a background task, with all rights unless `rights` is given."""
    held = every_right() if rights is None else frozenset(rights)
    return Actor(name=f"task {task_name}", source=Source.TASK, rights=held)


def encode_actor(by: Actor) -> str:
    """Encode a person or key as text that can be signed and used later; raise NotAllowed for any other actor."""
    if by.key_id is not None:
        return f"key:{by.key_id}"
    if by.user_id is not None:
        return f"user:{by.user_id}"
    raise NotAllowed(f"{by.name} is neither a person nor a key.")


def decode_actor(text: str, *, request_id: str = "") -> Actor:
    """Return the actor with its current rights, or with none if the key or person no longer exists."""
    kind, _, pk = text.partition(":")
    if kind == "key":
        principal = KeyTable().still_valid([int(pk)]).get(int(pk))
        if principal is not None:
            return actor_from_key(principal, request_id=request_id)
    user = User.objects.filter(pk=pk).first() if kind == "user" else None
    return actor_from_user(user or AnonymousUser(), Source.API, request_id)


def check_manages(user: User, by: Actor) -> None:
    """Raise NotAllowed unless the actor may change this person; only superusers may change superusers."""
    by.check(Right.MANAGE_PEOPLE)
    if user.is_superuser:
        by.check(Right.MANAGE_SUPERUSERS)
