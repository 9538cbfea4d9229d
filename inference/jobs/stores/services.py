"""Writes of stores."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from inference.jobs.stores.buckets import check_bucket
from inference.jobs.stores.errors import BadStore
from inference.jobs.stores.folders import check_folder
from inference.jobs.stores.models import Store, StoreKind
from inference.jobs.stores.paths import checked_path
from registry.access.models import TENANT_SLUG, Tenant
from registry.access.policies import Right
from registry.errors import NameTaken
from registry.kit.actors import Actor
from registry.record.audit import record_change, subject_of

_MAX_ROOT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreWish:
    """What a store shall be."""

    kind: StoreKind
    root: str
    prefix: str = ""
    may_read: bool = True
    may_write: bool = False
    for_people: bool = False
    tenants: Iterable[Tenant] = ()


@transaction.atomic
def add_store(*, name: str, wish: StoreWish, by: Actor) -> Store:
    """Make a store; its name never changes, because rows of jobs say it."""
    by.check(Right.MANAGE_SETTINGS)
    try:
        TENANT_SLUG(name)
    except ValidationError as error:
        raise BadStore(f"{name[:64]!r} cannot name a store. {error.message}") from None
    store = Store(name=name)
    _check(wish)
    try:
        with transaction.atomic():
            _save(store, wish)
    except IntegrityError:
        raise NameTaken(f"There is a store named {name} already; choose another name.") from None
    record_change(action="add_store", subject=store, before=None, after=_told(store), by=by)
    return store


@transaction.atomic
def change_store(*, store: Store, wish: StoreWish, by: Actor) -> Store:
    """Jobs that wait for it use it as it is then."""
    by.check(Right.MANAGE_SETTINGS)
    _check(wish)
    row = Store.objects.select_for_update().get(pk=store.pk)
    before = _told(row)
    _save(row, wish)
    record_change(action="change_store", subject=row, before=before, after=_told(row), by=by)
    return row


@transaction.atomic
def remove_store(*, store: Store, by: Actor) -> None:
    """Forget it; its files stay, and jobs that name it fail with that reason."""
    by.check(Right.MANAGE_SETTINGS)
    subject, before = subject_of(store), _told(store)
    store.delete()
    record_change(action="remove_store", subject=subject, before=before, after=None, by=by)


def _check(wish: StoreWish) -> None:
    checked_path(wish.prefix, may_be_empty=True)
    if not 0 < len(wish.root) <= _MAX_ROOT:
        raise BadStore(f"Name the bucket or the folder, in at most {_MAX_ROOT} characters.")
    if not (wish.may_read or wish.may_write):
        raise BadStore("Jobs must be allowed to read from a store, to write to it, or both.")
    if wish.kind == StoreKind.FOLDER:
        check_folder(wish.root)
    else:
        check_bucket(wish.root, wish.prefix)


def _save(store: Store, wish: StoreWish) -> None:
    store.kind, store.root, store.prefix = wish.kind, wish.root, wish.prefix
    store.may_read, store.may_write, store.for_people = wish.may_read, wish.may_write, wish.for_people
    store.save()
    store.tenants.set(wish.tenants)


def _told(store: Store) -> dict[str, Any]:
    return {
        "kind": str(store.kind),
        "root": store.root,
        "prefix": store.prefix,
        "may_read": store.may_read,
        "may_write": store.may_write,
        "for_people": store.for_people,
        "tenants": sorted(store.tenants.values_list("slug", flat=True)),
    }
