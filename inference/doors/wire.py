"""What every HTTP door reads alike: lengths, bodies, deadlines."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from inference.doors.memory import Holding
from inference.errors import BadBody, BadDeadline, BadRoutingKey, LengthRequired
from inference.serving.calls import LONGEST_DEADLINE_S
from registry.errors import BodyTooLarge

Read = Callable[[int], bytes]
Headers = list[tuple[str, str]]


class Environ(Protocol):
    """The headers of a request by the names that WSGI gives them; Django's `request.META` is one."""

    def get(self, name: str, default: Any = None, /) -> Any: ...


class Incoming(Protocol):
    """A request on its way in, and what it holds of this process's memory. Its body is counted there as it comes."""

    @property
    def holding(self) -> Holding: ...

    async def receive(self, length: int) -> bytes:
        """Exactly so many bytes of the body, or BadBody."""

    async def hold(self, nbytes: int) -> None:
        """Count so many bytes more, or raise Overloaded; on a loop they are waited for."""


class Reply(NamedTuple):
    """A successful answer, before it is Django's or the web server's."""

    headers: Headers
    body: bytes


def check_length(given: str, limit: int) -> int:
    """Return a Content-Length, which must be a number within the limit."""
    if not (given.isascii() and given.isdigit() and len(given) < 20):
        raise LengthRequired
    if int(given) > limit:
        raise BodyTooLarge(f"The body has {int(given):,} bytes; at most {limit:,} are accepted here.")
    return int(given)


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
    except OSError:  # how some servers say that the caller has hung up
        raise connection_lost() from None
    if missing:
        raise cut_short(missing)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def packing_of(environ: Environ) -> str:
    """How the body is packed, in lower case; empty where it is not."""
    encoding = str(environ.get("HTTP_CONTENT_ENCODING", "")).strip().lower()
    return "" if encoding == "identity" else encoding


def pointer_to(*names: str) -> str:
    """A place in a JSON body, as a URL fragment (RFC 6901): names of tensors hold slashes more often than not."""
    return "#" + "".join(f"/{quote(name.replace('~', '~0').replace('/', '~1'))}" for name in names)


def read_routing_key(environ: Environ) -> str | None:
    """The caller's X-Routing-Key; one that came empty was not ASCII, which the web server cannot hand on."""
    given: str | None = environ.get("HTTP_X_ROUTING_KEY")
    if given == "":
        raise BadRoutingKey
    return given


def read_deadline_s(environ: Environ) -> float | None:
    """How long the answer is wanted, as X-Deadline-Ms says; None where it does not."""
    given = environ.get("HTTP_X_DEADLINE_MS")
    if given is None:
        return None
    if not (
        given.isascii()
        and given.isdigit()
        and len(given) < 10
        and 1 <= int(given) <= LONGEST_DEADLINE_S * 1000
    ):
        raise BadDeadline(f"X-Deadline-Ms must be a whole number from 1 to {LONGEST_DEADLINE_S * 1000:,.0f}.")
    return int(given) / 1000
