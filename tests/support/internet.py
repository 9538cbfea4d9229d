"""A small internet: names and public addresses that end at servers on this machine."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

PUBLIC, OTHER_PUBLIC, PUBLIC_V6 = "93.184.216.34", "1.1.1.1", "2606:2800:220:1:248:1893:25c8:1946"
INTERNAL = "10.0.0.5"

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


class Server:
    """Accepts connections on loopback and hands each to a function, which may misbehave."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.done = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._handle, args=[connection], daemon=True)
                self._threads.append(thread)
                thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._serve(connection)

    def close(self) -> None:
        self.done.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


def read_request(connection: socket.socket) -> bytes:
    """Read one request, with its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (more := connection.recv(65_536)):
            return received
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length and (more := connection.recv(65_536)):
        body += more
    return head + b"\r\n\r\n" + body


class Internet:
    """Resolves and connects for a Fetcher. Whatever is dialled outside the public part is a stray."""

    def __init__(self, answers: Callable[[bytes], bytes]) -> None:
        self.requests: list[bytes] = []
        self.names: dict[str, list[str]] = {"public.example": [PUBLIC], "other.example": [OTHER_PUBLIC]}
        self.dialled: list[str] = []
        self.strays: list[str] = []
        self._answers = answers
        self._server = Server(self._answer)
        self.port = self._server.port

    def _answer(self, connection: socket.socket) -> None:
        request = read_request(connection)
        if not request:
            return
        self.requests.append(request)
        connection.sendall(self._answers(request))

    def resolve(self, host: str, _port: int) -> list[str]:
        if host in self.names:
            return self.names[host]
        # Only what is a number in some spelling, as a system's resolver would read it; no query leaves.
        answers = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
        return [str(answer[4][0]) for answer in answers]

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        self.dialled.append(address)
        if address not in {PUBLIC, OTHER_PUBLIC, PUBLIC_V6}:
            self.strays.append(address)
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def close(self) -> None:
        self._server.close()


_noted: list[list[object]] = []


@cache
def _listen() -> None:
    """Hear what this process really dials, as the interpreter sees it; a hook stays until the process ends."""

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.connect":
            for addresses in _noted:
                addresses.append(arguments[1])

    sys.addaudithook(hear)


@contextmanager
def noting_connects() -> Iterator[list[object]]:
    """The addresses that are dialled meanwhile."""
    _listen()
    _noted.append([])
    try:
        yield _noted[-1]
    finally:
        _noted.pop()
