"""How a job's row names a file in a store: `<store>/<path>`, given only to whom the store is open."""

from typing import NamedTuple

from inference.jobs.stores.models import Store
from inference.jobs.stores.paths import checked_path
from inference.jobs.stores.selectors import stores_for
from registry.errors import NotAllowed, NotFound
from registry.kit.actors import Actor


class Place(NamedTuple):
    store: Store
    path: str


def reference(*, store: str, path: str, writing: bool = False, by: Actor) -> str:
    """Check who asks, for what, and the path; a store that is not open to them is not there for them."""
    row = stores_for(by).filter(name=store).first()
    if row is None:
        raise NotFound(f"There is no store {store[:64]!r}, or you may not use it.")
    _check_use(row, writing=writing)
    return f"{row.name}/{checked_path(path)}"


def place_of(ref: str, *, writing: bool) -> Place:
    """Find what a reference names, as the store is now: what was taken away since is refused."""
    name, _, path = ref.partition("/")
    row = Store.objects.filter(name=name).first()
    if row is None:
        raise NotFound(f"There is no store {name[:64]!r} any more.")
    _check_use(row, writing=writing)
    return Place(row, checked_path(path))


def _check_use(store: Store, *, writing: bool) -> None:
    if not (store.may_write if writing else store.may_read):
        raise NotAllowed(f"Jobs may not {'write to' if writing else 'read from'} the store {store.name}.")
