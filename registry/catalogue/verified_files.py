"""Which stored files are known to be what was registered: each is hashed once, and again when it has changed."""

import hashlib
import os
import threading
from collections import OrderedDict
from typing import NamedTuple
from weakref import WeakValueDictionary

MOST_KNOWN = 4096


class _State(NamedTuple):
    """A file whose content was changed by anything but a fault of the disk is in another state."""

    sha256: str
    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


class VerifiedFiles:
    """Remembers the last `most_known` files that had the right hash.

    Damage is not remembered: a file that was mended in place, with its old time, is sent again.
    """

    def __init__(self, most_known: int = MOST_KNOWN) -> None:
        self._most_known = most_known
        self._known: OrderedDict[_State, None] = OrderedDict()
        self._turns: WeakValueDictionary[_State, threading.Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def has(self, descriptor: int, sha256: str) -> bool:
        """Whether the open file has this hash. Who asks while it is being computed waits for the answer."""
        state = _state_of(descriptor, sha256)
        with self._guard:
            turn = self._turns.setdefault(state, threading.Lock())
        with turn:
            if self._is_known(state):
                return True
            is_right = _sha256_of(descriptor) == sha256
            if is_right and _state_of(descriptor, sha256) == state:  # else it was written to meanwhile
                self._remember(state)
            return is_right

    def _is_known(self, state: _State) -> bool:
        with self._guard:
            if state not in self._known:
                return False
            self._known.move_to_end(state)
            return True

    def _remember(self, state: _State) -> None:
        with self._guard:
            self._known[state] = None
            if len(self._known) > self._most_known:
                self._known.popitem(last=False)


def _state_of(descriptor: int, sha256: str) -> _State:
    found = os.fstat(descriptor)
    return _State(sha256, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _sha256_of(descriptor: int) -> str:
    with open(os.dup(descriptor), "rb", buffering=0) as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
