"""Home in a browser: its parts refresh themselves, unless somebody is using them."""

import pytest
from django.urls import reverse

from registry.kit.admin.panels import PANELS, Panel, PanelPage
from registry.traffic.services import freeze_model, stop_model
from tests.support.factories import a_live_model, an_actor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SOON = "document.querySelectorAll('[data-live-s]').forEach((part) => { part.dataset.liveS = '0.5' })"
LISTEN = (
    "document.addEventListener('rh:swapped', (event) => { (window.swapped ??= []).push(event.detail.id) })"
)


def test_what_goes_wrong_later_appears_by_itself_and_its_age_is_said(visit):
    model = a_live_model(100, slug="fruit")
    page = visit(reverse("admin:index"))
    assert "fruit is stopped" not in page.content()
    page.evaluate(LISTEN)

    stop_model(model=model, text="wrong prices", by=an_actor())
    page.evaluate(SOON)
    page.wait_for_selector("#rh-attention >> text=fruit is stopped")

    page.wait_for_selector("#rh-home-models >> text=stopped")
    page.wait_for_function(
        "/^Updated \\d+ s ago$/.test(document.querySelector('#rh-attention [data-live-age]').textContent)"
    )
    assert "rh-attention" in page.evaluate("window.swapped")


def test_a_part_in_use_is_left_alone_and_says_so(visit):
    model = a_live_model(100, slug="fruit")
    page = visit(reverse("admin:index"))
    page.locator("#rh-home-models tbody a").first.focus()

    stop_model(model=model, text="wrong prices", by=an_actor())
    page.evaluate(SOON)
    page.wait_for_selector("#rh-attention >> text=fruit is stopped")

    page.wait_for_selector("#rh-home-models >> text=waits while you use it")
    assert page.locator("#rh-home-models .rh-badge").inner_text() == "live"
    page.locator("#rh-home-models tbody a").first.evaluate("link => link.blur()")
    page.wait_for_selector("#rh-home-models .rh-badge >> text=stopped")


def test_what_was_typed_is_kept_after_the_focus_went_elsewhere(visit):
    model = a_live_model(100, slug="fruit")
    freeze_model(model=model, reason="audit week", by=an_actor())
    page = visit(reverse("admin:registry_model_change", args=[model.pk]))
    reason = page.get_by_label("Reason")
    reason.fill("audit is over")
    reason.evaluate("field => field.blur()")

    page.evaluate(SOON)
    page.wait_for_selector("#rh-page >> text=waits while you use it")

    assert reason.input_value() == "audit is over"


def test_a_panel_that_fails_once_is_kept_and_comes_back(visit):
    model = a_live_model(100, slug="fruit")
    page = visit(reverse("admin:registry_model_change", args=[model.pk]) + "?tab=traffic")
    page.evaluate(LISTEN)

    with PANELS.changed(**{"traffic of a Model": Panel(PanelPage.MODEL, lambda *_: 1 / 0, "traffic")}):
        page.evaluate(SOON)
        page.wait_for_selector("#rh-measured >> text=a part of the page cannot be shown")

    page.wait_for_function("window.swapped?.includes('rh-measured')", timeout=60_000)


def test_it_says_when_the_server_does_not_answer(visit):
    page = visit(reverse("admin:index"), expected=["Failed to load resource"])
    page.route("**/admin/", lambda route: route.fulfill(status=500))

    page.evaluate(SOON)

    page.wait_for_selector("#rh-attention >> text=the server answers with an error")
