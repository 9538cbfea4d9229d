"""A check in a real browser: the page follows it by itself, and stops asking when it has ended."""

import pytest
from django.urls import reverse

from registry.intake.checklist.models import STEPS
from registry.intake.checklist.services import end_line, end_run, start_line, start_run
from tests.support.factories import SIGNATURE, an_actor, an_uploaded_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_page_follows_a_check_to_its_end(visit):
    run = start_run(version_id=an_uploaded_version().pk, runtime_version="1", by=an_actor())
    start_line(run=run, step="gate")
    page = visit(reverse("admin:registry_version_change", args=[run.version_id]))
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    assert "Check 1 is running: File. 0 of 8" in page.inner_text("[data-said]")

    for step in STEPS:
        end_line(run=run, step=step, state="passed")
    end_run(run=run, signature=SIGNATURE, by=an_actor())
    page.wait_for_selector("[data-stale]:not([hidden])")

    assert "Check 1 passed" in page.inner_text("[data-said]")
    assert page.locator(".rh-step-passed").count() == len(STEPS)
    page.wait_for_selector("#rh-head:not([data-live-s]) >> text=ready")
    polls = len(asked)
    page.wait_for_timeout(1_500)
    assert len(asked) == polls
