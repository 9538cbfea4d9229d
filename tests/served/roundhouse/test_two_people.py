"""Two people and a version in Chromium: upload, checks, request, approval, A/B, rolling back, what was live when."""

import re

import pytest

from tests.support import walk
from tests.support.browser import log_in, open_page
from tests.support.processes import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def people(embedded, browser):
    """An operator at a desk, an approver at night with a phone."""
    pages = []
    for who, theme, size in (("operator", "light", "wide"), ("approver", "dark", "phone")):
        page, complaints = open_page(browser, theme=theme, size=size)
        log_in(
            page, embedded.url, embedded.credentials[f"{who}_user"], embedded.credentials[f"{who}_password"]
        )
        pages.append((page, complaints))
    yield [page for page, _ in pages]
    for page, complaints in pages:
        assert complaints == []
        page.context.close()


def test_from_a_file_to_an_a_b_and_back(embedded, people, tmp_path):
    operator, approver = people

    walk.choose_file(
        operator, embedded.url, walk.write_newer_model(tmp_path / "newer.onnx"), "With autumn.", walk.OF_TWO
    )
    walk.send(operator)
    walk.wait_checked(operator)
    operator.reload()
    newer = int(re.search(rf"{walk.OF_TWO} (\d+)", operator.title())[1])
    walk.challenge(operator, "10 % see the autumn")
    assert "needs a second person's approval" in operator.inner_text("main, #main, body")
    walk.confirm(operator, "Ask for share")
    assert "another person has to approve it" in operator.content()
    assert walk.who_answers(embedded, 20) == {1: 20}

    walk.open_request(approver, embedded.url)
    assert "10 % of routing keys get a different version" in approver.content()
    walk.decide(approver, "Approve", "numbers look fine")
    assert "Approved." in approver.content()
    wait_until(
        lambda: walk.who_answers(embedded, 60)[newer] > 0, within_s=20, what="answers of both versions"
    )
    shares = walk.who_answers(embedded)
    assert 0 < shares[newer] < 60
    assert shares.total() == 200
    walk.open_model(operator, embedded.url, walk.OF_TWO)
    during = operator.evaluate(walk.NOW)

    walk.roll_back(operator, embedded.url, "autumn is over")
    walk.confirm(operator, "Roll back")
    wait_until(
        lambda: walk.who_answers(embedded, 60) == {1: 60}, within_s=5, what="answers of the old version alone"
    )

    walk.open_model(operator, embedded.url, walk.OF_TWO)
    told = walk.live_at(operator, during)
    assert "split 2 answered" in told
    assert f"v{newer}" in told
    assert "Requested by operator, approved by approver" in told
    assert "10 % see the autumn" in told
