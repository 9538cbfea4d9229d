"""A request as granian hands it over (tried on 2.8.7), without granian: its scope, its headers and its protocol."""

import asyncio
from types import SimpleNamespace

CUT = b""  # the part that comes where the caller's bytes end before the body does


class Headers:
    """Lines of a request in their order. One that is not ASCII is among `keys`, and nowhere else."""

    def __init__(self, *lines):
        self._lines = [(name.lower(), value) for name, value in lines]

    def __contains__(self, name):
        return name in self.keys()

    def get(self, name, default=None):
        """The first line's value."""
        first = next((value for known, value in self._lines if known == name), None)
        return first if first is not None and first.isascii() else default

    def get_all(self, name):
        return [value for known, value in self.items() if known == name]

    def keys(self):
        return list(dict.fromkeys(name for name, _ in self._lines))

    def items(self):
        return [(name, value) for name, value in self._lines if value.isascii()]


def a_scope(path="/", *headers, method="GET", query=""):
    return SimpleNamespace(
        proto="http", http_version="1.1", rsgi_version="1.5", server="127.0.0.1:8000", client="127.0.0.1:40000",
        scheme="http", method=method, path=path, query_string=query, authority=None, headers=Headers(*headers),
    )  # fmt: skip


class Proto:
    """The other side of a request: its body comes in parts, and its one answer is kept.

    After the last part of `parts` nothing comes until `feed` is called; CUT says that the connection was lost.
    """

    def __init__(self, *parts, is_whole=True):
        self._parts, self._is_whole = list(parts), is_whole
        self._fed, self._gone = asyncio.Event(), asyncio.Event()
        self.taken = 0  # bytes that somebody has asked for
        self.answers = []  # (status, headers, body or file)
        self.is_watched = asyncio.Event()  # somebody waits for the caller to go

    def feed(self, *parts, is_whole=False):
        self._parts += parts
        self._is_whole = self._is_whole or is_whole
        self._fed.set()

    def hang_up(self):
        self._gone.set()

    async def __call__(self):
        body = [part async for part in self]
        if CUT in body:
            raise RuntimeError("connection lost")
        return b"".join(body)

    async def __aiter__(self):
        while True:
            while self._parts:
                part = self._parts.pop(0)
                self.taken += len(part)
                yield part
                if part == CUT:
                    return
            if self._is_whole:
                return
            self._fed.clear()
            await self._fed.wait()

    async def client_disconnect(self):
        self.is_watched.set()
        await self._gone.wait()

    def response_bytes(self, status, headers, body):
        self.answers.append((status, headers, body))

    def response_file_range(self, status, headers, path, start, end):
        self.answers.append((status, headers, (path, start, end)))
