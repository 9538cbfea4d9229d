"""The night in Chromium: stop, roll back while it is stopped, start from the panel; each is one button and one reason."""

import pytest
from django.urls import reverse

from registry.catalogue.models import Model
from registry.record.models import AuditRecord
from registry.traffic.selectors import live_arms, open_holds
from tests.support.factories import a_live_model, a_split, a_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def model():
    """Three versions that were live one after the other."""
    made = a_live_model(100, slug="fruit")
    for _ in range(2):
        a_split(made, 100, versions=[a_version(made)])
    return Model.objects.get(pk=made.pk)


def again(model):
    return Model.objects.get(pk=model.pk)


def test_stop_roll_back_and_start(visit, model):
    page = visit(reverse("admin:registry_model_change", args=[model.pk]))
    assert page.locator(".rh-incident").count() == 0

    page.get_by_role("link", name="Stop", exact=True).click()
    assert "version 3 answers 100 %" in page.locator(".rh-foretold").inner_text()
    page.get_by_label("Message to callers").fill("wrong labels; back at 15:30")
    page.get_by_role("button", name="Stop", exact=True).click()
    panel = page.locator(".rh-incident")
    panel.wait_for()
    assert open_holds(again(model)) == {"stopped": "wrong labels; back at 15:30"}
    assert "fruit is stopped" in panel.inner_text()
    assert "by marta" in panel.inner_text()

    page.get_by_role("link", name="Roll back").click()
    page.get_by_text("A single version that was live").click()
    page.get_by_role("radio", name="Version 1").check()
    page.get_by_label("Reason").fill("the last good one")
    page.get_by_role("button", name="Roll back").click()
    panel.wait_for()
    assert "Once it is started, version 1 answers 100 %." in panel.inner_text()

    panel.get_by_label("Reason").fill("labels are right again")
    panel.get_by_role("button", name="Start fruit").click()
    panel.wait_for(state="detached")
    assert open_holds(again(model)) == {}
    assert [arm.version for arm in live_arms(again(model))] == [1]
    assert [record.reason for record in AuditRecord.objects.filter(actor_name="marta").order_by("seq")][
        -1
    ] == ("labels are right again")


def test_the_choice_that_was_made_is_still_there_after_a_refusal(visit, model):
    page = visit(reverse("admin:registry_model_roll_back", args=[model.pk]))
    assert page.get_by_role("radio", name="Split 2").is_checked()
    page.get_by_text("An earlier split").click()
    page.get_by_role("radio", name="Split 1").check()
    page.get_by_label("Reason").fill("worse")
    a_split(model, 100)  # somebody was faster

    page.get_by_role("button", name="Roll back").click()

    page.get_by_role("alert").wait_for()
    assert "someone else changed it first" in page.get_by_role("alert").inner_text()
    assert page.get_by_role("radio", name="Split 1").is_checked()
    assert page.get_by_label("Reason").input_value() == "worse"
    page.get_by_role("link", name="Show the current state").click()
    assert page.get_by_role("radio", name="Split 3").is_checked()
