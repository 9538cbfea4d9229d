"""The viewer's own time, as a browser elsewhere in the world sees it."""

from zoneinfo import ZoneInfo

import pytest

from registry.access.policies import Role
from registry.traffic.selectors import current_split
from tests.support.browser import chromium, log_in
from tests.support.factories import PASSWORD, a_live_model, a_person, seconds

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_browser_tells_its_zone_and_pages_follow(live_server):
    model, person = a_live_model(100), a_person(Role.VIEWER)
    there = current_split(model).from_at.astimezone(ZoneInfo("Asia/Kolkata")) + seconds(1)

    with chromium() as browser:
        page = browser.new_context(timezone_id="Asia/Kolkata").new_page()
        log_in(page, live_server.url, person.username, PASSWORD)
        page.goto(f"{live_server.url}/admin/registry/model/{model.pk}/change/")
        page.fill("#rh-at", f"{there:%Y-%m-%dT%H:%M:%S}")
        page.get_by_role("button", name="Ask").click()
        page.wait_for_selector(".rh-then")

        assert page.text_content("#rh-at-zone") == "IST"
        assert "v1 100 %" in page.text_content(".rh-then")
