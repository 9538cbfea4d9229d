"""The upload page in Chromium: a file goes up, also when the page is loaded again half-way."""

import re

import pytest
from django.urls import reverse

from registry.catalogue.models import Version
from registry.intake.models import Upload
from tests.support.factories import a_model
from tests.support.model_files import head_of
from tests.support.processes import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FILE = ROOT / "examples" / "ripeness" / "model.onnx"
VERSION_PAGE = re.compile(r"/admin/registry/version/\d+/change/")


@pytest.fixture
def page(visit):
    a_model("fruit")
    address = f"{reverse('admin:registry_upload_add')}?model=fruit"
    return visit(address, expected=["status of 404"])  # what the tests below do to it


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
    file.write_bytes(head_of(20 << 20).ljust(20 << 20, b"x"))
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
