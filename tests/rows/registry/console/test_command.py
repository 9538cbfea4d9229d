"""The theme's search over everything, Ctrl+K, in Chromium."""

import pytest
from django.urls import reverse

from tests.support.factories import a_live_model

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def asked_for(page, text):
    """Search for it, and wait until the answer is on the page."""
    page.keyboard.press("Control+k")
    box = page.locator("#search-input-command")
    box.wait_for()
    with page.expect_response(lambda response: "/admin/search/" in response.url):
        box.press_sequentially(text)
    page.wait_for_function("() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')")
    return box


def test_enter_opens_nothing_and_throws_nothing_where_nothing_was_found(visit):
    page = visit(reverse("admin:index"))  # whoever visits sees to it that nothing complains

    box = asked_for(page, "qqqqqq")
    box.press("ArrowDown")
    box.press("Enter")

    assert page.url.endswith(reverse("admin:index"))


def test_enter_opens_what_was_chosen(visit):
    """The control: the theme's own way still works."""
    a_live_model(100, slug="fruit")
    page = visit(reverse("admin:index"))

    box = asked_for(page, "models")
    page.locator("#command-results-list li").first.wait_for()
    box.press("ArrowDown")
    with page.expect_navigation():
        box.press("Enter")

    assert not page.url.endswith(reverse("admin:index"))
