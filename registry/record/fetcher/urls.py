"""URLs and addresses that may be fetched. A URL that two parsers could read differently is refused."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit

from registry.errors import AddressNotAllowed, BadUrl, PortNotAllowed, SchemeNotAllowed

LONGEST = 2_000
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNUSABLE = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
_NETLOC = re.compile(r"(?:\[[^\[\]@]+\]|[^\[\]@:]+)(?::[0-9]+)?")
_SAFE = "/%:@!$&'()*+,;=~-._?"
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Names that are never public, whatever they resolve to.
_INTERNAL_NAMES = ("localhost", "local", "internal", "home.arpa", "onion")

# Checked in addition to `is_global`, which some Python versions get wrong for some of these, and which does not look at
# the IPv4 address inside an IPv6 one.
_NEVER_PUBLIC: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; cloud providers run services there
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, with cloud metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",  # mapped IPv4: a socket would connect over IPv4
        "::ffff:0:0:0/96",  # translated IPv4
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "100::/64",  # discard
        "2001::/23",  # Teredo and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
    )
)

AllowedHosts = Collection[tuple[str, int | None]]


@dataclass(frozen=True, slots=True)
class FetchTarget:
    """The host, port and path of a request."""

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


def read_url(text: str, allowed: AllowedHosts = ()) -> FetchTarget:
    """Split and normalise the URL; raise a specific error for whatever is not allowed."""
    if len(text) > LONGEST or _UNUSABLE.search(text):
        raise BadUrl("The URL is too long, or contains spaces, control characters or backslashes.")
    try:
        parts = urlsplit(text)
        port, name = parts.port, parts.hostname
    except ValueError:
        raise BadUrl("The URL is not valid; write it as https://host/path.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise SchemeNotAllowed
    if not name or not _NETLOC.fullmatch(parts.netloc):
        raise BadUrl("The URL must have a host, and no user name or password.")
    host = _host(name, is_bracketed="[" in parts.netloc)
    chosen = _DEFAULT_PORTS[parts.scheme] if port is None else port
    is_trusted = _is_trusted(host, chosen, allowed)
    if not is_trusted:
        _check_public(host, chosen)
    query = f"?{parts.query}" if parts.query else ""
    path = quote((parts.path or "/") + query, safe=_SAFE)
    return FetchTarget(parts.scheme, host, chosen, path, is_trusted)


def is_public(text: str) -> bool:
    """Whether this is an address on the public internet."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_global and not any(address in network for network in _NEVER_PUBLIC)


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
        raise BadUrl("The host of the URL is not a valid name; use letters, digits, hyphens and dots.")
    if _NUMBER.fullmatch(labels[-1]) and not _is_address(host):
        # 127.1, 0x7f000001, 0177.0.0.1, 2130706433: parsers disagree about them.
        raise BadUrl("Write an IPv4 address as four decimal numbers.")
    return host


def _ascii(name: str) -> str:
    """Return an international name in its ASCII form, if that form decodes to the same name."""
    if name.isascii():
        return name
    try:
        encoded = name.encode("idna").decode("ascii")
        same = encoded.encode("ascii").decode("idna") == name
    except UnicodeError:
        same = False
    if not same:
        # Full-width digits, unusual dots and the like, which change on encoding.
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
        raise BadUrl("An IPv6 address in a URL must not have a zone.")
    return str(address)
