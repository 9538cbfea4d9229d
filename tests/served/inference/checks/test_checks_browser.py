"""A file's way as a person sees it: uploaded, checked by the worker before one's eyes, set beside the live version."""

import pytest

from tests.support import walk

pytestmark = pytest.mark.browser
STATES = (
    "[...document.querySelectorAll('.rh-step-state')].map((one) => one.innerText.trim().split('\\n').pop())"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    walk.write_foreign_model(folder / "foreign.onnx")
    walk.write_worse_model(folder / "worse.onnx")
    walk.write_golden_rows(folder / "golden.jsonl")
    return folder


def bring_in(page, embedded, file):
    """Upload by the page; whatever happens then is shown without a click."""
    walk.choose_file(page, embedded.url, file)
    walk.send(page)
    walk.wait_checked(page)
    return page.inner_text("[data-said]"), page.evaluate(STATES)


def test_a_good_file_fills_its_list_and_is_set_beside_the_live_version(page, embedded, files):
    walk.put_golden_set(page, embedded.url, files / "golden.jsonl", floor=0.95)

    said, states = bring_in(page, embedded, files / "worse.onnx")
    walk.compare(page)

    assert "passed" in said and "but needs a look: Golden set" in said
    assert states == ["passed"] * 5 + ["skipped", "failed", "passed"]
    assert "Callers of version 1 can call version" in page.inner_text("body")
    assert page.locator(".rh-plot > svg polyline").count() == 2
    assert page.locator(".rh-disagreements tbody tr").count() > 0


def test_a_bad_file_says_what_is_wrong_with_it_and_can_be_checked_again(page, embedded, files):
    said, states = bring_in(page, embedded, files / "foreign.onnx")
    assert "was refused by the file scan" in said
    assert states == ["failed"] + ["skipped"] * 7

    page.reload()
    with page.expect_navigation():
        page.get_by_role("button", name="Check again").click()
    walk.wait_checked(page)

    assert "Check 2 failed" in page.inner_text("[data-said]")
