"""One HTTP exchange on a connected socket, limited in time, size and rate."""

import io
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, LineTooLong
from typing import Any

from registry.errors import BadResponse, ResponseTooLarge, TooSlow

_CHUNK_BYTES = 65_536
_READ_AHEAD_BYTES = io.DEFAULT_BUFFER_SIZE
Writer = Callable[[bytes], object]
_HEADER = re.compile(r"[A-Za-z0-9-]+: [^\r\n\0]*")


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """The time and size limits of one fetch."""

    total_s: float = 10.0
    max_bytes: int = 10 * 1024 * 1024  # of the body, decoded
    max_header_bytes: int = 64 * 1024
    min_bytes_per_s: int = 1024
    slow_start_s: float = 3.0  # before that, the rate is not checked
    max_redirects: int = 0


class Deadline:
    """The end of a whole fetch, by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def left_s(self) -> float:
        """Seconds left; raise TooSlow when there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TooSlow
        return left


@dataclass(frozen=True, slots=True)
class FetchResponse:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


def exchange(
    sock: socket.socket,
    *,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    limits: FetchLimits,
    deadline: Deadline,
    write: Writer | None = None,
) -> FetchResponse:
    """Send the request and read the whole response, within the limits."""
    reader = _CountedReader(sock, limits, deadline)
    try:
        _send(sock, _head(method, path, headers) + body, deadline)
        response = HTTPResponse(_Wire(reader), method=method)  # type: ignore[arg-type]
        response.begin()
        reader.body_begins()
        content = _read_body(response, limits, write if response.status == 200 else None)
    except TimeoutError:
        raise TooSlow from None
    except (HTTPException, OSError, zlib.error) as error:
        # http.client raises the bare class for more than 100 headers.
        has_long_head = type(error) is HTTPException or isinstance(error, LineTooLong)
        raise (ResponseTooLarge if has_long_head else BadResponse) from None
    return FetchResponse(
        response.status, {name.lower(): value for name, value in response.getheaders()}, content
    )


class _CountedReader(io.RawIOBase):
    """Reads the socket until the deadline, and limits the number and rate of bytes."""

    def __init__(self, sock: socket.socket, limits: FetchLimits, deadline: Deadline) -> None:
        self._sock, self._limits, self._deadline = sock, limits, deadline
        self._started_at = time.monotonic()
        self._received = 0
        self._allowed = limits.max_header_bytes + _READ_AHEAD_BYTES

    def body_begins(self) -> None:
        # Twice: the framing of tiny chunks is larger than the content.
        self._allowed = self._received + 2 * self._limits.max_bytes + _READ_AHEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left_s())
        count = self._sock.recv_into(buffer)
        self._received += count
        if self._received > self._allowed:
            raise ResponseTooLarge
        self._check_rate()
        return count

    def _check_rate(self) -> None:
        took = time.monotonic() - self._started_at
        if took > self._limits.slow_start_s and self._received < took * self._limits.min_bytes_per_s:
            raise TooSlow


class _Wire:
    """The part of a socket that HTTPResponse uses."""

    def __init__(self, reader: _CountedReader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader, _READ_AHEAD_BYTES)


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if not all(_HEADER.fullmatch(line) for line in lines):
        raise ValueError("a header has an invalid name or value")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def _send(sock: socket.socket, data: bytes, deadline: Deadline) -> None:
    rest = memoryview(data)
    while rest:
        sock.settimeout(deadline.left_s())
        rest = rest[sock.send(rest) :]


def _read_body(response: HTTPResponse, limits: FetchLimits, write: Writer | None) -> bytes:
    if response.length is not None and response.length > limits.max_bytes:
        raise ResponseTooLarge
    content, received = bytearray(), 0
    for piece in _decoded(response, limits.max_bytes):
        received += len(piece)
        if received > limits.max_bytes:
            raise ResponseTooLarge
        if write is None:
            content += piece
        else:
            write(piece)
    return bytes(content)


def _decoded(response: HTTPResponse, max_bytes: int) -> Iterator[bytes]:
    """Yield the decoded body in pieces, none larger than the limit for the whole body.

    Some servers compress the body even though the request does not allow it.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        yield from _pieces(response)
        return
    if encoding not in {"gzip", "x-gzip"}:
        raise BadResponse
    unpacker = zlib.decompressobj(wbits=31)
    for piece in _pieces(response):
        yield unpacker.decompress(piece, max_bytes + 1)
        if unpacker.unconsumed_tail:
            raise ResponseTooLarge
    if not unpacker.eof:
        raise BadResponse


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    while piece := response.read(_CHUNK_BYTES):
        yield piece
    if response.length:  # the connection ended before Content-Length
        raise BadResponse


def secured(sock: socket.socket, host: str, context: ssl.SSLContext, deadline: Deadline) -> ssl.SSLSocket:
    """Start TLS for this host name; the context verifies the certificate."""
    sock.settimeout(deadline.left_s())
    return context.wrap_socket(sock, server_hostname=host)
