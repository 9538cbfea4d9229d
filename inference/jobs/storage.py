"""Files in stores. A job refers to one as `<store>/<path>`; access is checked when the job is accepted and at each use."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from inference.jobs.errors import BadStorePath
from inference.jobs.models import Store, StoreKind
from inference.jobs.policies import stores_for
from inference.jobs.storage_backends import BucketFiles, FolderFiles
from inference.rows.errors import RowFileTooLarge
from inference.rows.files import LIMITS, write_atomically
from registry.errors import NotAllowed, NotFound
from registry.intake import parts
from registry.intake.errors import InsufficientStorage
from registry.kit.actors import Actor

MAX_PATH = 400
FREE_SOME_SPACE = "Free some space, then send the job again."
_MAX_NAME_BYTES = 200
_PIECE = 2**20


class StoreFiles(Protocol):
    def reading(self, path: str) -> AbstractContextManager[IO[bytes]]: ...

    def writing(self, path: str) -> AbstractContextManager[IO[bytes]]: ...


def make_reference(*, store: str, path: str, writing: bool = False, by: Actor) -> str:
    """Name a file in a store that the actor may use, and check its path. Other stores raise NotFound."""
    row = stores_for(by).filter(name=store).first()
    if row is None:
        raise NotFound(f"There is no store {store[:64]!r}, or you may not use it.")
    _check_use(row, writing=writing)
    return f"{row.name}/{checked_path(path)}"


def resolve_reference(ref: str, *, writing: bool) -> tuple[Store, str]:
    """Find a file's store with its current settings, so that access revoked in the meantime is refused."""
    name, _, path = ref.partition("/")
    row = Store.objects.filter(name=name).first()
    if row is None:
        raise NotFound(f"The store {name[:64]!r} no longer exists.")
    _check_use(row, writing=writing)
    return row, checked_path(path)


def _check_use(store: Store, *, writing: bool) -> None:
    if not (store.may_write if writing else store.may_read):
        raise NotAllowed(f"Jobs may not {'write to' if writing else 'read from'} the store {store.name}.")


def checked_path(path: str, *, may_be_empty: bool = False) -> str:
    """Return the path if it is relative and cannot leave its folder; otherwise raise BadStorePath."""
    if may_be_empty and path == "":
        return path
    if not 0 < len(path) <= MAX_PATH:
        raise BadStorePath(f"A path must have 1 to {MAX_PATH} characters, not {len(path):,}.")
    if "\\" in path or not path.isprintable():
        raise BadStorePath("A path must not contain backslashes or invisible characters.")
    for name in path.split("/"):
        if name in ("", ".", "..") or name.startswith("."):
            raise BadStorePath
        if len(name.encode("utf-8", "replace")) > _MAX_NAME_BYTES:
            raise BadStorePath(f"Each name in a path may have at most {_MAX_NAME_BYTES} bytes.")
    return path


def fetch(ref: str, target: Path) -> Path:
    """Copy a file from its store, once: all chunks of a job must read the same bytes, even if the original changes."""
    if target.exists():
        return target
    store, path = resolve_reference(ref, writing=False)
    with (
        _backend(store).reading(path) as source,
        parts.room(FREE_SOME_SPACE),
        write_atomically(target) as copy,
    ):
        size = 0
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > LIMITS.bytes:
                raise RowFileTooLarge(f"{path!r} is larger than the limit of {LIMITS.bytes:,} bytes.")
            if parts.free_bytes() < _PIECE * 64:
                raise InsufficientStorage
            copy.write(piece)
    return target


@contextmanager
def open_for_writing(ref: str) -> Iterator[IO[bytes]]:
    """Open a file in a store for writing. It appears only when the block succeeds, and is then complete."""
    store, path = resolve_reference(ref, writing=True)
    with _backend(store).writing(path) as file:
        yield file


def _backend(store: Store) -> StoreFiles:
    if store.kind == StoreKind.FOLDER:
        return FolderFiles(store.root, store.prefix)
    return BucketFiles(store.root, store.prefix)
