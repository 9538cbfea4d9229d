"""What every HTTP door reads in the same way: lengths, bodies, headers."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from inference.doors.memory import MemoryHolding
from inference.errors import BadBody, BadDeadline, BadRoutingKey, LengthRequired
from inference.serving.calls import LONGEST_DEADLINE_S
from registry.errors import BodyTooLarge

Read = Callable[[int], bytes]
Headers = list[tuple[str, str]]


class Environ(Protocol):
    """The headers of a request by their WSGI names, such as Django's `request.META`."""

    def get(self, name: str, default: Any = None, /) -> Any: ...


class IncomingRequest(Protocol):
    """A request whose body has not been read, and the memory that it holds. The body is added as it arrives."""

    @property
    def holding(self) -> MemoryHolding: ...

    async def receive(self, length: int) -> bytes:
        """Exactly this many bytes of the body; raises BadBody otherwise."""

    async def hold(self, nbytes: int) -> None:
        """Hold this many more bytes. In a thread this raises Overloaded if there is no room; a loop waits for it."""


class HttpReply(NamedTuple):
    """A successful answer, before it is converted for Django or the web server."""

    headers: Headers
    body: bytes


def check_length(header: str, limit: int) -> int:
    """Parse a Content-Length, which must be a number within the limit."""
    if not (header.isascii() and header.isdigit() and len(header) < 20):
        raise LengthRequired
    if int(header) > limit:
        raise BodyTooLarge(f"The body has {int(header):,} bytes; at most {limit:,} are accepted here.")
    return int(header)


def connection_lost() -> BadBody:
    return BadBody("The connection was lost before the body had ended.")


def cut_short(missing: int) -> BadBody:
    return BadBody(f"The body ended {missing} bytes before its Content-Length.")


def read_exactly(read: Read, length: int) -> bytes:
    parts: list[bytes] = []
    missing = length
    try:
        while missing and (part := read(missing)):
            parts.append(part)
            missing -= len(part)
    except OSError:  # some servers raise it when the caller has hung up
        raise connection_lost() from None
    if missing:
        raise cut_short(missing)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def content_encoding(environ: Environ) -> str:
    """The body's Content-Encoding in lower case; empty if it has none."""
    encoding = str(environ.get("HTTP_CONTENT_ENCODING", "")).strip().lower()
    return "" if encoding == "identity" else encoding


def pointer_to(*names: str) -> str:
    """A place in a JSON body as a URL fragment (RFC 6901). Names of tensors often contain slashes."""
    return "#" + "".join(f"/{quote(name.replace('~', '~0').replace('/', '~1'))}" for name in names)


def read_routing_key(environ: Environ) -> str | None:
    """The X-Routing-Key header. An empty one may have been non-ASCII, which the web server does not pass on."""
    key: str | None = environ.get("HTTP_X_ROUTING_KEY")
    if key == "":
        raise BadRoutingKey
    return key


def read_deadline_s(environ: Environ) -> float | None:
    """The X-Deadline-Ms header in seconds; None without one."""
    header = environ.get("HTTP_X_DEADLINE_MS")
    if header is None:
        return None
    if not (
        header.isascii()
        and header.isdigit()
        and len(header) < 10
        and 1 <= int(header) <= LONGEST_DEADLINE_S * 1000
    ):
        raise BadDeadline(f"X-Deadline-Ms must be a whole number from 1 to {LONGEST_DEADLINE_S * 1000:,.0f}.")
    return int(header) / 1000
