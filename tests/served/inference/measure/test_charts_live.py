"""The charts of a Model in Chromium: values by keyboard, what changed, and the zoom."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
COUNTED = """
from datetime import timedelta
from django.utils import timezone
from inference.measure.models import ArmMinute
from registry.catalogue.models import Model, Version
from registry.traffic.models import Arm, Split

demand = Version.objects.get(model__slug="demand", number=1)
model = Model.objects.create(slug="charted")
version = Version.objects.create(
    model=model, number=1, artifact=demand.artifact, signature=demand.signature, status="ready", made_by="ann"
)
minute = timezone.now().replace(second=0, microsecond=0)
# 20 minutes ago a split made every second request fail. It is over, so nothing is loaded for it.
split = Split.objects.create(
    model=model, number=1, status="past", buckets="a" * 10_000, salt="x", reason="a test", made_by="ann",
    from_at=minute - timedelta(minutes=20), to_at=minute,
)
Arm.objects.create(split=split, version=version, letter="a")
for ago in range(1, 50):
    ArmMinute.objects.create(
        minute=minute - timedelta(minutes=ago), model_id=model.pk, split=1, arm="a", version_id=version.pk,
        ok=60, errors=60 if ago <= 20 else 0, refused=0, seconds=1.0, buckets={"40": 60},
    )
print("page", model.pk)
"""


@pytest.fixture(scope="module")
def model_id(embedded):
    done = embedded.manage("shell", "-v0", "-c", COUNTED)
    assert done.returncode == 0, done.stderr
    return re.search(r"page (\d+)", done.stdout)[1]


@pytest.fixture
def errors(page, embedded, model_id):
    """The area of the errors chart that takes the keys."""
    page.goto(f"{embedded.url}/admin/registry/model/{model_id}/change/")
    return page.get_by_role("slider", name="Errors by time")


def press_until(page, slider, key, text):
    for _ in range(60):
        if text in slider.get_attribute("aria-valuetext"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{text!r} was not found with {key}")


def test_keys_read_the_values_and_find_the_split_before_the_jump(page, errors):
    errors.focus()

    press_until(page, errors, "ArrowLeft", "split 1 by")

    assert "version 1 50.0 %" in errors.get_attribute("aria-valuetext")
    tip = page.locator("figure", has=errors).locator(".rh-tip")
    expect(tip.locator(".rh-tip-row b")).to_have_text(["50.0 %"])
    expect(tip).to_contain_text(re.compile(r"\d\d:\d\d split 1 by ann: v1 100 %"))
    others = page.locator(".rh-tip:visible")
    expect(others).to_have_count(3)  # each chart shows its values at the same moment
    page.keyboard.press("ArrowLeft")
    assert "version 1 0 %" in errors.get_attribute("aria-valuetext")
    expect(tip).not_to_contain_text("split 1")


def test_every_chart_has_the_line_of_the_split_and_the_list_links_to_it(page, errors):
    entry = page.locator(".rh-marks li", has_text="split 1 by")
    index = entry.get_attribute("data-mark")

    lines = page.locator(f"svg [data-mark='{index}'] line")

    expect(lines).to_have_count(3)
    entry.get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"/admin/registry/split/\d+/change/"))


def test_a_drag_zooms_all_charts_and_escape_shows_all_again(page, errors):
    ticks = page.locator("[data-x-ticks]")
    before = ticks.all_text_contents()
    box = errors.bounding_box()

    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40, steps=3)
    page.mouse.up()

    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    zoomed = ticks.all_text_contents()
    assert len(set(zoomed)) == 1 and zoomed[0] != before[0]
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Show all")).to_be_hidden()
    assert ticks.all_text_contents() == before


def test_the_zoom_outlives_a_refresh_of_the_panel(page, errors):
    errors.focus()
    page.keyboard.press("+")
    shown = page.locator("[data-zoom-text]").inner_text()

    page.evaluate(
        """async () => {
            const text = await (await fetch(location.href)).text();
            const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("rh-measured");
            document.getElementById("rh-measured").replaceWith(fresh);
            document.dispatchEvent(new CustomEvent("rh:swapped", { detail: fresh }));
        }"""
    )

    expect(page.locator("[data-zoom-text]")).to_have_text(shown)
    expect(page.get_by_role("slider", name="Errors by time")).to_have_count(1)
