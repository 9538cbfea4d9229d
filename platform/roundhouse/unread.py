"""Bodies that were refused unread: the server ends such a connection, and only we can tell the caller beforehand.

Without a word about it, the next request on the connection fails in the caller's hands, although nothing is wrong with
it. To read the rest instead would let whoever sends slowly hold the threads that refuse.
"""

from collections.abc import Callable
from typing import Any

CLOSE = ("Connection", "close")


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

    def _note(self, part: bytes) -> bytes:
        self._left -= len(part)
        return part


def saying_so(start_response: Callable[..., Any], body: Body) -> Callable[..., Any]:
    """Add to an answer that it is the last of its connection, where it is."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [*headers, CLOSE] if body.is_unread else headers, *more)

    return start
