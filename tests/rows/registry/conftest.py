"""What the tests of several rooms need."""

import pytest

from registry.access.keys import ring
from registry.access.policies import Role
from registry.record import channels
from registry.record.fetcher import Fetcher
from tests.support.browser import chromium, open_page
from tests.support.factories import a_person
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


@pytest.fixture(scope="module")
def browser(django_db_setup):
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs while tests ask the database
        yield started


@pytest.fixture
def visit(browser, live_server, client):
    """Opens a page as an operator; nothing may complain but of what is `expected`.

    `without` takes addresses away that match it.
    """
    client.force_login(a_person(Role.OPERATOR, username="marta"))
    url = live_server.url.replace("localhost", "127.0.0.1")
    session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}
    opened = []

    def go(path, *, without="", expected=(), **more):
        page, complaints = open_page(browser, **more)
        opened.append((page, complaints, ("ERR_FAILED", *expected)))  # as what `without` took away
        page.context.add_cookies([session])
        if without:
            page.route(without, lambda route: route.abort())
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        return page

    yield go
    for page, complaints, expected in opened:
        page.context.close()
        assert [line for line in complaints if not any(word in line for word in expected)] == []
