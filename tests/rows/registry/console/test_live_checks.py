"""A check in a real browser: the page follows it by itself, and stops asking when it has ended."""

import threading

import pytest
from django.db import connection

from registry.intake.checklist.models import STEPS
from registry.intake.checklist.services import end_line, end_run, start_line, start_run
from tests.support.browser import chromium, log_in, open_page
from tests.support.factories import PASSWORD, SIGNATURE, a_person, an_actor, an_uploaded_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def running():
    run = start_run(version_id=an_uploaded_version().pk, runtime_version="1", by=an_actor())
    start_line(run=run, step="gate")
    return run


@pytest.fixture
def worker(running):
    """Goes on with the run when it is told to. Playwright's event loop keeps Django out of the test's own thread."""
    go = threading.Event()

    def work():
        go.wait(60)
        for step in STEPS:
            end_line(run=running, step=step, state="passed")
        end_run(run=running, signature=SIGNATURE, by=an_actor())
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield go
    go.set()
    thread.join(60)


def test_the_page_follows_a_check_to_its_end(live_server, running, worker):
    a_person("operator", username="looker")
    url = live_server.url.replace("localhost", "127.0.0.1")
    with chromium() as browser:
        page, complaints = open_page(browser)
        log_in(page, url, "looker", PASSWORD)
        page.goto(f"{url}/admin/registry/version/{running.version_id}/change/")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        assert "Check 1 runs: File. 0 of 8" in page.inner_text("[data-said]")

        worker.set()
        page.wait_for_selector("[data-stale]:not([hidden])")

        assert "Check 1 passed" in page.inner_text("[data-said]")
        assert page.locator(".rh-step-passed").count() == len(STEPS)
        polls = len(asked)
        page.wait_for_timeout(1_500)
        assert len(asked) == polls
        assert complaints == []
