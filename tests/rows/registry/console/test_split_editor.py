"""The editor of a split in Chromium: shares always make 100 %, by mouse, keyboard or typing; and without a script."""

import random
import re

import pytest
from django.urls import reverse

from registry.catalogue.models import Model
from registry.traffic.assignment import WHOLE, reallot
from registry.traffic.selectors import current_split
from registry.traffic.services import set_split
from tests.support.factories import a_live_model, a_split, a_version, an_actor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def model():
    """Three versions that answer, one that does not; their buckets lie scattered."""
    made = a_live_model(70, 20, 10, slug="fruit")
    a_split(made, 30, 50, 20)
    a_split(made, 60, 30, 10)
    a_version(made, notes="trained on the autumn harvest")
    return Model.objects.get(pk=made.pk)


def split_page(model):
    return reverse("admin:registry_model_split", args=[model.pk])


def shares(page):
    """Basis points by version number, as the numbers say."""
    return {
        int(row.get_attribute("data-line")): round(
            float(row.locator("input[type=number]").input_value()) * 100
        )
        for row in page.locator("[data-line]").all()
    }


def slider(page, number):
    return page.locator(f"[data-line='{number}'] [data-slider]")


def said(page, sentence):
    """Wait for the sentence under the bars."""
    page.wait_for_function(
        "sentence => document.querySelector('[data-moves]').textContent === sentence", arg=sentence
    )


def owners(model):
    """The version number that owns each bucket now."""
    numbers = dict(model.versions.values_list("pk", "number"))
    return [numbers[pk] for pk in current_split(model).owners()]


def told(before, after):
    """The sentence, from how the server itself would deal the buckets."""
    wanted = {number: share for number, share in sorted(after.items()) if share}
    moves = {}
    for old, new in zip(before, reallot(before, wanted), strict=True):
        if old != new:
            moves[old, new] = moves.get((old, new), 0) + 1
    if not moves:
        return "No routing key moves."
    ways = sorted(moves.items(), key=lambda move: -move[1])
    listed = ", ".join(f"{count / 100:g} % from version {a} to version {b}" for (a, b), count in ways)
    return f"{sum(moves.values()) / 100:g} % of routing keys move: {listed}."


def test_moving_one_takes_from_the_others_in_proportion(visit, model):
    page = visit(split_page(model))
    assert shares(page) == {4: 0, 3: 1_000, 2: 3_000, 1: 6_000}
    said(page, "No routing key moves.")

    slider(page, 4).focus()
    page.keyboard.press("PageUp")

    assert shares(page) == {4: 1_000, 3: 900, 2: 2_700, 1: 5_400}
    assert page.locator("[data-after]").get_attribute("aria-label") == (
        "version 1 54 %, version 2 27 %, version 3 9 %, version 4 10 %"
    )
    said(page, "10 % of routing keys move: 6 % from version 1 to version 4, 3 % from version 2 to version 4, "
               "1 % from version 3 to version 4.")  # fmt: skip


def test_keys_move_a_slider_by_one_and_by_ten_and_back_to_where_it_was(visit, model):
    page = visit(split_page(model))
    slider(page, 4).focus()

    for key, share in {
        "ArrowRight": 100, "ArrowUp": 200, "Shift+ArrowRight": 1_200, "ArrowLeft": 1_100, "ArrowDown": 1_000,
        "PageDown": 0, "End": 10_000, "Shift+ArrowLeft": 9_000, "Home": 0,
    }.items():  # fmt: skip
        page.keyboard.press(key)
        assert shares(page)[4] == share
        assert sum(shares(page).values()) == WHOLE
        assert slider(page, 4).get_attribute("aria-valuetext") == f"{share / 100:g} %"

    assert shares(page) == {4: 0, 3: 1_000, 2: 3_000, 1: 6_000}


def test_a_locked_line_keeps_its_share(visit, model):
    page = visit(split_page(model))
    page.get_by_role("button", name="Lock version 1").click()

    slider(page, 4).focus()
    page.keyboard.press("End")

    assert shares(page) == {4: 4_000, 3: 0, 2: 0, 1: 6_000}
    assert slider(page, 1).is_disabled()
    page.get_by_role("button", name="Lock version 1").click()
    slider(page, 1).focus()
    page.keyboard.press("Home")
    assert shares(page)[1] == 0


