"""Jobs in Chromium, done by a real worker: a file is ordered, its bar moves, its results are there."""

import os
import signal

import pytest

from tests.support.processes import paused, post

pytestmark = pytest.mark.browser
ROWS = 60_000


@pytest.fixture
def worker(embedded):
    """Stands still until it is told to go on, so that there is something to look at before."""
    (pid, *_) = embedded.find(r"manage\.py worker|celery.* worker")
    with paused(pid, embedded.data):
        yield lambda: os.kill(pid, signal.SIGCONT)


def ask(embedded):
    status, told = post(
        f"{embedded.url}/api/v1/jobs", {"model": "ripeness", "instances": [[0.2, 0.8, 0.3]]},
        Authorization=f"Bearer {embedded.credentials['api_key']}", **{"Content-Type": "application/json"},
    )  # fmt: skip
    assert status == 202
    return told["id"]


def test_a_file_is_ordered_and_followed_to_its_end(page, embedded, worker, tmp_path):
    file = tmp_path / "harvest.csv"
    file.write_text("fruit,weight,firmness,hue\n" + "".join(f"f{row},0.2,0.8,0.3\n" for row in range(ROWS)))
    page.goto(f"{embedded.url}/admin/inference/job/add/?model=ripeness")
    page.set_input_files("[name=file]", file)
    page.fill("[name=id_column]", "fruit")
    page.fill("[name=columns]", '{"features": ["weight", "firmness", "hue"]}')
    page.locator("[name=columns]").press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rh-job")
    assert "Waiting for a worker in the pool" in page.inner_text("[data-progress]")

    worker()
    page.wait_for_selector("#rh-job[data-open=no]", timeout=120_000)

    assert f"100 % · {ROWS:,} of {ROWS:,} rows" in page.inner_text("[data-progress]")
    assert "f0," in page.inner_text("#rh-job pre")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download results").click()
    assert len(download.value.path().read_text().splitlines()) == ROWS + 1


def test_the_bars_of_a_list_move_by_themselves(page, embedded, worker):
    ask(embedded)
    ask(embedded)
    page.goto(f"{embedded.url}/admin/inference/job/")
    page.evaluate("window.isTheSamePage = true")
    assert page.locator("[data-job][data-open=yes]").count() == 2

    worker()
    page.wait_for_function("!document.querySelector('[data-job][data-open=yes]')", timeout=120_000)

    assert page.evaluate("window.isTheSamePage")
    assert page.locator("[data-job] progress").first.evaluate("bar => bar.value") == 1000
    assert page.locator("[data-state-of]").first.inner_text() == "done"


def test_cancelling_by_keyboard(page, embedded, worker):
    page.goto(f"{embedded.url}/admin/inference/job/{ask(embedded)}/change/")
    page.get_by_role("link", name="Cancel").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("[name=reason]")
    assert "1 part waiting" in page.inner_text("body")
    page.fill("[name=reason]", "wrong fruit")
    page.keyboard.press("Enter")

    page.wait_for_selector("#rh-job[data-open=no]")
    assert "cancelled" in page.inner_text("[data-progress]")
