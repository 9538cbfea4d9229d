"""Every kind of page in Chromium, light and dark, wide and phone: it opens without errors and is accessible."""

import re
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.browser import log_in, open_page
from tests.support.processes import ROOT
from tests.support.walk import moderate

pytestmark = pytest.mark.browser
# Each text shows however much the neighbours have added: lists are long, so they are searched.
PAGES = {
    "/admin/": "Models",
    "/admin/auth/group/": "operator",
    "/admin/auth/user/": "approver",
    "/admin/auth/user/add/": "Password",
    "/admin/inference/enginereport/": "running",
    "/admin/inference/job/": "Jobs",
    "/admin/inference/job/add/": "File",
    "/admin/registry/apikey/": "first key",
    "/admin/registry/apikey/add/": "Tenant",
    "/admin/registry/auditrecord/?q=ripeness": "ripeness",
    "/admin/registry/model/?q=ripeness": "ripeness",
    "/admin/registry/model/1/a-b/": "A/B",
    "/admin/registry/model/1/change/": "Recent changes",
    "/admin/registry/model/1/change/?tab=versions": "Golden set",
    "/admin/registry/model/1/change/?tab=traffic": "What was live at",
    "/admin/registry/model/1/change/?tab=try": "Same request with curl",
    "/admin/registry/model/1/change/?tab=jobs": "New job",
    "/admin/registry/model/1/change/?tab=access": "Permissions",
    "/admin/registry/model/1/change/?tab=settings": "Save",
    "/admin/registry/model/1/roll-back/": "Roll back",
    "/admin/registry/model/1/split/": "Set split: abuse",
    "/admin/registry/model/1/stop/": "Stop",
    "/admin/registry/split/": "100 %",
    "/admin/registry/splitrequest/": "waiting",
    "/admin/registry/splitrequest/{request}/change/": "waiting",
    "/admin/registry/subscription/add/": "Address",
    "/admin/registry/upload/add/": "Upload",
    "/admin/registry/version/?q=demand": "demand 1",
    "/admin/registry/version/1/change/": "Use and lineage",
    "/admin/registry/version/1/change/?tab=checks": "Compare with…",
    "/admin/registry/version/1/change/?tab=file": "Download file",
    "/admin/registry/version/1/compare/": "Compare",
    "/api/docs": "predict",
    "/api/redoc": "predict",
}
PAGES_OF_MODERATORS = {
    "/admin/moderation/policy/": "Example policy",
    "/admin/moderation/policy/add/": "Context",
    "/admin/moderation/policy/1/change/": "Save draft",
    "/admin/moderation/policy/1/change/?tab=publish": "Draft",
    "/admin/moderation/policy/1/change/?tab=revisions&revision=1": "The first revision",
    "/admin/moderation/policy/1/change/?tab=effects": "toxic-text",
    "/admin/moderation/policy/1/change/?tab=settings": "The narrowest policy decides",
    "/admin/moderation/policy/1/retire/": "This cannot be undone",
    "/admin/moderation/quality/": "Verdicts as labels",
    "/admin/moderation/decision/": "Decision",
    "/admin/moderation/review/": "Waiting cases",
    "/admin/moderation/decision/{decision}/change/": "you are",
    "/admin/moderation/case/": "Cases",
    "/admin/moderation/appeal/": "Appeals",
    "/admin/moderation/report/": "Reports",
    "/admin/moderation/guideline/": "Guidelines",
}
NOT_OURS = ("/api/docs", "/api/redoc")  # Swagger UI and ReDoc as they come
KEEPS_OUT = {"serious", "critical"}
COLOURS_ALONE = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}  # a theme changes nothing else


@pytest.fixture(scope="module")
def request_number(embedded):
    """Of a request that waits for an approver."""
    asked = embedded.manage("import_model", "waiting", ROOT / "examples" / "demand" / "model.onnx", "--live")
    return re.search(r"request (\d+) awaits approval", asked.stdout)[1]


def problems(page, options=None) -> list[str]:
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{page.url}: {rule['help']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] in KEEPS_OUT
        for node in rule["nodes"]
    ]


@pytest.fixture(scope="module")
def decision_id(embedded):
    """Of a decision with evidence in its text."""
    decided = moderate(embedded, text="you are an idiot, free casino for Ann")
    return str(UUID(hex=decided["request_id"]))


@pytest.mark.parametrize("size", ["wide", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_opens_for_everybody(embedded, browser, request_number, theme, size):
    open_all(embedded, browser, "operator", PAGES, theme, size, request=request_number)


@pytest.mark.parametrize("size", ["wide", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_opens_for_moderators(embedded, browser, decision_id, theme, size):
    open_all(embedded, browser, "moderator", PAGES_OF_MODERATORS, theme, size, decision=decision_id)


def open_all(served, browser, who, pages, theme, size, **ids):
    page, complaints = open_page(browser, theme=theme, size=size)
    log_in(page, served.url, served.credentials[f"{who}_user"], served.credentials[f"{who}_password"])
    found = []

    for path, text in pages.items():
        address = served.url + path.format(**ids)
        assert page.goto(address).status == 200, path
        page.get_by_text(text).locator("visible=true").first.wait_for()
        if path not in NOT_OURS:
            found += problems(page, COLOURS_ALONE if theme == "dark" else None)

    page.wait_for_load_state("networkidle")
    assert found == []
    assert complaints == []


def test_an_image_without_a_text_is_found(embedded, browser):
    """The control."""
    page, _ = open_page(browser)
    page.goto(embedded.url + "/admin/login/")
    page.evaluate("document.querySelector('main, form').insertAdjacentHTML('beforeend', '<button></button>')")

    assert any("<button></button>" in problem for problem in problems(page))


def test_wrong_password_is_refused(embedded, browser):
    page, _ = open_page(browser)

    log_in(page, embedded.url, embedded.credentials["operator_user"], "not the password")

    assert "correct" in page.content()
    assert "/admin/login/" in page.url
