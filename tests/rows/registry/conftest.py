"""What the tests of several rooms need."""

import pytest

from registry.access.keys import ring
from registry.record import channels
from registry.record.fetcher import Fetcher
from tests.support.internet import Internet


@pytest.fixture(autouse=True)
def fresh_ring():
    """Keys of one test are unknown to the next, whose rows may carry the same numbers."""
    ring.clear()
    yield
    ring.clear()


@pytest.fixture
def receiver(monkeypatch):
    """A webhook receiver on the small internet; it answers with `receiver.status`."""

    class Receiver(Internet):
        status = 204

        def __init__(self) -> None:
            super().__init__(
                lambda _request: f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n\r\n".encode()
            )

    internet = Receiver()
    fetcher = Fetcher(resolve=internet.resolve, connect=internet.connect)
    monkeypatch.setattr(channels, "default_fetcher", lambda: fetcher)
    yield internet
    internet.close()
