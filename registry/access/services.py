"""Changes to tenants, keys and people. Each checks the right, writes, and adds an audit record, in one transaction."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from registry.access import keys
from registry.access.key_ring import digest_of, new_key_text
from registry.access.limits import NO_LIMITS, CallerLimits
from registry.access.models import ApiKey, ObjectScope, Tenant
from registry.access.policies import Right, Role, check_manages, role_names
from registry.access.validation import checked_expiry, checked_limits, checked_scopes, checked_tenant_slug
from registry.errors import Conflict, Invalid, NameTaken, StaleState
from registry.kit.actors import Actor, every_model
from registry.kit.text import checked_line
from registry.record.audit import AuditSubject, record_change


def create_tenant(*, slug: str, title: str = "", limits: CallerLimits = NO_LIMITS, by: Actor) -> Tenant:
    """Create a tenant. Its name never changes, because keys and routing rules refer to it."""
    by.check(Right.MANAGE_KEYS)
    tenant = Tenant(slug=checked_tenant_slug(slug), title=_checked_title(title))
    tenant.limits = checked_limits(limits)
    after = {"slug": slug, **_tenant_facts(tenant)}
    try:
        with transaction.atomic():
            tenant.save()
            record_change(action="create_tenant", subject=tenant, before=None, after=after, by=by)
    except IntegrityError:
        raise NameTaken(f"There is already a tenant named {slug}; use it, or choose another name.") from None
    return tenant


@transaction.atomic
def change_tenant(
    *, tenant: Tenant, title: str | None = None, limits: CallerLimits | None = None, by: Actor
) -> Tenant:
    """Change the tenant's title, limits, or both; None keeps the current ones."""
    by.check(Right.MANAGE_KEYS)
    row = Tenant.objects.select_for_update().get(pk=tenant.pk)
    before = _tenant_facts(row)
    row.title = row.title if title is None else _checked_title(title)
    row.limits = row.limits if limits is None else checked_limits(limits)
    row.save()
    record_change(action="change_tenant", subject=row, before=before, after=_tenant_facts(row), by=by)
    transaction.on_commit(partial(keys.ring.forget_tenant, row.pk))
    return row


@transaction.atomic
def issue_key(
    *,
    name: str,
    tenant: Tenant,
    scopes: Iterable[str],
    models: Collection[int] = (),
    expires_at: datetime | None = None,
    limits: CallerLimits = NO_LIMITS,
    by: Actor,
) -> tuple[ApiKey, str]:
    """Create a key; return its row and its full text, which is shown only once. No `models` means all of them."""
    by.check(Right.MANAGE_KEYS)
    prefix, text = new_key_text()
    key = ApiKey(prefix=prefix, digest=digest_of(text), tenant=tenant, created_by_id=by.user_id)
    key.limits = checked_limits(limits)
    _write_terms(key, name=name, scopes=scopes, models=models, expires_at=checked_expiry(expires_at))
    record_change(action="issue_key", subject=key, before=None, after=key_facts(key), by=by)
    return key, text


@transaction.atomic
def change_key(
    *,
    key: ApiKey,
    name: str,
    scopes: Iterable[str],
    models: Collection[int],
    expires_at: datetime | None,
    limits: CallerLimits | None = None,
    reason: str = "",
    by: Actor,
) -> ApiKey:
    """Change what a key may do, not its text. No `models` means all of them; `limits=None` keeps its limits."""
    by.check(Right.MANAGE_KEYS)
    row = ApiKey.objects.select_for_update().get(pk=key.pk)
    if row.revoked_at is not None:
        raise StaleState(f"{row} is revoked for good; create a new key.")
    before = key_facts(row)
    expires_at = expires_at if expires_at == row.expires_at else checked_expiry(expires_at)
    row.limits = row.limits if limits is None else checked_limits(limits)
    _write_terms(row, name=name, scopes=scopes, models=models, expires_at=expires_at)
    record_change(action="change_key", subject=row, before=before, after=key_facts(row), reason=reason, by=by)
    transaction.on_commit(partial(keys.ring.forget, row.pk))
    return row


@transaction.atomic
def revoke_key(*, key: ApiKey, reason: str = "", by: Actor) -> ApiKey:
    """Revoke a key: immediately in this process, within a minute in all others."""
    by.check(Right.MANAGE_KEYS)
    now = timezone.now()
    if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now, changed_at=now):
        raise StaleState(f"{key} is already revoked.")
    key.refresh_from_db()
    record_change(
        action="revoke_key",
        subject=key,
        before={"revoked": False},
        after={"revoked": True},
        reason=reason,
        by=by,
    )
    transaction.on_commit(partial(keys.ring.forget, key.pk))
    return key


def key_facts(key: ApiKey) -> dict[str, Any]:
    """A key's fields in audit records; never the digest."""
    return {
        "name": key.name,
        "tenant": key.tenant.slug,
        "scopes": key.scopes,
        "models": "all" if key.all_models else sorted(str(model) for model in key.only_models.all()),
        "expires_at": key.expires_at,
        **key.limits.columns(),
    }


