"""The admin in a real browser: one logs in, every page opens, nothing complains, nothing is fetched from elsewhere."""

import pytest

from tests.support.browser import SIZES, log_in, open_page

pytestmark = pytest.mark.browser
PAGES = {
    "/admin/": "Models",
    "/admin/registry/model/": "ripeness",
    "/admin/registry/version/?q=demand": "demand 1",
    "/admin/registry/split/": "100 %",
    "/admin/registry/apikey/": "first key",
    "/admin/auth/user/": "approver",
    "/admin/auth/group/": "operator",
    "/api/docs": "predict",
    "/api/redoc": "predict",
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_open_without_complaint(embedded, browser, theme, size):
    page, complaints = open_page(browser, theme=theme, size=size)
    log_in(page, embedded.url, embedded.credentials["admin_user"], embedded.credentials["admin_password"])

    for path, text in PAGES.items():
        page.goto(embedded.url + path)
        page.wait_for_load_state("networkidle")
        assert page.get_by_text(text).locator("visible=true").count(), path

    assert complaints == []


def test_wrong_password_is_refused(embedded, browser):
    page, _ = open_page(browser)

    log_in(page, embedded.url, embedded.credentials["admin_user"], "not the password")

    assert "correct" in page.content()
    assert "/admin/login/" in page.url
