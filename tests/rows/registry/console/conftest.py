"""Pages of the admin in Chromium, as somebody who is logged in already."""

import pytest

from registry.access.policies import Role
from tests.support.browser import chromium, open_page
from tests.support.factories import a_person


@pytest.fixture(scope="module")
def browser(django_db_setup):
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs while tests ask the database
        yield started


@pytest.fixture
def visit(browser, live_server, client):
    """Opens a page as an operator; nothing may complain. `without` takes addresses away that match it."""
    client.force_login(a_person(Role.OPERATOR, username="marta"))
    url = live_server.url.replace("localhost", "127.0.0.1")
    session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}
    opened = []

    def go(path, *, without="", **more):
        page, complaints = open_page(browser, **more)
        opened.append((page, complaints))
        page.context.add_cookies([session])
        if without:
            page.route(without, lambda route: route.abort())
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        return page

    yield go
    for page, complaints in opened:
        page.context.close()
        assert [line for line in complaints if "ERR_FAILED" not in line] == []  # what `without` took away
