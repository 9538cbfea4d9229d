"""Reading a URL in one way only: what two parsers could read differently is refused."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, urlsplit

from registry.errors import AddressNotAllowed, BadUrl, PortNotAllowed, SchemeNotAllowed
from registry.record.fetcher.addresses import is_public

LONGEST = 2_000
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNUSABLE = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
_NETLOC = re.compile(r"(?:\[[^\[\]@]+\]|[^\[\]@:]+)(?::[0-9]+)?")
_SAFE = "/%:@!$&'()*+,;=~-._?"
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Names that never belong to the public internet, whatever a resolver says.
_INTERNAL_NAMES = ("localhost", "local", "internal", "home.arpa", "onion")

AllowedHosts = Collection[tuple[str, int | None]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes."""

    scheme: str
    host: str  # ASCII, lower case; an IPv6 address without brackets
    port: int
    path: str  # with the query
    is_trusted: bool  # an administrator allowed it, public or not

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def read_url(text: str, allowed: AllowedHosts = ()) -> Target:
    """Split and normalise; raise the error that names what is not allowed."""
    if len(text) > LONGEST or _UNUSABLE.search(text):
        raise BadUrl("The URL is too long, or holds blanks, control characters or backslashes.")
    try:
        parts = urlsplit(text)
        port, name = parts.port, parts.hostname
    except ValueError:
        raise BadUrl("The URL cannot be understood; write it as https://host/path.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise SchemeNotAllowed
    if not name or not _NETLOC.fullmatch(parts.netloc):
        raise BadUrl("The URL must name a host, and neither user nor password.")
    host = _host(name, is_bracketed="[" in parts.netloc)
    chosen = _DEFAULT_PORTS[parts.scheme] if port is None else port
    is_trusted = _is_trusted(host, chosen, allowed)
    if not is_trusted:
        _check_public(host, chosen)
    query = f"?{parts.query}" if parts.query else ""
    path = quote((parts.path or "/") + query, safe=_SAFE)
    return Target(parts.scheme, host, chosen, path, is_trusted)


def _is_trusted(host: str, port: int, allowed: AllowedHosts) -> bool:
    return (host, port) in allowed or (port in _DEFAULT_PORTS.values() and (host, None) in allowed)


def _check_public(host: str, port: int) -> None:
    if port not in _DEFAULT_PORTS.values():
        raise PortNotAllowed
    if any(host == name or host.endswith(f".{name}") for name in _INTERNAL_NAMES):
        raise AddressNotAllowed
    if _is_address(host) and not is_public(host):
        raise AddressNotAllowed


def _host(name: str, *, is_bracketed: bool) -> str:
    if is_bracketed:
        return _ipv6(name)
    host = _ascii(name.removesuffix("."))
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadUrl("The host of the URL is not a name; labels hold letters, digits and hyphens.")
    if _NUMBER.fullmatch(labels[-1]) and not _is_address(host):
        # 127.1, 0x7f000001, 0177.0.0.1, 2130706433: parsers disagree about them.
        raise BadUrl("Write an IPv4 address as four decimal numbers.")
    return host


def _ascii(name: str) -> str:
    """Turn an international name into its ASCII form, if that form leads back to just this name."""
    if name.isascii():
        return name
    try:
        encoded = name.encode("idna").decode("ascii")
        same = encoded.encode("ascii").decode("idna") == name
    except UnicodeError:
        same = False
    if not same:
        # Full-width digits, odd dots and the like: characters that become others on the way.
        raise BadUrl("The host of the URL is ambiguous; write it in its ASCII form (xn--…).")
    return encoded.lower()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _ipv6(name: str) -> str:
    try:
        address = IPv6Address(name)
    except ValueError:
        raise BadUrl("The host of the URL is not an IPv6 address.") from None
    if address.scope_id is not None:
        raise BadUrl("An IPv6 address in a URL must not name a zone.")
    return str(address)
