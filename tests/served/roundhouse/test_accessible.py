"""Every kind of page through axe-core, as a person with all roles sees it: nothing serious keeps anybody out."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.browser import log_in, open_page
from tests.support.processes import manage

pytestmark = pytest.mark.browser
PAGES = (
    "/admin/",
    "/admin/auth/user/add/",
    "/admin/inference/enginereport/",
    "/admin/inference/job/",
    "/admin/inference/job/add/",
    "/admin/registry/apikey/add/",
    "/admin/registry/auditrecord/",
    "/admin/registry/model/",
    "/admin/registry/model/1/a-b/",
    "/admin/registry/model/1/change/",
    "/admin/registry/model/1/roll-back/",
    "/admin/registry/model/1/split/",
    "/admin/registry/model/1/stop/",
    "/admin/registry/splitrequest/",
    "/admin/registry/splitrequest/1/change/",
    "/admin/registry/subscription/add/",
    "/admin/registry/upload/add/",
    "/admin/registry/version/1/change/",
    "/admin/registry/version/1/compare/",
)
KEEPS_OUT = {"serious", "critical"}


@pytest.fixture(scope="module", autouse=True)
def open_request(embedded):
    asked = manage("import_model", "demand", "examples/demand/model.onnx", "--live", DATA=embedded.data)
    assert "waits for an approver" in asked.stdout


def problems(page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {rule['help']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] in KEEPS_OUT
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize(("theme", "size"), [("light", "wide"), ("dark", "wide"), ("light", "phone")])
def test_nothing_serious_on_any_page(embedded, browser, theme, size):
    page, complaints = open_page(browser, theme=theme, size=size)
    log_in(page, embedded.url, embedded.credentials["admin_user"], embedded.credentials["admin_password"])
    found = []

    for path in PAGES:
        assert page.goto(embedded.url + path).status == 200, path
        page.wait_for_load_state("networkidle")
        found += problems(page)

    assert found == []
    assert complaints == []


def test_a_picture_without_a_name_is_found(embedded, browser):
    """The control."""
    page, _ = open_page(browser)
    page.goto(embedded.url + "/admin/login/")
    page.evaluate("document.querySelector('main, form').insertAdjacentHTML('beforeend', '<button></button>')")

    assert any("<button></button>" in problem for problem in problems(page))
