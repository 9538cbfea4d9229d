"""Add, change and remove stores."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from inference.jobs.errors import BadStore
from inference.jobs.models import Store, StoreKind
from inference.jobs.storage import checked_path
from inference.jobs.storage_backends import check_bucket, check_folder
from registry.access.models import TENANT_SLUG, Tenant
from registry.access.policies import Right
from registry.errors import NameTaken
from registry.kit.actors import Actor
from registry.record.audit import record_change, subject_of

_MAX_ROOT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    kind: StoreKind
    root: str
    prefix: str = ""
    may_read: bool = True
    may_write: bool = False
    for_people: bool = False
    tenants: Iterable[Tenant] = ()


@transaction.atomic
def add_store(*, name: str, settings: StoreSettings, by: Actor) -> Store:
    """Create a store. Its name never changes, because jobs refer to it."""
    by.check(Right.MANAGE_SETTINGS)
    try:
        TENANT_SLUG(name)
    except ValidationError as error:
        raise BadStore(f"{name[:64]!r} is not a valid store name. {error.message}") from None
    store = Store(name=name)
    _check(settings)
    try:
        with transaction.atomic():
            _save(store, settings)
    except IntegrityError:
        raise NameTaken(f"A store named {name} already exists; choose another name.") from None
    record_change(action="add_store", subject=store, before=None, after=_audit_fields(store), by=by)
    return store


@transaction.atomic
def change_store(*, store: Store, settings: StoreSettings, by: Actor) -> Store:
    """Change a store's settings; waiting jobs will use the new ones."""
    by.check(Right.MANAGE_SETTINGS)
    _check(settings)
    row = Store.objects.select_for_update().get(pk=store.pk)
    before = _audit_fields(row)
    _save(row, settings)
    record_change(action="change_store", subject=row, before=before, after=_audit_fields(row), by=by)
    return row


@transaction.atomic
def remove_store(*, store: Store, by: Actor) -> None:
    """Remove a store. Its files stay; jobs that refer to it will fail with that reason."""
    by.check(Right.MANAGE_SETTINGS)
    subject, before = subject_of(store), _audit_fields(store)
    store.delete()
    record_change(action="remove_store", subject=subject, before=before, after=None, by=by)


def _check(settings: StoreSettings) -> None:
    checked_path(settings.prefix, may_be_empty=True)
    if not 0 < len(settings.root) <= _MAX_ROOT:
        raise BadStore(f"Enter the bucket or folder, in at most {_MAX_ROOT} characters.")
    if not (settings.may_read or settings.may_write):
        raise BadStore("Allow jobs to read from the store, to write to it, or both.")
    if settings.kind == StoreKind.FOLDER:
        check_folder(settings.root)
    else:
        check_bucket(settings.root, settings.prefix)


def _save(store: Store, settings: StoreSettings) -> None:
    store.kind, store.root, store.prefix = settings.kind, settings.root, settings.prefix
    store.may_read, store.may_write, store.for_people = (
        settings.may_read,
        settings.may_write,
        settings.for_people,
    )
    store.save()
    store.tenants.set(settings.tenants)


def _audit_fields(store: Store) -> dict[str, Any]:
    return {
        "kind": str(store.kind),
        "root": store.root,
        "prefix": store.prefix,
        "may_read": store.may_read,
        "may_write": store.may_write,
        "for_people": store.for_people,
        "tenants": sorted(store.tenants.values_list("slug", flat=True)),
    }
