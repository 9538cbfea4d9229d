"""What the tests of several rooms need."""

import pytest

from registry.access.policies import Role
from registry.record import channels
from registry.record.fetcher import Fetcher
from tests.support.factories import a_person
from tests.support.internet import Internet


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


@pytest.fixture
def signed_in(client):
    """Logs a new person in who has these roles."""

    def sign_in(*roles, **more):
        person = a_person(*roles, **more)
        client.force_login(person)
        return person

    return sign_in


@pytest.fixture
def viewer(signed_in):
    return signed_in(Role.VIEWER)


@pytest.fixture
def operator(signed_in):
    return signed_in(Role.OPERATOR)
