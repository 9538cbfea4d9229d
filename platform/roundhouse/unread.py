"""Bodies that were refused unread: the server ends such a connection, and the next request on it fails.

So a small rest, which has nearly always come already, is read away. Whoever sends it slowly can hold only a few of the threads
that refuse: beyond those, and for a large rest, the caller is told that the connection ends.
"""

import threading
from collections.abc import Callable
from typing import Any

from django.conf import settings

from roundhouse.leaving import is_leaving

CLOSE = ("Connection", "close")
SMALL_BYTES = 64 << 10

# A quarter of the threads has only to refuse; three quarters of those may wait for a rest.
_places = threading.Semaphore(max(1, settings.WEB_THREADS * 3 // 16))


class Body:
    """The input of a WSGI environment, which knows whether all of it was read."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._input = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH") or "0"
        is_known = length.isascii() and length.isdigit() and len(length) < 20
        self._left = int(length) if is_known and "HTTP_TRANSFER_ENCODING" not in environ else 1 << 64

    @property
    def is_unread(self) -> bool:
        return self._left > 0

    def read(self, size: int = -1) -> bytes:
        return self._note(self._input.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._note(self._input.readline(size))

    def read_rest(self) -> None:
        """Read what is left, if it is small and a place is free for that."""
        if 0 < self._left <= SMALL_BYTES and _places.acquire(blocking=False):
            try:
                while self._left and self.read(self._left):
                    pass
            except OSError:  # the caller has hung up
                pass
            finally:
                _places.release()

    def _note(self, part: bytes) -> bytes:
        self._left -= len(part)
        return part


def saying_so(start_response: Callable[..., Any], body: Body) -> Callable[..., Any]:
    """Leave nothing unread before an answer, or add that it is the last of its connection, as where the process leaves."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        body.read_rest()
        is_last = body.is_unread or is_leaving.is_set()
        return start_response(status, [*headers, CLOSE] if is_last else headers, *more)

    return start
