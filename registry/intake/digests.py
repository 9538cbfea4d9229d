"""Hashes that grow while parts come in. This process's memory only: who starts in the middle hashes from the disk."""

import hashlib
import threading
from collections import OrderedDict
from uuid import UUID

_MOST = 256
_lock = threading.Lock()
_known: "OrderedDict[UUID, tuple[int, hashlib._Hash]]" = OrderedDict()


def digest_at(upload_id: UUID, offset: int) -> "hashlib._Hash | None":
    """A copy of the hash of the first `offset` bytes, if this process saw all of them."""
    if offset == 0:
        return hashlib.sha256()
    with _lock:
        at, digest = _known.get(upload_id, (-1, None))
        return digest.copy() if digest is not None and at == offset else None


def keep_digest(upload_id: UUID, offset: int, digest: "hashlib._Hash") -> None:
    """Remember the hash of the first `offset` bytes, once they are safe on the disk."""
    with _lock:
        _known[upload_id] = (offset, digest)
        _known.move_to_end(upload_id)
        if len(_known) > _MOST:
            _known.popitem(last=False)


def drop_digest(upload_id: UUID) -> None:
    with _lock:
        _known.pop(upload_id, None)
