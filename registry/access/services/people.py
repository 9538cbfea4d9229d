"""People: their names, roles and Models, passwords and locked logins. Nobody can grant more than a role holds."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction

from registry.access.models import ObjectScope
from registry.access.policies import Right, Role, check_manages
from registry.access.selectors import active_admins, models_by_id
from registry.errors import Conflict, Invalid, NameTaken
from registry.kit.actors import Actor
from registry.kit.text import checked_line
from registry.record.audit import AuditSubject, record_change


@dataclass(frozen=True, slots=True)
class Person:
    """What may be written about a person: neither superusers nor permissions besides the roles."""

    username: str
    roles: Collection[str]
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    is_active: bool = True
    models: Collection[int] | None = None  # None: the roles apply to all Models


def create_person(*, person: Person, password: str | None, by: Actor) -> User:
    """Make an account; without a password, nobody can log in with it until one is set."""
    by.check(Right.MANAGE_PEOPLE)
    user = User(is_staff=True)
    user.set_password(password)
    try:
        with transaction.atomic():
            _write(user, person)
            record_change(action="create_person", subject=user, before=None, after=person_facts(user), by=by)
    except IntegrityError:
        raise NameTaken(f"The user name {person.username} is taken; choose another.") from None
    return user


def change_person(*, user: User, person: Person, by: Actor) -> User:
    """Change who this is and what they may do; the last administrator cannot be removed."""
    check_manages(user, by)
    try:
        with transaction.atomic():
            # A lock: of two administrators who remove each other, one stays.
            Group.objects.select_for_update().get(name=Role.ADMIN)
            row = User.objects.select_for_update().get(pk=user.pk)
            before = person_facts(row)
            _write(row, person)
            if not active_admins().exists():
                raise Conflict("This is the last administrator; give the admin role to another person first.")
            record_change(action="change_person", subject=row, before=before, after=person_facts(row), by=by)
    except IntegrityError:
        raise NameTaken(f"The user name {person.username} is taken; choose another.") from None
    return row


@transaction.atomic
def set_password(*, user: User, password: str | None, by: Actor) -> None:
    """Set one's own or another person's password; None leaves the account without one. Its sessions end."""
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
    """What audit records say about a person; never the password."""
    reach = ObjectScope.objects.filter(user=user).first()
    return {
        "username": user.username,
        "name": user.get_full_name(),
        "email": user.email,
        "active": user.is_active,
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "models": "all" if reach is None else sorted(str(model) for model in reach.models.all()),
    }


def _write(user: User, person: Person) -> None:
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
        reach.models.set(models_by_id(person.models))


def _checked_roles(person: Person) -> set[str]:
    roles = set(person.roles)
    unknown = sorted(roles - set(Role))
    if unknown:
        raise Invalid(f"There is no role {unknown[0]!r}; the roles are {', '.join(Role)}.")
    if person.models is not None and Role.ADMIN in roles:
        raise Invalid(
            "An admin manages people, keys and settings, which belong to no Model: remove the limit, or the admin role."
        )
    return roles
