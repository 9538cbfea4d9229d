"""Bytes out of stores and into them."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from inference.jobs.stores.buckets import BucketFiles
from inference.jobs.stores.folders import FolderFiles
from inference.jobs.stores.models import Store, StoreKind
from inference.jobs.stores.references import place_of
from inference.rows.durable import written_whole
from inference.rows.errors import FileTooLarge
from inference.rows.limits import LIMITS
from registry.intake import parts
from registry.intake.errors import InsufficientStorage

_PIECE = 2**20
_AGAIN = "Free some space, then send the job again."


class StoreFiles(Protocol):
    def reading(self, path: str) -> AbstractContextManager[IO[bytes]]: ...

    def writing(self, path: str) -> AbstractContextManager[IO[bytes]]: ...


def fetch(ref: str, target: Path) -> Path:
    """Copy a file out of its store, once: all chunks of a job must read the same bytes, whatever its owner does."""
    if target.exists():
        return target
    place = place_of(ref, writing=False)
    with (
        files_of(place.store).reading(place.path) as source,
        parts.room(_AGAIN),
        written_whole(target) as copy,
    ):
        size = 0
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > LIMITS.bytes:
                raise FileTooLarge(f"{place.path!r} has more than {LIMITS.bytes:,} bytes, which is the most.")
            if parts.free_bytes() < _PIECE * 64:
                raise InsufficientStorage
            copy.write(piece)
    return target


@contextmanager
def writing(ref: str) -> Iterator[IO[bytes]]:
    """A file in a store, which is there whole when the block has ended well."""
    place = place_of(ref, writing=True)
    with files_of(place.store).writing(place.path) as file:
        yield file


def put(ref: str, source: IO[bytes]) -> None:
    """Copy an open file into a store."""
    with writing(ref) as target:
        shutil.copyfileobj(source, target, _PIECE)


def files_of(store: Store) -> StoreFiles:
    if store.kind == StoreKind.FOLDER:
        return FolderFiles(store.root, store.prefix)
    return BucketFiles(store.root, store.prefix)
