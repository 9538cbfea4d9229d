"""The upload page in Chromium: a file goes up, also when the page is loaded again half-way."""

import re

import pytest
from django.urls import reverse

from registry.access.policies import Role
from registry.catalogue.models import Version
from registry.intake.models import Upload
from tests.support.browser import chromium, log_in, open_page
from tests.support.factories import PASSWORD, a_model, a_person
from tests.support.processes import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FILE = ROOT / "examples" / "ripeness" / "model.onnx"
VERSION_PAGE = re.compile(r"/admin/registry/version/\d+/change/")


@pytest.fixture(scope="module")
def browser(django_db_setup):
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs while tests ask the database
        yield started


@pytest.fixture
def page(browser, live_server):
    a_person(Role.OPERATOR, username="operator")
    a_model("fruit")
    url = live_server.url.replace("localhost", "127.0.0.1")
    page, complaints = open_page(browser)
    log_in(page, url, "operator", PASSWORD)
    page.goto(f"{url}{reverse('admin:registry_upload_add')}?model=fruit")
    page.wait_for_load_state("networkidle")
    yield page
    page.context.close()
    refused = ("ERR_FAILED", "status of 404")  # what the tests below do to it
    assert [line for line in complaints if not any(word in line for word in refused)] == []


def _send(page, file):
    page.set_input_files("#rh-file", file)
    page.get_by_role("button", name="Upload").click()


def test_a_chosen_file_becomes_a_version(page):
    _send(page, FILE)

    page.wait_for_url(VERSION_PAGE)
    version = Version.objects.select_related("artifact").get()
    assert (version.model.slug, version.artifact.size_bytes) == ("fruit", FILE.stat().st_size)


def test_what_stopped_half_way_goes_on_after_the_page_is_loaded_again(page, tmp_path):
    file = tmp_path / "large.onnx"
    file.write_bytes(b"x" * (20 << 20))
    page.route("**/uploads/*?offset=8388608", lambda route: route.abort())
    _send(page, file)
    page.wait_for_function("document.querySelector('.rh-progress progress').value >= 400")

    page.reload()
    page.unroute_all(behavior="ignoreErrors")
    page.wait_for_selector("#rh-waiting", state="visible")
    assert Upload.objects.get().received_bytes == 8 << 20
    page.set_input_files("#rh-file", file)

    page.wait_for_url(VERSION_PAGE)
    assert (Upload.objects.count(), Version.objects.get().artifact.size_bytes) == (1, 20 << 20)


def test_a_file_for_no_model_is_refused_in_words(page):
    page.fill("#rh-slug", "nobody")
    _send(page, FILE)

    page.wait_for_selector("[role=alert]:visible")
    assert "nobody" in page.locator("[role=alert]:visible").inner_text()
    assert not Version.objects.exists()
