"""The viewer's own time, as a browser elsewhere in the world sees it."""

from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from registry.traffic.selectors import current_split
from tests.support.factories import a_live_model, seconds

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_browser_tells_its_zone_and_pages_follow(visit):
    model = a_live_model(100)
    there = current_split(model).from_at.astimezone(ZoneInfo("Asia/Kolkata")) + seconds(1)

    page = visit(
        reverse("admin:registry_model_change", args=[model.pk]) + "?tab=traffic", timezone_id="Asia/Kolkata"
    )
    page.fill("#rh-at", f"{there:%Y-%m-%dT%H:%M:%S}")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_selector(".rh-then")

    assert page.text_content("#rh-at-zone") == "IST"
    assert "v1 100 %" in page.text_content(".rh-then")
