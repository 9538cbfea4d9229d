"""Fetching: resolve once, check every address, connect to a checked one, follow no redirects by default."""

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from urllib.parse import urljoin

from django.conf import settings

from registry.errors import (
    AddressNotAllowed,
    ConnectFailed,
    DnsFailed,
    FetcherBusy,
    RedirectNotAllowed,
    TlsFailed,
    TooSlow,
)
from registry.record.fetcher.urls import AllowedHosts, FetchTarget, is_public, read_url
from registry.record.fetcher.wire import Deadline, FetchLimits, FetchResponse, Writer, exchange, secured

AT_ONCE = 8  # concurrent fetches in this process; each may hold its body in memory twice
AT_ONCE_PER_HOST = 4
_CONNECT_AT_MOST_S = 3.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Resolver = Callable[[str, int], Sequence[str]]
Connector = Callable[[str, int, float], socket.socket]


@dataclass(frozen=True, slots=True)
class Fetched:
    url: str  # after redirects
    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """Fetches URLs. Tests pass their own resolver and connector."""

    def __init__(
        self,
        *,
        allowed_hosts: AllowedHosts = (),
        resolve: Resolver | None = None,
        connect: Connector | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed_hosts = allowed_hosts
        self._resolve = resolve or resolve_by_system
        self._connect = connect or connect_directly
        self._tls = tls or _public_authorities()
        self._slots = _Slots()

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limits: FetchLimits | None = None,
        write: Writer | None = None,
    ) -> Fetched:
        """Return the response, whatever its status; raise UrlRefused or FetchFailed, which reveal no address.

        `write` gets the body of a 200 in pieces, which is then not kept in memory. An OSError of it counts as the server's.
        """
        bounds = limits or FetchLimits()
        deadline = Deadline(bounds.total_s)
        target = read_url(url, self._allowed_hosts)
        for hops_left in range(bounds.max_redirects, -1, -1):
            answer = self._exchange(target, method, headers or {}, body, bounds, deadline, write)
            if answer.status not in _REDIRECTS:
                return Fetched(target.url, answer.status, answer.headers, answer.body)
            if not hops_left or method != "GET":
                break
            target = self._next_hop(target, answer)
        raise RedirectNotAllowed

    def _next_hop(self, target: FetchTarget, answer: FetchResponse) -> FetchTarget:
        """Read the redirect's target, applying every check that the first URL had to pass."""
        following = read_url(urljoin(target.url, answer.headers.get("location", "")), self._allowed_hosts)
        if target.scheme == "https" and following.scheme == "http":
            raise RedirectNotAllowed
        return following

    def _exchange(
        self,
        target: FetchTarget,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        limits: FetchLimits,
        deadline: Deadline,
        write: Writer | None,
    ) -> FetchResponse:
        framing = {
            "Host": target.authority,
            "User-Agent": "Roundhouse",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **({"Content-Length": str(len(body))} if body or method != "GET" else {}),
        }
        with self._slots.slot(target.host, deadline), self._dial(target, deadline) as sock:
            return exchange(
                sock,
                method=method,
                path=target.path,
                headers={**headers, **framing},
                body=body,
                limits=limits,
                deadline=deadline,
                write=write,
            )

    @contextmanager
    def _dial(self, target: FetchTarget, deadline: Deadline) -> Iterator[socket.socket]:
        with self._connected(self._checked_addresses(target, deadline), target.port, deadline) as sock:
            if target.scheme == "http":
                yield sock
                return
            try:
                channel = secured(sock, target.host, self._tls, deadline)
            except TimeoutError:
                raise TooSlow from None
            except (ssl.SSLError, OSError, ValueError):
                raise TlsFailed from None
            with channel:
                yield channel

    def _checked_addresses(self, target: FetchTarget, deadline: Deadline) -> Sequence[str]:
        """Resolve once. One address that is not public is enough to refuse: the next look-up might return it first."""
        addresses = _in_time(self._resolve, target.host, target.port, deadline)
        if not addresses:
            raise DnsFailed
        if not target.is_trusted and not all(is_public(address) for address in addresses):
            raise AddressNotAllowed
        return addresses

    def _connected(self, addresses: Sequence[str], port: int, deadline: Deadline) -> socket.socket:
        for address in addresses:
            try:
                return self._connect(address, port, min(_CONNECT_AT_MOST_S, deadline.left_s()))
            except OSError:
                continue
        raise ConnectFailed


class _Slots:
    """Limits the fetches in progress, in total and for each host."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._busy: Counter[str] = Counter()

    @contextmanager
    def slot(self, host: str, deadline: Deadline) -> Iterator[None]:
        with self._change:
            if not self._change.wait_for(lambda: self._is_free(host), deadline.left_s()):
                raise FetcherBusy
            self._busy[host] += 1
        try:
            yield
        finally:
            with self._change:
                self._busy[host] -= 1
                self._busy += Counter()  # removes hosts without fetches
                self._change.notify_all()

    def _is_free(self, host: str) -> bool:
        return self._busy.total() < AT_ONCE and self._busy[host] < AT_ONCE_PER_HOST


def _in_time(resolve: Resolver, host: str, port: int, deadline: Deadline) -> Sequence[str]:
    """Call the resolver in a thread: the system's resolver has no timeout."""
    results: list[Sequence[str]] = []
    thread = threading.Thread(target=lambda: results.append(_resolved(resolve, host, port)), daemon=True)
    thread.start()
    thread.join(deadline.left_s())
    deadline.left_s()
    return results[0] if results else []


def _resolved(resolve: Resolver, host: str, port: int) -> Sequence[str]:
    try:
        return resolve(host, port)
    except (OSError, UnicodeError):
        return []


def resolve_by_system(host: str, port: int) -> Sequence[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def connect_directly(address: str, port: int, timeout_s: float) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


@cache
def _public_authorities() -> ssl.SSLContext:
    return ssl.create_default_context()


@cache
def default_fetcher() -> Fetcher:
    """The process's fetcher, built from the settings; all callers share it and its limits."""
    return Fetcher(allowed_hosts=settings.FETCH_ALLOWED_HOSTS)