def _write_terms(
    key: ApiKey, *, name: str, scopes: Iterable[str], models: Collection[int], expires_at: datetime | None
) -> None:
    key.name = checked_line(name, what="name", longest=100)
    key.scopes = checked_scopes(scopes)
    key.expires_at = expires_at
    key.all_models = not models
    key.save()
    key.only_models.set(_models_by_id(models))


def _checked_title(title: str) -> str:
    return checked_line(title, what="title", longest=200, may_be_empty=True)


def _tenant_facts(tenant: Tenant) -> dict[str, Any]:
    return {"title": tenant.title, **tenant.limits.columns()}


@dataclass(frozen=True, slots=True)
class Person:
    """What may be set for a person. This cannot make a superuser, and grants permissions only through roles."""

    username: str
    roles: Collection[str]
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    is_active: bool = True
    models: Collection[int] | None = None  # None: the roles apply to all Models


def create_person(*, person: Person, password: str | None, by: Actor) -> User:
    """Create an account; without a password, nobody can log in to it until one is set."""
    by.check(Right.MANAGE_PEOPLE)
    user = User(is_staff=True)
    user.set_password(password)
    try:
        with transaction.atomic():
            _write_person(user, person)
            record_change(action="create_person", subject=user, before=None, after=person_facts(user), by=by)
    except IntegrityError:
        raise NameTaken(f"The user name {person.username} is taken; choose another.") from None
    return user


def change_person(*, user: User, person: Person, by: Actor) -> User:
    """Change a person's details, roles and Models; the last administrator cannot be removed."""
    check_manages(user, by)
    try:
        with transaction.atomic():
            # Locked, so that two administrators cannot remove each other at the same time.
            Group.objects.select_for_update().get(name=Role.ADMIN)
            row = User.objects.select_for_update().get(pk=user.pk)
            before = person_facts(row)
            _write_person(row, person)
            if not _active_admins().exists():
                raise Conflict("This is the last administrator; give the admin role to another person first.")
            record_change(action="change_person", subject=row, before=before, after=person_facts(row), by=by)
    except IntegrityError:
        raise NameTaken(f"The user name {person.username} is taken; choose another.") from None
    return row


@transaction.atomic
def set_password(*, user: User, password: str | None, by: Actor) -> None:
    """Set one's own or another person's password; None leaves the account without one. Ends the account's sessions."""
    if by.user_id != user.pk:
        check_manages(user, by)
    user.set_password(password)
    user.save(update_fields=["password"])
    after = {"password": "set" if password is not None else "none"}
    record_change(action="set_password", subject=user, before=None, after=after, by=by)


@transaction.atomic
def unlock_login(*, attempt: AccessAttempt, by: Actor) -> None:
    """Delete the failed attempts of this name at this address, so that the person may try again."""
    by.check(Right.MANAGE_PEOPLE)
    name, failures = attempt.username or "", attempt.failures_since_start
    attempt.delete()
    subject = AuditSubject(kind="login", id=name, label=f"{name} from {attempt.ip_address}")
    record_change(action="unlock_login", subject=subject, before={"failures": failures}, after=None, by=by)


def person_facts(user: User) -> dict[str, Any]:
    """A person's fields in audit records; never the password."""
    reach = ObjectScope.objects.filter(user=user).first()
    return {
        "username": user.username,
        "name": user.get_full_name(),
        "email": user.email,
        "active": user.is_active,
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "models": "all" if reach is None else sorted(str(model) for model in reach.models.all()),
    }


def _write_person(user: User, person: Person) -> None:
    roles = _checked_roles(person)
    user.username = checked_line(person.username, what="user name", longest=150)
    user.first_name = checked_line(person.first_name, what="first name", longest=150, may_be_empty=True)
    user.last_name = checked_line(person.last_name, what="last name", longest=150, may_be_empty=True)
    user.email = checked_line(person.email, what="e-mail address", longest=254, may_be_empty=True)
    user.is_active = person.is_active
    user.save()
    user.groups.set(Group.objects.filter(name__in=roles))
    if person.models is None:
        ObjectScope.objects.filter(user=user).delete()
    else:
        reach, _ = ObjectScope.objects.get_or_create(user=user)
        reach.models.set(_models_by_id(person.models))


def _checked_roles(person: Person) -> set[str]:
    roles = set(person.roles)
    unknown = sorted(roles - set(role_names()))
    if unknown:
        raise Invalid(f"There is no role {unknown[0]!r}; the roles are {', '.join(role_names())}.")
    if person.models is not None and Role.ADMIN in roles:
        raise Invalid(
            "An admin manages people, keys and settings, which do not belong to a Model: remove the limit or the role."
        )
    return roles


def _models_by_id(ids: Collection[int]) -> QuerySet[Any]:
    """Return these Models; raise Invalid if one does not exist."""
    models = every_model().filter(pk__in=ids)
    missing = set(ids) - set(models.values_list("pk", flat=True))
    if missing:
        raise Invalid(f"There is no Model with the id {min(missing)}.")
    return models


def _active_admins() -> QuerySet[User]:
    """All people who can log in and manage people."""
    by_role = Q(groups__name="admin", object_scope=None) | Q(is_superuser=True)
    return User.objects.filter(by_role, is_active=True, is_staff=True).distinct()