def test_a_number_typed_keeps_the_sum_at_every_key(visit, model):
    page = visit(split_page(model))
    number = page.locator("[data-line='4'] input[type=number]")
    number.click()
    number.press("Control+a")

    for key in "12.34":
        number.press(key)
        if key != ".":
            assert sum(shares(page).values()) == WHOLE

    assert shares(page)[4] == 1_234
    number.fill("170")
    number.press("Tab")
    assert shares(page)[4] == 1_234


def test_the_mouse_moves_by_whole_percents(visit, model):
    page = visit(split_page(model))
    box = slider(page, 1).bounding_box()

    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.333, box["y"] + box["height"] / 2, steps=7)
    page.mouse.up()

    assert 3_000 < shares(page)[1] < 3_600
    assert shares(page)[1] % 100 == 0
    assert sum(shares(page).values()) == WHOLE


def test_the_preview_says_what_the_server_would_deal(visit, model):
    """Ten random states over scattered buckets, each compared with the server's own function."""
    page = visit(split_page(model))
    before, chance = owners(model), random.Random(8)

    for _ in range(10):
        number = page.locator(f"[data-line='{chance.randint(1, 4)}'] input[type=number]")
        number.fill(f"{chance.randint(0, WHOLE) / 100:g}")
        now = shares(page)
        assert sum(now.values()) == WHOLE
        said_now = told(before, now)
        page.wait_for_function(
            "want => document.querySelector('[data-moves]').textContent.split(/: |, /).sort().join() === want",
            arg=",".join(sorted(re.split(": |, ", said_now))),
        )


def test_two_versions_are_compared_in_four_clicks_from_the_models_page(visit, model):
    """And from the table of versions in as many."""
    newest = model.versions.get(number=4)
    version_page = reverse("admin:registry_version_change", args=[newest.pk])
    for tab in ["live", "versions"]:
        page = visit(f"{reverse('admin:registry_model_change', args=[model.pk])}?tab={tab}")
        if tab == "live":
            clicks = [page.get_by_role("link", name="A/B test against live")]
            button = "A/B test against live"
        else:
            a_split(model, 100)
            clicks = [
                page.locator(f"table a[href='{version_page}']"),
                page.get_by_role("link", name="Ask for share"),
            ]
            button = "Ask for share"
        clicks += [page.get_by_label("reason"), page.get_by_role("button", name=button)]
        assert len(clicks) <= 4

        *first, reason, submit = clicks
        for click in first:
            click.first.click()
        page.wait_for_url(re.compile("/a-b/"))
        reason.first.fill(
            "is it better?"
        )  # a click and typing; keys alone go wherever a busy page has its focus
        submit.click()
        page.wait_for_url(re.compile("/change/$"))

        live = current_split(model)
        assert live.reason == "is it better?"
        assert live.shares()[newest.pk] == 1_000


def test_without_its_script_numbers_are_typed_and_the_server_counts(visit, model):
    page = visit(split_page(model), without="**/split_editor*.js")
    assert not slider(page, 4).is_visible()

    for number, share in {4: 5, 3: 5, 2: 30, 1: 50}.items():
        page.fill(f"[name=version_{number}]", str(share))
    page.fill("[name=reason]", "by hand")
    page.get_by_role("button", name="Set split").click()
    page.wait_for_selector("[role=alert]")
    assert "add up to 90 %" in page.locator("[role=alert]").inner_text()
    page.fill("[name=version_1]", "60")
    page.get_by_role("button", name="Set split").click()
    page.wait_for_url(re.compile("/change/$"))

    assert sorted(current_split(model).shares().values()) == [500, 500, 3_000, 6_000]


def test_shadows_stay_and_are_shown(visit, model):
    first, *_, fourth = model.versions.order_by("number")
    set_split(model=model, arms={first: WHOLE}, shadows={fourth: 2_500}, reason="x", by=an_actor())
    page = visit(split_page(model))
    assert "Version 4 stays a shadow for 25 %" in page.content()

    page.locator("[data-line='2'] input[type=number]").fill("10")
    page.fill("[name=reason]", "x")
    page.get_by_role("button", name="Set split").click()
    page.wait_for_url(re.compile("/change/$"))

    arms = {arm.version.number: arm.mirrored for arm in current_split(model).arms.all()}
    assert arms == {1: None, 2: None, 4: 2_500}
