"""The search over everything, in Chromium: Ctrl+K, `/`, arrow keys, Enter, and what it says if it finds nothing."""

import pytest
from django.urls import reverse

from tests.support.factories import a_live_model

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def asked_for(page, text, key="Control+k"):
    """Open the dialog, and search."""
    page.keyboard.press(key)
    box = page.get_by_role("combobox", name="Search")
    box.wait_for()
    box.press_sequentially(text)
    return box


def test_what_is_chosen_with_arrow_keys_is_opened_with_enter(visit):
    a_live_model(100, slug="fruit-a")
    other = a_live_model(100, slug="fruit-b")
    page = visit(reverse("admin:index"))

    box = asked_for(page, "fruit")
    page.locator("#rh-search [role=option][aria-selected=true]", has_text="fruit-a").wait_for()
    box.press("ArrowDown")
    page.locator("#rh-search [role=option][aria-selected=true]", has_text="fruit-b").wait_for()
    with page.expect_navigation():
        box.press("Enter")

    assert page.url.endswith(reverse("admin:registry_model_change", args=[other.pk]))


def test_enter_before_the_answer_opens_the_first_result_when_it_comes(visit):
    model = a_live_model(100, slug="fruit")
    page = visit(reverse("admin:index"))

    box = asked_for(page, "stop fruit", key="/")
    with page.expect_navigation():
        box.press("Enter")

    assert page.url.endswith(reverse("admin:registry_model_stop", args=[model.pk]))


def test_nothing_found_is_said_and_enter_opens_nothing(visit):
    page = visit(reverse("admin:index"))  # whoever visits sees to it that nothing complains

    box = asked_for(page, "qqqqqq")
    page.get_by_text("Nothing found for “qqqqqq”.").wait_for()
    box.press("ArrowDown")
    box.press("Enter")
    box.press("Escape")
    page.locator("#rh-search").wait_for(state="hidden")

    assert page.url.endswith(reverse("admin:index"))


def test_a_server_that_does_not_answer_is_said(visit):
    page = visit(reverse("admin:index"), without="**/admin/search/**")

    asked_for(page, "fruit")

    page.get_by_text("The server did not answer. Try again.").wait_for()


def test_enter_asks_again_after_a_failure(visit):
    model = a_live_model(100, slug="fruit")
    page = visit(reverse("admin:index"), without="**/admin/search/**")
    box = asked_for(page, "stop fruit")
    page.get_by_text("The server did not answer. Try again.").wait_for()
    assert box.get_attribute("aria-expanded") == "false"

    page.unroute("**/admin/search/**")
    with page.expect_navigation():
        box.press("Enter")

    assert page.url.endswith(reverse("admin:registry_model_stop", args=[model.pk]))


def test_an_answer_after_the_dialog_was_closed_opens_nothing(visit):
    a_live_model(100, slug="fruit")
    page = visit(reverse("admin:index"))
    held = []
    page.route("**/admin/search/**", lambda route: held.append(route))

    with page.expect_request("**/admin/search/**"):
        box = asked_for(page, "stop fruit")
        box.press("Enter")
    box.press("Escape")
    page.locator("#rh-search").wait_for(state="hidden")
    for route in held:
        route.fulfill(
            json={
                "groups": [
                    {
                        "title": "x",
                        "items": [{"title": "x", "url": "/admin/story/", "detail": "", "icon": ""}],
                    }
                ],
                "failed": [],
            }
        )
    page.wait_for_timeout(300)

    assert page.url.endswith(reverse("admin:index"))


def test_a_closed_group_of_the_sidebar_stays_closed_on_the_next_page(visit):
    page = visit(reverse("admin:index"))

    page.locator("details[data-group=audit] > summary").click()
    page.wait_for_function(
        "document.cookie.includes('audit')"
    )  # the page hears of it a moment after it is closed
    page.reload()

    page.locator("details[data-group=audit]:not([open])").wait_for(state="attached")
    assert page.locator("details[data-group=jobs][open]").count() == 1
